"""A CronJob that somebody else changed is put right by itself, without a look at its app; more than that is a walk."""

from __future__ import annotations

import asyncio
import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest

from cronix_operator.core.touchup import MAX_AT_ONCE
from cronix_operator.tenants import STARTS_WAIT_SECONDS
from cronix_operator.touchup import SETTLE_SECONDS
from operator_fakes.builders import NAMESPACE, job, served
from operator_fakes.memory_api import Object
from operator_fakes.world import KEY as SIGNING_KEY
from operator_fakes.world import ROLLS_PER_SECOND, World, in_loop

KEY = (NAMESPACE, "billing")


def name_of(n: int) -> str:
    return f"cronix-billing-j{n}-0"


async def started(jobs: int = 20) -> World:
    world = World()
    world.site.answer = served(*(job(f"j{n}", "0 3 * * *") for n in range(jobs)))
    world.apply()
    await world.walk()
    await touch_up(world)
    world.clear_writes()
    world.api.requests.clear()
    world.events.seen.clear()
    return world


async def touch_up(world: World) -> None:
    """What a touch-up worker does when the app is in its queue."""
    world.controller._touch_ups._queue.forget(KEY)
    await world.controller._touch_ups.process(KEY)


def change(world: World, n: int, how: Callable[[Object], object]) -> None:
    """Somebody edits a CronJob, and the watch says so."""
    world.api.touch("cronjobs", NAMESPACE, name_of(n), how)
    world.controller.saw_cron_job(world.api.objects["cronjobs", NAMESPACE, name_of(n)], deleted=False)


def pause(body: Object) -> None:
    body["spec"]["suspend"] = True


CHANGES: dict[str, Callable[[Object], object]] = {
    "suspended": pause,
    "another schedule": lambda body: body["spec"].update(schedule="* * * * *"),
    "a sidecar": lambda body: _pod(body)["containers"].append({"name": "x", "image": "x"}),
    "our label": lambda body: body["metadata"]["labels"].pop("cronix.dev/app"),
    "the owner": lambda body: body["metadata"].pop("ownerReferences"),
    "a finalizer": lambda body: body["metadata"].update(finalizers=["example.com/x"]),
}


def _pod(body: Object) -> Any:
    return body["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("how", CHANGES.values(), ids=CHANGES)
def test_one_change_is_one_write_and_the_same_as_a_walk_makes(how: Callable[[Object], object]) -> None:
    """No list, no fetch, no other CronJob read; what a whole walk would have left is what is left."""

    @in_loop
    async def run() -> None:
        world, twin = await started(), await started()
        change(world, 7, how)
        change(twin, 7, how)
        await touch_up(world)
        await twin.walk()
        assert world.api.requests == [("PUT", f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/{name_of(7)}")]
        assert _plain(world) == _plain(twin)
        assert world.events.reasons() == twin.events.reasons() == ["DriftRepaired"] * len(twin.events.seen)
        assert [e.message for e in world.events.seen] == [e.message for e in twin.events.seen]
        assert world.due_in() == SETTLE_SECONDS

    run()


def _plain(world: World) -> dict[str, Object]:
    found = copy.deepcopy(world.api.cron_jobs())
    for body in found.values():
        del body["metadata"]["resourceVersion"]
    return found


@in_loop
async def test_a_deleted_one_is_for_a_walk() -> None:
    """Only a write of status tells whether its app is still there: nothing is made for an owner that is dead."""
    world = await started()
    world.controller.saw_cron_job(world.api.objects.pop(("cronjobs", NAMESPACE, name_of(3))), deleted=True)
    assert world.due_in() == 0.0
    await touch_up(world)
    assert world.writes() == []
    await world.walk()
    assert name_of(3) in world.names()
    # Its own echo is no news.
    world.controller.saw_cron_job(world.api.objects["cronjobs", NAMESPACE, name_of(3)], deleted=False)
    assert len(world.controller._touch_ups._queue) == 0


@in_loop
async def test_its_own_echo_is_no_news() -> None:
    """Nor is a change that the watch tells late: a second write would be a fight with oneself."""
    world = await started()
    change(world, 7, pause)
    old = copy.deepcopy(world.api.objects["cronjobs", NAMESPACE, name_of(7)])
    await touch_up(world)
    world.controller.saw_cron_job(world.api.objects["cronjobs", NAMESPACE, name_of(7)], deleted=False)
    assert len(world.controller._touch_ups._queue) == 0
    world.clear_writes()
    world.controller.saw_cron_job(old, deleted=False)
    await touch_up(world)
    live = world.api.objects["cronjobs", NAMESPACE, name_of(7)]
    assert live["spec"]["suspend"] is False
    world.wait(world.due_in())
    world.clear_writes()
    await world.walk()
    assert world.writes("cronjobs/") == []


@in_loop
async def test_an_older_view_than_the_servers_does_not_win() -> None:
    """The watch lags: the object was edited again meanwhile; the write is fenced, read anew and decided anew."""
    world = await started()
    change(world, 7, pause)
    world.api.touch("cronjobs", NAMESPACE, name_of(7), lambda body: body["metadata"]["annotations"].update(x="theirs"))
    await touch_up(world)
    live = world.api.objects["cronjobs", NAMESPACE, name_of(7)]
    assert live["spec"]["suspend"] is False
    assert live["metadata"]["annotations"]["x"] == "theirs"


@in_loop
async def test_what_is_right_again_before_the_write_is_no_repair() -> None:
    """The watch tells late of a change that a walk has put back: nothing is written, told or counted as a contest."""
    world = await started()
    for _ in range(10):
        change(world, 7, pause)
        world.api.touch("cronjobs", NAMESPACE, name_of(7), lambda body: body["spec"].update(suspend=False))
        await touch_up(world)
    assert (world.writes("cronjobs/"), world.events.seen) == ([("PUT", _path(7))] * 10, [])
    change(world, 7, pause)
    await touch_up(world)
    assert world.api.cron_jobs()[name_of(7)]["spec"]["suspend"] is False
    assert world.events.reasons() == ["DriftRepaired"]


def _path(n: int) -> str:
    return f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/{name_of(n)}"


@in_loop
async def test_many_changes_at_once_are_for_a_walk() -> None:
    """A walk writes in parallel; no more than a few objects are kept in memory meanwhile."""
    world = await started()
    for n in range(MAX_AT_ONCE + 1):
        change(world, n, pause)
    assert sum(what.body is not None for what in world.controller._tenants[KEY].touched.values()) == MAX_AT_ONCE
    await touch_up(world)
    assert (world.api.requests, world.due_in()) == ([], 0.0)
    await world.walk()
    assert not any(body["spec"]["suspend"] for body in world.api.cron_jobs().values())


@in_loop
async def test_a_cronixapp_that_was_edited_takes_a_walk() -> None:
    """What is right is not what the last walk held to be right."""
    world = await started()
    world.apply(suspend=True)
    change(world, 7, lambda body: body["spec"].update(schedule="* * * * *"))
    await touch_up(world)
    assert world.writes() == []
    assert world.due_in() == 0.0


@in_loop
async def test_what_a_walk_writes_itself_is_no_news_after_it() -> None:
    """The watch shows a walk's creations while it is still under way: no second walk for those."""
    world = World()
    world.site.answer = served(*(job(f"j{n}", "0 3 * * *") for n in range(20)))
    world.apply()

    def shown(method: str, path: str) -> None:
        for body in world.api.cron_jobs().values():
            world.controller.saw_cron_job(body, deleted=False)

    world.api.before = shown
    await world.walk()
    world.api.before = None
    shown("", "")
    due = world.due_in()
    await touch_up(world)
    assert world.due_in() == due > SETTLE_SECONDS


@in_loop
async def test_an_edit_of_what_a_walk_has_just_made_is_for_the_next_walk() -> None:
    """While the walk is under way nobody knows what is in step; its version tells that somebody was there."""
    world = World()
    world.site.answer = served(*(job(f"j{n}", "0 3 * * *") for n in range(20)))
    world.apply()

    def edited(method: str, path: str) -> None:
        if method == "POST" and name_of(3) in world.names():
            world.api.before = None
            change(world, 3, pause)

    world.api.before = edited
    await world.walk()
    await touch_up(world)
    assert world.due_in() == 0.0
    world.clear_writes()
    await world.walk()
    assert [path.rpartition("/")[2] for _, path in world.writes("/cronjobs")] == [name_of(3)]
    assert not world.api.cron_jobs()[name_of(3)]["spec"]["suspend"]


@in_loop
async def test_after_a_start_what_the_watch_lists_is_left_to_the_first_walk() -> None:
    """Ten thousand CronJobs that are listed at a start must not make each app walk twice."""
    world = await started()
    world.restart()
    world.watch()
    for body in world.api.cron_jobs().values():
        world.controller.saw_cron_job(body, deleted=False)
    assert len(world.controller._touch_ups._queue) == 0
    assert world.due_in() == 0.0
    await world.walk()
    assert world.writes() == []


@in_loop
async def test_a_touch_up_and_a_walk_of_one_app_exclude_each_other() -> None:
    """No worker waits for the walk: what the watch shows meanwhile becomes due at its end."""
    world = await started()
    async with world.controller._touch_ups.alone(KEY, world.controller._tenants[KEY]):
        change(world, 7, pause)
        await world.controller._touch_ups.process(KEY)
        assert world.writes() == []
        assert len(world.controller._touch_ups._queue) == 0
    assert len(world.controller._touch_ups._queue) == 1
    await touch_up(world)
    assert len(world.writes()) == 1


@in_loop
async def test_a_run_that_starts_during_a_walk_is_shown_soon_after_it() -> None:
    """Only its status is another: nothing is put right, but its row is due."""
    world = await started()
    tenant = world.controller._tenants[KEY]
    async with world.controller._touch_ups.alone(KEY, tenant):
        change(world, 7, lambda body: body.update(status={"lastScheduleTime": "2026-03-01T03:00:00Z"}))
    world.controller._queue.forget(KEY)
    world.wait(60)
    await touch_up(world)
    assert (world.writes(), world.due_in()) == ([], STARTS_WAIT_SECONDS)


@in_loop
async def test_a_hanging_fetch_holds_up_no_repair() -> None:
    """The walk asks its source first; until it has an answer the app's CronJobs are put right by what is known."""
    world = await started()
    asked, answered = asyncio.Event(), asyncio.Event()
    fetch = world.site.fetch

    async def hang(*arguments: Any, **named: Any) -> Any:
        asked.set()
        await answered.wait()
        return await fetch(*arguments, **named)

    world.site.fetch = hang  # type: ignore[method-assign]  # this is what the test is about
    world.apply(annotations={"cronix.dev/reconcile-at": "now"})
    walk = asyncio.create_task(world.walk())
    await asked.wait()
    change(world, 7, pause)
    await touch_up(world)
    assert world.api.objects["cronjobs", NAMESPACE, name_of(7)]["spec"]["suspend"] is False
    answered.set()
    await walk
    assert not world.crashes


@in_loop
async def test_a_contest_ends_in_the_condition_as_with_walks() -> None:
    """Five repairs a minute, then a pause that is told."""
    world = await started()
    for _ in range(7):
        change(world, 7, pause)
        await touch_up(world)
        world.wait(1)
    assert len(world.writes()) == 5
    await world.walk()
    assert world.condition("DriftContested")["status"] == "True"


@in_loop
async def test_a_refused_repair_is_told_by_a_walk() -> None:
    world = await started()
    world.api.fail_at = 1
    change(world, 7, pause)
    await touch_up(world)
    assert world.due_in() == 0.0
    world.api.fail_at = None
    await world.walk()
    assert world.api.objects["cronjobs", NAMESPACE, name_of(7)]["spec"]["suspend"] is False


@in_loop
async def test_a_touch_up_signs_with_the_key_that_a_walk_found_accepted() -> None:
    """In the midst of replacing a key: the order of keys in the job file is the walk's, not the CronixApp's."""
    world = World()
    old = "an old key that the app still has 0123456789"
    data = {
        name: base64.b64encode(text.encode()).decode() for name, text in (("current", SIGNING_KEY), ("previous", old))
    }
    world.api.put("secrets", NAMESPACE, "keys", data=data)
    world.site.answer, world.site.accepts = served("j0"), {old}
    world.apply()
    await world.walk()
    before = world.api.objects["cronjobs", NAMESPACE, name_of(0)]["spec"]
    change(world, 0, pause)
    await touch_up(world)
    assert world.api.objects["cronjobs", NAMESPACE, name_of(0)]["spec"] == before


@in_loop
async def test_a_signer_that_is_rolled_out_in_turns_is_not_rolled_out_by_touch_ups() -> None:
    """A CronJob whose turn has not come and that somebody edits takes the walk's way, at the walk's pace."""
    world = await started(ROLLS_PER_SECOND * 4)
    world.limited(signer_image="registry.example.com/signer:2")
    world.watch()
    await world.walk()
    rolled = [n for n in range(ROLLS_PER_SECOND * 4) if image_of(world, n).endswith(":2")]
    waiting = next(n for n in range(ROLLS_PER_SECOND * 4) if n not in rolled)
    assert len(rolled) == ROLLS_PER_SECOND
    world.clear_writes()
    change(world, waiting, pause)
    await touch_up(world)
    assert (world.writes(), world.due_in()) == ([], 0.0)
    # One that has the new image already is put right at once, with it.
    change(world, rolled[0], lambda body: _pod(body)["containers"][0].update(image="evil"))
    await touch_up(world)
    assert image_of(world, rolled[0]).endswith(":2")


def image_of(world: World, n: int) -> str:
    return str(_pod(world.api.objects["cronjobs", NAMESPACE, name_of(n)])["containers"][0]["image"])


@in_loop
async def test_the_defaults_of_the_installation_are_in_a_touch_up_as_in_a_walk() -> None:
    """A bundle of authorities for every app: a repair without it would be the next walk's drift."""
    world = await started()
    world.limited(ca_config_map=("corporate-ca", "ca.crt"))
    world.watch()
    await world.walk()
    before = copy.deepcopy(world.api.objects["cronjobs", NAMESPACE, name_of(7)]["spec"])
    assert "corporate-ca" in str(before)
    change(world, 7, pause)
    world.clear_writes()
    await touch_up(world)
    assert world.api.objects["cronjobs", NAMESPACE, name_of(7)]["spec"] == before
    assert len(world.writes("cronjobs/")) == 1


@in_loop
async def test_a_repair_of_what_the_cluster_itself_rewrites_is_not_repeated() -> None:
    """A webhook sets a field on every write: told once, then the pair of that write is what is ours."""
    world = await started()
    world.api.admit = pause
    change(world, 7, pause)
    await touch_up(world)
    assert world.events.reasons() == ["ServerMutation"]
    world.controller.saw_cron_job(world.api.objects["cronjobs", NAMESPACE, name_of(7)], deleted=False)
    assert len(world.controller._touch_ups._queue) == 0


@in_loop
async def test_a_cronjob_of_another_owner_is_not_touched() -> None:
    """T3: a falsified owner is a conflict that a person must see, not a thing to put right."""
    world = await started()
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "0", "controller": True}
    change(world, 7, lambda body: body["metadata"].update(ownerReferences=[owner]))
    await touch_up(world)
    assert (world.writes(), world.due_in()) == ([], 0.0)
