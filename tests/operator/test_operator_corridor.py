"""The whole corridor against an API server in memory: converges, writes once, and dies anywhere without harm."""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
from typing import Any

import pytest

from operator_fakes.builders import APP_UID, NAMESPACE, OTHER_UID, job, served
from operator_fakes.world import GONE, KEY, World, in_loop

BEFORE = served("stays", "goes", job("moves", ["0 1 * * *", "0 2 * * *"]))
AFTER = served("stays", "comes", job("moves", ["0 3 * * *", "0 2 * * *", "0 4 * * *"], timezone="Europe/Paris"))


async def running(answer: bytes = BEFORE, **spec: Any) -> World:
    """A world in which this manifest is in force and nothing is left to do."""
    world = World()
    world.site.answer = answer
    world.apply(**spec)
    await world.walk()
    assert world.condition("Ready")["status"] == "True"
    world.clear_writes()
    return world


def declared(world: World) -> dict[str, Any]:
    """What we say about each CronJob, without what the server adds."""
    ours = ("labels", "annotations", "ownerReferences")
    return {
        name: (live["spec"], {part: live["metadata"].get(part) for part in ours})
        for name, live in world.api.cron_jobs().items()
    }


@in_loop
async def test_a_new_app_gets_its_cron_jobs_and_is_ready() -> None:
    world = await running()
    assert world.names() == {f"cronix-billing-{part}" for part in ("stays-0", "goes-0", "moves-0", "moves-1")}
    assert world.status()["summary"]["cronJobs"] == 4
    assert world.events.reasons() == ["ManifestApplied"]


@in_loop
async def test_a_weak_key_is_told_by_the_walk_that_reads_it() -> None:
    """WeakKey: at once, not at the next interval; and it goes with the key."""
    world = World()
    world.site.answer = BEFORE
    world.site.accepts |= {"short", "0123456789abcdef"}
    world.api.put("secrets", NAMESPACE, "keys", data={"current": base64.b64encode(b"short").decode()})
    world.apply()
    await world.walk()
    assert "openssl rand -hex 32" in world.condition("WeakKey")["message"]
    assert world.condition("Ready")["status"] == "True"
    world.api.put("secrets", NAMESPACE, "keys", data={"current": base64.b64encode(b"0123456789abcdef").decode()})
    await world.until_due()
    assert world.condition("WeakKey") == {}


@in_loop
async def test_a_resync_without_a_change_writes_nothing() -> None:
    """Promise 4."""
    world = await running()
    for _ in range(3):
        await world.until_due()
    assert world.site.fetched == 4
    assert world.writes() == []


@in_loop
async def test_a_restart_without_a_change_writes_nothing() -> None:
    """Promise 4, after a restart too: hash pairs and the time of the last change come back from status."""
    world = await running()
    world.api.admit = None
    world.restart()
    world.watch()
    world.wait(3)
    await world.walk()
    assert world.writes() == []


@in_loop
async def test_a_mutating_webhook_costs_no_write_after_the_first_and_none_after_a_restart() -> None:
    def inject(body: dict[str, Any]) -> None:
        body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["hostAliases"] = [{"ip": "10.0.0.1"}]

    world = World()
    world.api.admit = inject
    world.site.answer = BEFORE
    world.apply()
    await world.walk()
    world.clear_writes()
    await world.until_due()
    world.restart()
    world.watch()
    await world.walk()
    assert world.writes() == []


@in_loop
async def test_a_webhook_that_arrives_later_is_told_once_and_left() -> None:
    """A server-side mutation must not make the operator loop."""

    def inject(body: dict[str, Any]) -> None:
        body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["hostAliases"] = [{"ip": "10.0.0.1"}]

    world = await running(served("sync"))
    world.api.admit = inject
    world.api.touch("cronjobs", NAMESPACE, "cronix-billing-sync-0", lambda body: None)
    for _ in range(4):
        await world.walk()
    assert len(world.writes("cronjobs")) == 1
    assert world.events.reasons().count("ServerMutation") == 1


@in_loop
async def test_one_changed_schedule_costs_one_write_and_one_of_status() -> None:
    """Promise 4: an update keeps the object (uid) and costs one write."""
    world = await running(served("stays", job("moves", "30 3 * * *")))
    uid = world.api.cron_jobs()["cronix-billing-moves-0"]["metadata"]["uid"]
    world.site.answer = served("stays", job("moves", "45 3 * * *"))
    await world.until_due()
    assert [method for method, _ in world.writes("cronjobs")] == ["PUT"]
    assert [method for method, _ in world.writes("cronixapps")] == ["PATCH"]
    assert world.api.cron_jobs()["cronix-billing-moves-0"]["metadata"]["uid"] == uid


async def settled_after(world: World) -> None:
    """Walk as often as the operator asks for within ten minutes, with its own pauses."""
    end = world.seconds + 600
    while world.seconds < end:
        await world.until_due()


@functools.cache
def without_a_failure() -> tuple[dict[str, Any], int]:
    async def run() -> tuple[dict[str, Any], int]:
        world = await running()
        world.site.answer = AFTER
        await settled_after(world)
        return declared(world), len(world.writes())

    return asyncio.run(run())


@pytest.mark.parametrize("applied", [False, True], ids=["lost on the way there", "answer lost on the way back"])
def test_dying_after_any_write_converges_on_the_next_walk(applied: bool) -> None:
    """Every write of a large change fails once, in turn; in the end the cluster is the same and nothing is written."""
    expected, count = without_a_failure()
    assert count >= 7

    async def dies_at(number: int, *, restarts: bool) -> None:
        world = await running()
        world.site.answer = AFTER
        world.api.fail_at, world.api.applied = number, applied
        await world.until_due()
        if restarts:
            await asyncio.sleep(0)
            world.restart()
            world.watch()
            await world.walk()
        await settled_after(world)
        assert declared(world) == expected, number
        assert world.condition("Ready")["reason"] == "Succeeded"
        world.clear_writes()
        await world.until_due()
        assert world.writes() == [], number

    async def run() -> None:
        for number in range(1, count + 1):
            await dies_at(number, restarts=number % 2 == 0)

    asyncio.run(run())


@in_loop
async def test_an_api_server_that_is_away_deletes_nothing_and_loses_no_fetched_manifest() -> None:
    world = await running(served("old"))
    world.site.answer = served("old", "new")
    world.wait(world.due_in())
    fetched = world.site.fetched

    def away(method: str, path: str) -> None:
        raise GONE

    world.api.before = away
    await world.walk()
    world.api.before = None
    assert world.names() == {"cronix-billing-old-0"}
    while world.seconds < 400 and "cronix-billing-new-0" not in world.names():
        await world.until_due()
    assert world.names() == {"cronix-billing-old-0", "cronix-billing-new-0"}
    assert world.site.fetched <= fetched + 2


@in_loop
async def test_the_controllers_own_status_writes_do_not_keep_a_change_out() -> None:
    """A minutely job makes every resourceVersion stale (K6): 409, look again, write again, at once."""
    world = await running(served(job("busy", "* * * * *")))
    world.site.answer = served(job("busy", "*/2 * * * *"))
    left = [3]

    def run_starts(method: str, path: str) -> None:
        if method == "PUT" and left[0]:
            left[0] -= 1
            stamp = f"2026-11-22T12:0{left[0]}:00Z"
            world.api.touch(
                "cronjobs", NAMESPACE, "cronix-billing-busy-0", lambda b: b.update(status={"lastScheduleTime": stamp})
            )

    world.api.before = run_starts
    await world.until_due()
    assert world.api.cron_jobs()["cronix-billing-busy-0"]["spec"]["schedule"] == "*/2 * * * *"
    assert world.condition("Ready")["status"] == "True"


@in_loop
async def test_a_foreign_cron_job_of_our_name_is_never_touched() -> None:
    """T3, K6: told as NameConflict, and the other jobs go on."""
    world = World()
    theirs = world.api.put("cronjobs", NAMESPACE, "cronix-billing-sync-0", spec={"schedule": "1 1 1 1 *"})
    before = copy.deepcopy(theirs)
    world.site.answer = served("sync", "other")
    world.apply()
    await world.walk()
    assert world.api.cron_jobs()["cronix-billing-sync-0"] == before
    assert "cronix-billing-other-0" in world.names()
    assert "cronix.dev/adopt" in world.condition("Ready")["message"]
    assert world.status()["invalidJobs"][0]["reason"] == "NameConflict"


@in_loop
async def test_a_label_only_imitation_survives_a_prune() -> None:
    """T5: whoever writes our labels on his own CronJob does not make it ours."""
    world = await running(served("sync", "goes"))
    labels = copy.deepcopy(world.api.cron_jobs()["cronix-billing-goes-0"]["metadata"]["labels"])
    world.api.put("cronjobs", NAMESPACE, "theirs", spec={})["metadata"]["labels"] = labels
    world.site.answer = served("sync")
    await settled_after(world)
    assert world.names() == {"cronix-billing-sync-0", "theirs"}


@in_loop
async def test_a_stripped_label_is_put_back_in_place() -> None:
    """The watch says DELETED, the list does not show it, the POST says AlreadyExists: GET, and PUT on the same uid."""
    world = await running(served("sync"))
    uid = world.api.cron_jobs()["cronix-billing-sync-0"]["metadata"]["uid"]
    world.api.touch("cronjobs", NAMESPACE, "cronix-billing-sync-0", lambda b: b["metadata"].update(labels={}))
    await world.walk()
    live = world.api.cron_jobs()["cronix-billing-sync-0"]
    assert (live["metadata"]["uid"], live["metadata"]["labels"]["cronix.dev/job"]) == (uid, "sync")


@in_loop
async def test_two_apps_of_one_id_do_not_fight() -> None:
    """T3: the second CronixApp with the same app id in the namespace is told, and changes nothing."""
    world = await running(served("sync"))
    world.apply("second", app="billing", source={"service": {"name": "billing"}})
    world.api.objects["cronixapps", NAMESPACE, "second"]["metadata"]["uid"] = OTHER_UID
    world.watch("second")
    before = copy.deepcopy(world.api.cron_jobs())
    for _ in range(3):
        await world.walk("second")
        await world.walk()
    assert world.api.cron_jobs() == before
    assert before["cronix-billing-sync-0"]["metadata"]["ownerReferences"][0]["uid"] == APP_UID
    assert world.condition("Ready", "second")["status"] == "False"


@in_loop
async def test_no_key_is_in_anything_that_the_operator_writes() -> None:
    """C5: not in a CronJob, not in status, not in an Event."""
    world = await running()
    stored = [body for key, body in world.api.objects.items() if key[0] != "secrets"]
    assert KEY not in f"{stored} {world.events.seen}"
