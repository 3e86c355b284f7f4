"""A watch that begins anew with a list: what went meanwhile is found, and nothing is made for an owner that is gone."""

from __future__ import annotations

import asyncio
import copy

from cronix_operator.edges.api import Reply
from cronix_operator.relist import Relist
from operator_fakes.builders import NAMESPACE, OTHER_UID, document, served
from operator_fakes.memory_api import Object
from operator_fakes.world import World, in_loop

NAME = "cronix-billing-sync-0"
APP = ("cronixapps", NAMESPACE, "billing")
CALM_SECONDS = 0.05


async def standing() -> World:
    world = World()
    world.site.answer = served("sync")
    world.apply()
    await world.walk()
    return world


@in_loop
async def test_the_first_list_is_the_beginning_and_each_later_one_is_told_once_when_it_has_come_in() -> None:
    told: list[None] = []
    relist = Relist(lambda: told.append(None), CALM_SECONDS)
    for kind in (None, None, "ADDED", "MODIFIED"):
        relist.saw(kind)
    await asyncio.sleep(4 * CALM_SECONDS)
    assert told == []
    for expected in (1, 2):
        for _ in range(100):
            relist.saw(None)
        assert len(told) == expected - 1
        await asyncio.sleep(4 * CALM_SECONDS)
        assert len(told) == expected


@in_loop
async def test_changes_are_no_list() -> None:
    told: list[None] = []
    relist = Relist(lambda: told.append(None), CALM_SECONDS)
    for _ in range(3):
        relist.saw("DELETED")
        await asyncio.sleep(2 * CALM_SECONDS)
    assert told == []


@in_loop
async def test_a_cron_job_deleted_in_a_gap_of_the_watch_is_made_anew_after_the_list() -> None:
    """K6: no event tells of it."""
    world = await standing()
    del world.api.objects["cronjobs", NAMESPACE, NAME]
    assert world.due_in() > 0
    world.controller.look_again()
    assert world.due_in() == 0
    await world.walk()
    assert NAME in world.names()


@in_loop
async def test_nothing_is_created_for_an_app_that_went_in_a_gap_of_the_watch() -> None:
    """K6: garbage collection has taken its CronJobs, and the operator does not know yet why."""
    world = await standing()
    del world.api.objects["cronjobs", NAMESPACE, NAME]
    del world.api.objects[APP]
    world.clear_writes()
    await world.walk()
    assert world.names() == set()
    assert world.writes("/cronjobs") == []
    assert world.controller.subject((NAMESPACE, "billing")) is None, "it knows now"


@in_loop
async def test_nothing_is_created_for_an_app_that_was_replaced_by_another_of_its_name() -> None:
    """Its successor, with a uid of its own, is met by the watch and gets CronJobs of its own."""
    world = await standing()
    del world.api.objects["cronjobs", NAMESPACE, NAME]
    world.api.objects[APP] = copy.deepcopy(world.api.objects[APP])
    world.api.objects[APP]["metadata"]["uid"] = OTHER_UID
    world.clear_writes()
    await world.walk()
    assert world.writes("/cronjobs") == []
    world.watch()
    await world.walk()
    assert world.api.cron_jobs()[NAME]["metadata"]["ownerReferences"][0]["uid"] == OTHER_UID


@in_loop
async def test_nothing_is_made_by_an_edit_that_was_overtaken() -> None:
    """K6: another operator has pruned a job for an edit of which our watch tells later than of the deletion."""
    world = World()
    world.apply(source={"inline": document("sync", "old")}, allowInsecureHTTP=True)
    await world.walk()
    edited = {"inline": document("sync", "new")}
    world.api.touch(*APP, lambda body: body["spec"].update(source=edited))
    del world.api.objects["cronjobs", NAMESPACE, "cronix-billing-old-0"]
    world.clear_writes()
    events = len(world.events.seen)
    await world.walk()
    assert world.writes() == []
    assert world.events.seen[events:] == [], "nothing is wrong"
    assert world.due_in() == 0
    await world.walk()
    assert world.names() == {NAME, "cronix-billing-new-0"}
    assert [verb for verb, _ in world.writes("cronjobs")] == ["POST"]


@in_loop
async def test_nothing_is_deleted_by_an_edit_that_was_overtaken() -> None:
    """K6: another operator has made a job of an edit of which our watch tells later: it is no leftover."""
    world = World()
    world.apply(source={"inline": document("sync")}, allowInsecureHTTP=True)
    await world.walk()
    edited = {"inline": document("sync", "new")}
    world.api.touch(*APP, lambda body: body["spec"].update(source=edited))
    made = copy.deepcopy(world.api.cron_jobs()[NAME])
    made["metadata"] |= {"name": "cronix-billing-new-0", "uid": "uid-new"}
    made["metadata"]["labels"]["cronix.dev/job"] = made["metadata"]["annotations"]["cronix.dev/job-name"] = "new"
    world.api.put("cronjobs", NAMESPACE, "cronix-billing-new-0", **made)
    world.clear_writes()
    await world.walk()
    assert world.writes() == []
    await world.walk()
    assert "DELETE" not in {verb for verb, _ in world.writes("cronjobs")}
    assert world.names() == {NAME, "cronix-billing-new-0"}


@in_loop
async def test_a_namespace_that_is_being_deleted_is_not_asked_again_and_again() -> None:
    """K9: each CronJob that goes makes the app due; the first refusal is that of all."""
    world = World()
    world.apply(source={"inline": document(*(f"job-{n}" for n in range(40)))}, allowInsecureHTTP=True)
    handle, causes = world.api._handle, [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]
    message = (
        "cronjobs.batch is forbidden: unable to create new content in namespace shop because it is being terminated"
    )

    def refuse(method: str, path: str, body: Object | None) -> Reply:
        if method == "POST" and "cronjobs" in path:
            return Reply(403, {"reason": "Forbidden", "message": message, "details": {"causes": causes}})
        return handle(method, path, body)

    world.api._handle = refuse  # type: ignore[method-assign]  # a server in a state that the memory one has not
    for _ in range(5):
        await world.walk()
    assert len(world.writes("/cronjobs")) == 1
    assert "the namespace is being deleted" in world.condition("Ready")["message"]
