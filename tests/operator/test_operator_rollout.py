"""A new signer image reaches the CronJobs a few at a time and is told once; any other change goes at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_operator.core.history import MAX_ROWS
from cronix_operator.pace import Pace
from operator_fakes.builders import LIMITS, NAMESPACE, job, served
from operator_fakes.world import ROLLS_PER_SECOND, World, in_loop

NEW = dataclasses.replace(LIMITS, signer_image="registry.example.com/cronix-signer:2")
MANY = [f"job-{n:03}" for n in range(12)]


def image(live: Any) -> str:
    return str(live["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"])


def on_new(world: World) -> set[str]:
    return {name for name, live in world.api.cron_jobs().items() if image(live) == NEW.signer_image}


async def upgraded(*jobs: Any, **limits: Any) -> World:
    """A world in step, and the operator restarted with another signer image."""
    world = World()
    world.site.answer = served(*jobs)
    world.apply()
    await world.walk()
    world.limits = dataclasses.replace(NEW, **limits)
    world.events.seen.clear()
    world.restart()
    world.watch()
    world.clear_writes()
    return world


@in_loop
async def test_cron_jobs_roll_a_few_in_a_second_and_one_event_tells_it() -> None:
    world = await upgraded(*MANY)
    uids = {name: live["metadata"]["uid"] for name, live in world.api.cron_jobs().items()}
    await world.walk()
    assert len(on_new(world)) == ROLLS_PER_SECOND
    assert world.status()["summary"]["cronJobs"] == len(MANY), "those that wait are in step with the manifest"
    assert world.condition("Ready")["reason"] == "Succeeded"
    assert world.events.reasons() == []
    assert await world.until_due() == pytest.approx(1.0)
    assert len(on_new(world)) == 2 * ROLLS_PER_SECOND
    await world.until_due()
    assert on_new(world) == world.names()
    (event,) = world.events.seen
    assert event.reason == "SignerRolled"
    assert (
        event.message == f"all 12 CronJobs run the signer {NEW.signer_image} now; nothing else about them has changed"
    )
    assert {name: live["metadata"]["uid"] for name, live in world.api.cron_jobs().items()} == uids
    assert len(world.writes("cronjobs")) == len(MANY), "one write for each"
    await world.until_due()
    assert len(world.writes("cronjobs")) == len(MANY)


@in_loop
async def test_a_restart_in_the_middle_goes_on_in_turns() -> None:
    world = await upgraded(*MANY)
    await world.walk()
    world.restart()
    world.watch()
    await world.walk()
    assert len(on_new(world)) == 2 * ROLLS_PER_SECOND
    assert world.events.reasons() == []


@in_loop
async def test_the_pull_policy_alone_is_rolled_too() -> None:
    world = await upgraded(*MANY, signer_image=LIMITS.signer_image, signer_image_pull_policy="Always")
    await world.walk()
    assert len(world.writes("cronjobs")) == ROLLS_PER_SECOND


@in_loop
async def test_a_foreign_image_is_put_right_at_once_also_while_others_roll() -> None:
    """Promise 5: somebody else's image beside a key must not wait for its turn."""
    world = await upgraded(*MANY)
    evil = "cronix-billing-job-011-0"

    def edit(live: Any) -> None:
        live["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"

    world.api.touch("cronjobs", NAMESPACE, evil, edit)
    await world.walk()
    assert evil in on_new(world)
    assert len(on_new(world)) == ROLLS_PER_SECOND + 1


@in_loop
async def test_a_change_of_the_manifest_goes_at_once_and_takes_the_image_with_it() -> None:
    world = await upgraded(*MANY)
    world.site.answer = served(*MANY[:-1], job(MANY[-1], "0 5 * * *"))
    await world.walk()
    assert f"cronix-billing-{MANY[-1]}-0" in on_new(world)
    assert len(on_new(world)) == ROLLS_PER_SECOND + 1
    assert world.events.reasons() == ["ManifestApplied"]


@in_loop
async def test_the_cron_jobs_that_status_has_no_room_for_are_rolled_with_the_others() -> None:
    """After a restart nothing is known of them but that they look like those that we wrote."""
    schedules = [f"{n} 0 * * *" for n in range(45)]
    jobs = [job(f"job-{n}", schedules) for n in range(6)]
    world = await upgraded(*jobs)
    assert len(world.names()) > MAX_ROWS
    await world.walk()
    assert len(world.writes("cronjobs")) == ROLLS_PER_SECOND
    assert world.events.reasons() == []


@in_loop
async def test_a_conflict_in_a_roll_is_no_drift() -> None:
    """The CronJob controller writes status all the time; the second attempt is the same roll."""
    world = await upgraded("tick")
    hits: list[str] = []

    def controller(method: str, path: str) -> None:
        if method == "PUT" and not hits:
            hits.append(path)
            world.api.touch(
                "cronjobs",
                NAMESPACE,
                "cronix-billing-tick-0",
                lambda live: live.setdefault("status", {}).update(lastScheduleTime="2026-11-22T12:00:00Z"),
            )

    world.api.before = controller
    await world.walk()
    assert hits
    assert on_new(world) == world.names()
    assert world.events.reasons() == ["SignerRolled"]


@pytest.mark.law
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40), st.floats(0, 3)), min_size=1, max_size=80))
@settings(max_examples=200, deadline=None)
def test_in_no_second_are_more_than_two_seconds_worth_granted(asks: list[tuple[int, int, float]]) -> None:
    """However many apps ask and however often: turns are handed out one second apart."""
    pace, now, granted = Pace(10), 100.0, []
    for key, wanted, pause in asks:
        now += pause
        count, wait = pace.take(key, wanted, now)
        assert 0 <= count <= min(wanted, 10)
        assert wait > 0 if count < wanted else wait == 0
        granted.append((now, count))
    for start, _ in granted:
        assert sum(count for at, count in granted if start <= at < start + 1) <= 20


def test_everyone_gets_a_turn_in_the_order_of_asking() -> None:
    pace = Pace(10)
    assert pace.take("a", 25, 0.0) == (10, 1.0)
    assert pace.take("b", 5, 0.0) == (0, 2.0)
    assert pace.take("a", 15, 0.5) == (0, 0.5), "asking early costs nothing and gains nothing"
    assert pace.take("a", 15, 1.0) == (10, 1.5)
    assert pace.take("b", 5, 2.0) == (5, 0.0)
    assert pace.take("a", 5, 2.5) == (5, 0.0)


def test_a_turn_that_nobody_comes_for_is_forgotten() -> None:
    pace = Pace(1)
    pace.take("kept", 2, 0.0)
    pace.take("gone", 2, 0.0)
    pace.take("gone", 0, 1.0)
    pace.take("other", 2, 5000.0)
    assert set(pace._turns) == {"other"}
