"""How often runs are told and written: few Events however many runs, and one write of status in ten seconds."""

from __future__ import annotations

import itertools

import pytest

from cronix_operator.core.announce import Announcement
from cronix_operator.core.runnews import Told, of_run, paced
from cronix_operator.core.runs import ADVICE
from cronix_operator.core.status import may_wait
from operator_fakes.builders import START, at
from operator_fakes.jobs import Object, ended, job, pod, running, terminated, waiting, when
from operator_fakes.run_world import POLICY, Runs, refused
from operator_fakes.world import in_loop


@in_loop
async def test_a_recovery_is_told_and_success_is_no_news() -> None:
    runs = await Runs.standing()
    await runs.succeeds(0)
    assert runs.world.events.seen[1:] == []
    await runs.fails(1)
    await runs.succeeds(2)
    await runs.world.walk()
    assert runs.world.events.reasons()[1:] == ["AppRejected", "Recovered"]
    assert "consecutiveFailures" not in runs.row()
    assert runs.world.status()["summary"]["failing"] == 0
    assert runs.world.status()["lastFailure"]["outcome"] == "AppRejected"


@in_loop
async def test_a_job_that_fails_each_minute_does_not_fill_the_events() -> None:
    """C8: a day of it is a handful of Events."""
    runs = await Runs.standing()
    for number in range(300):
        await runs.fails(number)
    assert len(runs.world.ended) == 300
    assert len(runs.world.events.seen[1:]) == 6, "the 1st, 3rd, 10th, 30th, 100th and 300th"
    assert "300 in a row" in runs.world.events.seen[-1].message


@in_loop
async def test_a_job_that_fails_every_other_minute_is_told_every_five_minutes() -> None:
    runs = await Runs.standing()
    for number in range(0, 60, 2):
        await runs.fails(number)
        await runs.succeeds(number + 1)
    reasons = runs.world.events.reasons()[1:]
    assert len(reasons) <= 2 * (60 // 5)
    assert reasons.count("AppRejected") - reasons.count("Recovered") in {0, 1}


@in_loop
async def test_rows_are_written_every_ten_seconds_at_most_and_conditions_at_once() -> None:
    """Twenty runs that end one after the other, three seconds apart; then one whose image is not there."""
    runs = await Runs.standing()
    writes: list[int] = []
    for second in range(60):
        if second % 3 == 0:
            body = runs.job(0, name=f"by-hand-{second}", at=second)
            runs.saw(ended(body, second, POLICY), pod(body, state=terminated(1, refused(0), at=second)))
        await runs.to(second)
        if runs.world.due_in() <= 0:
            runs.world.clear_writes()
            await runs.world.walk()
            writes += [second] * len(runs.world.writes("cronixapps"))
    assert len(runs.world.ended) == 20
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(writes))
    assert len(writes) == 6
    stuck = runs.job(2)
    runs.saw(stuck, pod(stuck, state=waiting("ErrImagePull", "no such tag")))
    await runs.to(61)
    assert runs.world.due_in() <= 0
    await runs.world.walk()
    condition = runs.world.condition("RunStuck")
    assert (condition["status"], condition["reason"]) == ("True", "NeverStarted")
    assert "no such tag" in condition["message"]
    assert runs.row()["activeRun"]["problem"] == "NeverStarted"
    assert runs.world.events.reasons()[-1] == "NeverStarted"


@in_loop
async def test_many_runs_that_do_not_start_are_one_condition_and_a_write_in_ten_seconds() -> None:
    """The registry is away: each new Job is in trouble, and the kubelet's words change all the time."""
    runs = await Runs.standing()
    writes: list[float] = []
    for second in range(60):
        stuck = runs.job(0, name=f"by-hand-{second}", at=second)
        word = "ErrImagePull" if second % 2 else "ImagePullBackOff"
        runs.saw(stuck, pod(stuck, state=waiting(word)), pod(runs.job(0, name="by-hand-0", at=0), state=waiting(word)))
        await runs.to(second)
        if runs.world.due_in() <= 0:
            runs.world.clear_writes()
            await runs.world.walk()
            writes += [second] * len(runs.world.writes("cronixapps"))
    assert runs.world.condition("RunStuck")["reason"] == "NeverStarted"
    assert len(writes) <= 7, "one at once, then one in ten seconds"
    assert runs.world.events.reasons()[1:] == ["NeverStarted"]


@in_loop
async def test_a_trouble_of_another_kind_is_told_at_once() -> None:
    """A pod that was not seen to start, two minutes later should be gone, and at last is: three things to know.

    The same word again within five minutes is no news (attack C8).
    """
    runs = await Runs.standing()
    body = runs.job(0)
    runs.saw(body, pod(body))
    await runs.to(70)
    dying = pod(body, state=running(2))
    dying["metadata"]["deletionTimestamp"] = when(75)
    runs.saw(dying)
    await runs.to(200)
    assert runs.world.events.reasons()[1:] == ["NeverStarted", "RunStuck"]
    runs.saw(dying, deleted=True)
    runs.saw(ended(body, 210, "DeadlineExceeded", "Job was active longer than specified deadline"))
    await runs.to(215)
    assert runs.world.events.reasons()[1:] == ["NeverStarted", "RunStuck", "DeadlineExceeded"]
    later = runs.job(4)
    runs.saw(ended(later, 250, "DeadlineExceeded", "x"), pod(later, state=running(242)))
    await runs.to(255)
    assert [run.outcome for run in runs.world.ended] == ["DeadlineExceeded"] * 2
    assert runs.world.events.reasons()[1:] == ["NeverStarted", "RunStuck", "DeadlineExceeded"]


@in_loop
async def test_a_walk_for_another_reason_does_not_write_rows_early() -> None:
    """A drift repair right after a write: what it has to say of runs travels with the next write."""
    runs = await Runs.standing()
    await runs.fails(0)
    await runs.world.walk()
    runs.world.clear_writes()
    again = runs.job(0, name="again", at=6)
    runs.saw(ended(again, 7, POLICY), pod(again, state=terminated(1, refused(0), at=7)))
    await runs.to(8)
    await runs.world.walk()
    assert runs.world.writes("cronixapps") == []
    assert 0 < runs.world.due_in() <= 10
    await runs.world.until_due()
    assert runs.row()["consecutiveFailures"] == 2


def test_an_app_of_which_everything_fails_at_once_says_so_in_ten_events() -> None:
    news = [Announcement("Warning", "RetriesExhausted", f"job-{n}/0: failed") for n in range(256)]
    kept, spoken = paced(news, (), START)
    assert len(kept) == 10
    assert "247 more" in kept[-1].message
    assert paced(news, spoken, at(30).utc)[0] == []
    assert len(paced(news, spoken, at(61).utc)[0]) == 10


def test_an_old_failure_is_no_news() -> None:
    """A restart after a long time finds failed Jobs of yesterday: they are counted and shown, not told again."""
    from cronix_operator.core.jobfacts import parse_job
    from cronix_operator.core.runs import run_of
    from operator_fakes.jobs import ORIGIN

    facts = parse_job(ended(job(), 5, POLICY))
    assert facts is not None
    run = run_of(ORIGIN, facts, [])
    assert of_run(Told(), run, 1, at(60).utc)[1] != []
    assert of_run(Told(), run, 1, at(3600).utc)[1] == []
    assert run.outcome in ADVICE


def _told(kind: str, **fields: str) -> Object:
    condition = {"type": kind, "status": "True", "reason": "NeverStarted", "message": "tick/0: no image", **fields}
    return {"conditions": [condition], "summary": {"jobs": 1, "failing": 1}, "jobs": [{"name": "tick", "index": 0}]}


WAITS: dict[str, tuple[Object, bool]] = {
    "another run of the same trouble": (_told("RunStuck", message="tick/0: no image; and 3 more"), True),
    "another reason": (_told("RunStuck", reason="RunStuck"), False),
    "the condition is gone": ({**_told("RunStuck"), "conditions": []}, False),
    "a message of another condition": ({"conditions": [*_told("RunStuck")["conditions"], _told("WeakKey")]}, False),
    "a run ended": ({"jobs": [{"name": "tick", "index": 0, "lastRun": {}, "lastScheduleTime": "x"}]}, True),
    "failing, active": ({"summary": {"jobs": 1, "failing": 0, "active": 5}}, True),
    "another job": ({"summary": {"jobs": 2, "failing": 1}}, False),
    "another CronJob": ({"jobs": [{"name": "tick", "index": 0, "specHash": "x"}]}, False),
    "the manifest was fetched": ({"manifest": {"lastFetchTime": "x"}}, True),
    "the manifest changed": ({"manifest": {"hash": "x"}}, False),
}


@pytest.mark.parametrize(("status", "waits"), list(WAITS.values()), ids=list(WAITS))
def test_only_what_tells_of_runs_may_wait(status: Object, waits: bool) -> None:
    assert may_wait(status, _told("RunStuck")) == waits
