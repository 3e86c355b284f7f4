"""Nothing goes unless two valid fetches, half a minute apart, agree (promise 2, attack K4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronix_operator.core.prune import Absence, Verdict, judge, note_absent, second_look
from operator_fakes.builders import document, job, served
from operator_fakes.world import GONE, World, in_loop


def verdict(absent: int, owned: int, *, seconds: float = 30, percent: int = 50, **more: Any) -> Verdict:
    absences = {f"job-{n}": Absence(0.0, seconds) for n in range(absent)}
    arguments = {"own_word": False, "approval": "sha256:new", "approved": None, **more}
    return judge(absences, owned=owned, max_delete_percent=percent, **arguments)


@pytest.mark.parametrize(
    ("absent", "owned", "percent", "goes"),
    [
        (1, 1, 50, True), (2, 2, 50, True), (3, 6, 50, True), (3, 5, 50, False), (4, 4, 100, True),
        (3, 300, 0, False), (1, 300, 0, False), (3, 299, 1, False), (3, 300, 1, True),
    ],
)  # fmt: skip
def test_many_at_once_wait_for_approval(absent: int, owned: int, percent: int, goes: bool) -> None:
    found = verdict(absent, owned, percent=percent)
    assert (len(found.allowed), len(found.blocked)) == ((absent, 0) if goes else (0, absent))
    assert found.approval == (None if goes else "sha256:new")


def test_approving_one_shrink_does_not_approve_the_next() -> None:
    assert len(verdict(9, 9, approved="sha256:new").allowed) == 9
    assert len(verdict(9, 9, approved="sha256:old").blocked) == 9


def test_the_tenants_own_word_needs_no_second_look_but_the_share_counts() -> None:
    assert len(verdict(2, 9, seconds=0, own_word=True).allowed) == 2
    assert len(verdict(9, 9, seconds=0, own_word=True).blocked) == 9


def test_one_look_is_not_enough_and_neither_are_two_in_a_hurry() -> None:
    assert verdict(1, 9, seconds=0).unconfirmed == verdict(1, 9, seconds=29.9).unconfirmed == {"job-0"}


def test_who_comes_back_starts_anew() -> None:
    first = note_absent(["a", "b"], {}, 0.0)
    back = note_absent(["b"], first, 20.0)
    again = note_absent(["a", "b"], back, 40.0)
    assert again == {"a": Absence(40.0, 40.0), "b": Absence(0.0, 40.0)}
    assert second_look(again) == 70.5
    assert second_look({"b": again["b"]}) is None


async def standing(*jobs: dict[str, Any] | str, **spec: Any) -> World:
    world = World()
    world.site.answer = served(*jobs)
    world.apply(**spec)
    await world.walk()
    return world


@in_loop
async def test_renaming_the_only_job_works_within_a_minute_and_the_old_one_stays_until_then() -> None:
    world = await standing("before")
    world.site.answer = served("after")
    await world.until_due()
    assert world.names() == {"cronix-billing-before-0", "cronix-billing-after-0"}
    waited = await world.until_due()
    assert 30 <= waited < 35
    assert world.names() == {"cronix-billing-after-0"}


@in_loop
async def test_waiting_for_the_second_look_is_no_busy_loop() -> None:
    """However long the endpoint then fails, walks stay as rare as its back-off."""
    world = await standing("a", "b")
    world.site.answer = served("a")
    await world.until_due()
    world.site.answer = GONE
    fetched, start = world.site.fetched, world.seconds
    walks = 0
    while world.seconds < start + 600:
        await world.until_due()
        walks += 1
    assert walks <= 12
    assert world.site.fetched - fetched <= 12
    assert "cronix-billing-b-0" in world.names()


@in_loop
async def test_a_suspended_app_with_an_unconfirmed_absence_sleeps() -> None:
    world = await standing("a", "b")
    world.site.answer = served("a")
    await world.until_due()
    world.apply(suspend=True)
    await world.walk()
    assert world.due_in() >= 300
    world.wait(400)
    await world.walk()
    assert len(world.names()) == 2


@in_loop
async def test_a_walk_that_did_not_fetch_confirms_nothing() -> None:
    world = await standing("a", "b")
    world.site.answer = served("a")
    await world.until_due()
    for _ in range(5):
        world.wait(5)
        await world.walk()
    assert len(world.names()) == 2


@in_loop
async def test_a_restart_starts_the_count_anew() -> None:
    world = await standing("a", "b")
    world.site.answer = served("a")
    await world.until_due()
    world.restart()
    world.wait(60)
    world.watch()
    await world.walk()
    assert len(world.names()) == 2
    await world.until_due()
    assert len(world.names()) == 1


@in_loop
async def test_a_large_removal_waits_for_its_own_approval() -> None:
    world = await standing(*"abcd")
    world.site.answer = served("a")
    await world.until_due()
    await world.until_due()
    assert len(world.names()) == 4
    told = world.condition("PruneBlocked")["message"]
    digest = told.rpartition("=")[2]
    world.apply(annotations={"cronix.dev/approve-prune": "sha256:" + "0" * 64})
    await world.walk()
    assert len(world.names()) == 4
    world.apply(annotations={"cronix.dev/approve-prune": digest})
    await world.walk()
    assert world.names() == {"cronix-billing-a-0"}


@in_loop
async def test_a_run_ends_before_its_cron_job_goes() -> None:
    world = await standing("a", "b")
    key = ("cronjobs", "shop", "cronix-billing-b-0")
    world.api.touch(*key, lambda body: body.update(status={"active": [{"name": "run"}]}))
    world.site.answer = served("a")
    await world.until_due()
    await world.until_due()
    assert world.api.objects[key]["spec"]["suspend"] is True
    for _ in range(3):
        assert await world.until_due() <= 10
    assert key in world.api.objects
    world.api.touch(*key, lambda body: body.update(status={}))
    await world.until_due()
    assert key not in world.api.objects


@in_loop
async def test_a_job_that_comes_back_while_its_last_run_ends_is_as_before() -> None:
    world = await standing("a", "b")
    key = ("cronjobs", "shop", "cronix-billing-b-0")
    world.api.touch(*key, lambda body: body.update(status={"active": [{"name": "run"}]}))
    world.site.answer = served("a")
    await world.until_due()
    await world.until_due()
    world.site.answer = served("a", "b")
    world.apply(annotations={"cronix.dev/reconcile-at": "now"})
    await world.walk()
    assert world.api.objects[key]["spec"]["suspend"] is False


@in_loop
async def test_an_inline_edit_is_followed_at_once() -> None:
    world = World()
    world.apply(source={"inline": document("a", "b")}, allowInsecureHTTP=True)
    await world.walk()
    world.apply(source={"inline": document("a")}, allowInsecureHTTP=True)
    await world.walk()
    assert world.names() == {"cronix-billing-a-0"}


@in_loop
async def test_switching_to_a_broken_inline_manifest_confirms_nothing() -> None:
    """The last good manifest is still the one that the app served short, once."""
    world = await standing("a", "b")
    world.site.answer = served("a")
    await world.until_due()
    world.apply(source={"inline": {"version": 2}})
    for _ in range(3):
        await world.until_due()
    assert len(world.names()) == 2


@in_loop
async def test_too_many_jobs_keep_what_is_there() -> None:
    """J6."""
    world = await standing("a", "b")
    world.limited(max_cron_jobs_per_app=2)
    world.watch()
    world.site.answer = served(job("a", ["0 * * * *"] * 3))
    await world.walk()
    await world.until_due()
    assert world.names() == {"cronix-billing-a-0", "cronix-billing-b-0"}
    assert world.condition("Stalled")["reason"] == "TooManyJobs"


GOOD, SHORT = served(*"abcde"), served(*"ab")
ANSWERS: dict[str, Any] = {
    "good": GOOD,
    "short": SHORT,
    "old replica": served(*"cdef"),
    "empty list": b'{"version":1,"app":"billing","jobs":[]}',
    "no content": b"",
    "login page": b"<html>please log in</html>",
    "half": GOOD[:40],
    "5xx": GONE,
    "another app": served("a", app="other"),
    "one job faulty": served("a", "b", job("c", timezone="Local")),
    "crash": RuntimeError("a bug of ours"),
}
VALID = {"good", "short", "old replica", "one job faulty"}


@pytest.mark.law
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.tuples(st.sampled_from(sorted(ANSWERS)), st.sampled_from([1, 14, 29, 31, 300])), max_size=8),
    restart_at=st.integers(0, 10),
)
def test_no_sequence_of_answers_removes_a_job_that_was_not_absent_twice(
    steps: list[tuple[str, int]], restart_at: int
) -> None:
    """K4: a CronJob that went was missing from two valid fetches 30 s apart, and from every valid one between them."""

    async def run() -> None:
        world = await standing(*"abcde", prune={"maxDeletePercent": 100})
        absent_since: dict[str, float] = {}
        for number, (name, seconds) in enumerate(steps):
            world.wait(seconds)
            if number == restart_at:
                world.restart()
                world.watch()
                absent_since.clear()
            world.site.answer = ANSWERS[name]
            before, fetched = world.names(), world.site.fetched
            world.apply(prune={"maxDeletePercent": 100}, annotations={"cronix.dev/reconcile-at": str(number)})
            await world.walk()
            gone = before - world.names()
            if world.site.fetched > fetched and name in VALID:
                named = {f"cronix-billing-{letter}-0" for letter in "abcdef" if f'"{letter}"' in str(ANSWERS[name])}
                absent_since = {
                    cron_job: absent_since.get(cron_job, world.seconds)
                    for cron_job in before | named
                    if cron_job not in named
                }
                assert all(world.seconds - absent_since[cron_job] >= 30 for cron_job in gone)
            else:
                assert gone == set()

    asyncio.run(run())


@in_loop
async def test_a_walk_that_the_api_server_cut_short_removes_what_the_tenant_took_out_when_it_is_repeated() -> None:
    """The manifest was read, then nothing was answered: the next walk does not read it again, and still knows."""
    world = World()
    world.apply(source={"inline": document("a", "b")}, allowInsecureHTTP=True)
    await world.walk()
    world.apply(source={"inline": document("a")}, allowInsecureHTTP=True)

    def away(method: str, path: str) -> None:
        raise GONE

    world.api.before = away
    await world.walk()
    world.api.before = None
    await world.until_due()
    assert world.names() == {"cronix-billing-a-0"}
    assert world.seconds < 60
