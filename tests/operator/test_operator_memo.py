"""What is kept from one walk to the next, or from one job to the next, never stands for something that has changed."""

from __future__ import annotations

from typing import Any

from cronix_operator.core.memory import Known
from cronix_operator.core.touchup import has_run, is_news, seen
from operator_fakes.builders import NAMESPACE, served
from operator_fakes.world import World, in_loop

NAME = "cronix-billing-sync-0"


async def in_step(world: World) -> Known:
    """What is known of the one CronJob, once its app is in step."""
    world.site.answer = served("sync")
    world.apply()
    await world.walk()
    await world.walk()
    return known(world)


def known(world: World) -> Known:
    return world.controller._tenants[NAMESPACE, "billing"].memory.pairs[NAME]


@in_loop
async def test_a_resync_without_a_change_makes_nothing_anew() -> None:
    """What was known of a version of a CronJob is the same object after one more walk: no hash of it was made again."""
    world = World()
    first = await in_step(world)
    await world.walk()
    assert known(world) is first


@in_loop
async def test_another_version_is_looked_at_anew() -> None:
    """A CronJob that ran or that another tool annotated has a new version; after the walk it is what is known."""
    for change in (_ran, _annotated):
        world = World()
        first = await in_step(world)
        world.api.touch("cronjobs", NAMESPACE, NAME, change)
        live = world.api.cron_jobs()[NAME]
        tenant = world.controller._tenants[NAMESPACE, "billing"]
        moved = seen(live, keep=False)
        assert is_news(tenant.memory, moved) or has_run(tenant.memory, moved)
        await world.walk()
        assert known(world).version == live["metadata"]["resourceVersion"] != first.version
        assert not is_news(tenant.memory, moved)
        assert not has_run(tenant.memory, moved)


def _ran(live: dict[str, Any]) -> None:
    live["status"] = {"lastScheduleTime": "2026-11-22T12:00:00Z"}


def _annotated(live: dict[str, Any]) -> None:
    live["metadata"]["annotations"]["example.com/team"] = "shop"


@in_loop
async def test_what_a_webhook_wrote_becomes_what_is_declared() -> None:
    """The object stays as it is, its version too, but it is as rendered now: the pair says so; nothing is written."""
    world = World()
    world.api.admit = lambda body: body["spec"].update(successfulJobsHistoryLimit=7)
    pair = await in_step(world)
    assert pair.rendered != pair.live
    world.clear_writes()
    world.apply(jobDefaults={"successfulJobsHistoryLimit": 7})
    await world.walk()
    assert world.writes("cronjobs") == []
    assert known(world).rendered == known(world).live == pair.live
