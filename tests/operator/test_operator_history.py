"""Each run is counted once, whatever the order of the news and wherever a restart falls; a missed slot is noticed."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronix_operator.core.history import History, forget, is_counted, mark_of, recall, record, row_of
from cronix_operator.core.runs import Run
from cronix_operator.core.slots import Slots, Timing, begun, look, next_look, recall_slots, slots_row
from operator_fakes.jobs import CRON_JOB, SLOT

MINUTE = timedelta(minutes=1)


def run(number: int, word: str = "Succeeded", *, seconds: float = 5) -> Run:
    """The run of a slot, which ended `seconds` after it."""
    slot = SLOT + number * MINUTE
    return Run(
        cron_job=CRON_JOB,
        job="sync",
        index=0,
        job_name=f"{CRON_JOB}-{number}",
        job_uid=f"job-{number}",
        run_id=f"run-{number}",
        slot=slot,
        manual=False,
        created=slot,
        started=slot,
        finished=slot + timedelta(seconds=seconds),
        outcome=word,
        http_status=503 if word != "Succeeded" else 200,
        attempts=3,
    )


def told(history: History) -> tuple[object, ...]:
    """What anybody can see of a history."""
    return (history.last, history.last_success, history.failures, history.counted)


RUNS = st.lists(
    st.builds(
        run,
        st.integers(0, 200),
        st.sampled_from(["Succeeded", "AppRejected", "RetriesExhausted"]),
        seconds=st.floats(1, 300),
    ),
    unique_by=lambda item: item.job_uid,
    max_size=30,
)


@pytest.mark.law
@given(st.data(), RUNS)
def test_any_order_of_news_gives_the_same_history(data: st.DataObject, runs: list[Run]) -> None:
    """Two watches deliver as they like, and each event may come twice."""
    straight, shuffled = History("u"), History("u")
    for item in runs:
        straight = record(straight, item)
    for item in data.draw(st.permutations(runs + runs[:5])):
        shuffled = record(shuffled, item)
    assert told(straight) == told(shuffled)
    assert mark_of(straight) == mark_of(shuffled)


@pytest.mark.law
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 4), st.data())
def test_a_restart_counts_nothing_twice_and_forgets_nothing(
    total: int, before: int, each_minute: int, data: st.DataObject
) -> None:
    """A new process sees all Jobs that are still there, in any order: counted before or ended while it was away."""
    word = st.sampled_from(["Succeeded", "AppRejected"])
    runs = [
        dataclasses.replace(run(n // each_minute, data.draw(word), seconds=5 + n % each_minute), job_uid=f"job-{n}")
        for n in range(total)
    ]
    history = History("u")
    for item in runs[:before]:
        history = record(history, item)
    again = recall("u", row_of(history) | {"cronJobName": CRON_JOB, "name": "sync", "index": 0})
    assert (again.failures, again.last_success) == (history.failures, history.last_success)
    counted = []
    for item in data.draw(st.permutations(runs)):
        if not is_counted(again, item):
            counted.append(item)
            again = record(again, item)
    assert sorted(counted, key=lambda item: item.job_uid) == sorted(runs[before:], key=lambda item: item.job_uid)
    third = recall("u", row_of(again))
    assert [item for item in runs if not is_counted(third, item)] == []
    for item in runs[before:]:
        history = record(history, item)
    assert (again.failures, again.last_success) == (history.failures, history.last_success)
    assert len(mark_of(again)) < 1024


def test_many_runs_at_once_leave_a_short_mark_that_counts_none_twice() -> None:
    """A hundred manual runs in a minute, or a job that overlaps itself under Allow."""
    runs = [dataclasses.replace(run(0, seconds=n / 2), job_uid=f"job-{n}") for n in range(100)]
    history = History("u")
    for item in runs:
        history = record(history, item)
    again = recall("u", row_of(history))
    assert [item for item in runs if not is_counted(again, item)] == []
    assert len(mark_of(history)) < 512


def test_late_news_after_a_restart_do_not_take_the_mark_back() -> None:
    """An older run is seen after the newest: what the mark covered before stays covered."""
    history = History("u")
    for number in range(10):
        history = record(history, run(number))
    again = recall("u", row_of(history))
    again = record(again, dataclasses.replace(run(8, seconds=30), job_uid="late"))
    third = recall("u", row_of(again))
    assert [item for item in map(run, range(10)) if not is_counted(third, item)] == []


def test_failures_in_a_row_end_with_a_success() -> None:
    history = History("u")
    for number, word in enumerate(["AppRejected", "Succeeded", "RetriesExhausted", "NoKey", "Superseded"]):
        history = record(history, run(number, word))
    assert history.failures == 3
    history = record(history, run(5))
    assert (history.failures, history.last_success) == (0, at(305))


def test_a_thousand_failures_cost_no_more_than_some() -> None:
    """A job that fails each minute for a day."""
    history = History("u")
    for number in range(1000):
        history = forget(record(history, run(number, "AppRejected")), [f"job-{number - 3}"])
    assert history.failures == 1000
    assert max(len(history.counted), len(history.streak), len(history.ends)) <= 64
    assert record(history, run(1000)).failures == 0


def test_a_run_under_way_is_not_counted() -> None:
    history = record(History("u"), dataclasses.replace(run(0), finished=None, outcome=""))
    assert history == History("u")


def test_the_row_says_what_the_last_run_was() -> None:
    row = row_of(record(History("u"), run(0, "RetriesExhausted")))
    assert row["lastRun"] == {
        "jobName": f"{CRON_JOB}-0",
        "runID": "run-0",
        "slot": "2026-11-22T12:01:00Z",
        "startTime": "2026-11-22T12:01:00Z",
        "endTime": "2026-11-22T12:01:05Z",
        "outcome": "RetriesExhausted",
        "httpStatus": 503,
        "attempts": 3,
    }
    assert row["consecutiveFailures"] == 1


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"runMark": "x/y", "consecutiveFailures": True, "lastRun": [], "lastSuccessfulTime": 7},
        {"runMark": 5, "consecutiveFailures": -1, "lastRun": {"endTime": "yesterday"}},
        {"lastRun": {"endTime": "2026-11-22T12:01:05Z", "outcome": "Winning"}, "runMark": "a" * 5000},
    ],
)
def test_a_row_that_somebody_edited_is_read_as_far_as_it_makes_sense(row: dict[str, object]) -> None:
    assert told(recall("u", row)) == told(History("u"))
    assert recall_slots(row, None) == Slots()


def timing(**fields: object) -> Timing:
    base = Timing("u", "* * * * *", "UTC", suspended=False, deadline_seconds=10, created=SLOT, last=None)
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]  # the tests' own words


def at(seconds: float) -> datetime:
    return SLOT + timedelta(seconds=seconds)


def test_slots_that_nothing_started_are_missed_when_their_deadline_is_over() -> None:
    """The controller stands still from 12:01:30 on; the slots at :02 and :03 pass."""
    slots = look(Slots(), timing(last=SLOT), at(2))
    assert look(slots, timing(last=SLOT), at(72)).missed == 0
    assert next_look(slots) == at(73)
    slots = look(slots, timing(last=SLOT), at(73))
    assert (slots.missed, slots.last_missed) == (1, at(60))
    slots = look(slots, timing(last=SLOT), at(140))
    assert (slots.missed, slots.last_missed) == (2, at(120))
    assert look(slots, timing(last=at(180)), at(300)).missed == 3, "12:04 ran, 12:05 did not"


def test_a_slot_that_started_late_or_by_a_job_is_not_missed() -> None:
    """Forbid delays; the Job's news may come before or after the CronJob's."""
    slots = look(Slots(), timing(last=SLOT, deadline_seconds=300), at(2))
    slots = begun(slots, at(60))
    slots = look(slots, timing(last=at(120), deadline_seconds=300), at(141))
    assert slots.missed == 0
    assert look(slots, timing(last=at(240), deadline_seconds=300), at(261)).missed == 1


def test_no_slot_is_missed_while_suspended_or_of_a_schedule_that_was_changed() -> None:
    slots = look(Slots(), timing(suspended=True), at(0))
    assert next_look(slots) is None
    slots = look(slots, timing(suspended=True), at(600))
    slots = look(slots, timing(), at(610))
    assert slots.missed == 0
    slots = look(slots, timing(schedule="*/2 * * * *", last=at(605)), at(3600))
    assert slots.missed == 0


def test_every_counts_from_the_last_slot_as_the_controller_does() -> None:
    every = timing(schedule="@every 90s", last=at(31))
    slots = look(Slots(), every, at(32))
    assert next_look(slots) == at(31 + 90 + 13)
    assert look(slots, every, at(31 + 90 + 13)).missed == 1
    assert look(slots, timing(schedule="@every 90s", last=at(121)), at(150)).missed == 0


def test_after_a_restart_only_what_is_certain_is_missed() -> None:
    slots = dataclasses.replace(look(Slots(), timing(last=SLOT), at(2)), missed=4, last_missed=at(-600))
    row = slots_row(slots) | {"cronJobUID": "u", "schedule": "* * * * *", "timeZone": "UTC", "suspended": False}
    again = look(recall_slots(row, timing(last=SLOT)), timing(last=SLOT), at(200))
    assert again.missed == 4 + 3, "nothing was started since: the slots at 12:02, :03 and :04 are lost"
    moved = look(recall_slots(row, timing(last=at(120))), timing(last=at(120)), at(200))
    assert moved.missed == 4 + 1, "12:02 may have run and be gone; 12:04 did not"
    for other in ({"schedule": "0 * * * *"}, {"cronJobUID": "v"}, {"suspended": True}):
        assert look(recall_slots(row | other, timing(last=SLOT)), timing(last=SLOT), at(200)).missed == 4


@pytest.mark.parametrize("edit", [{"time_zone": "None"}, {"time_zone": "Mars/Olympus"}, {"schedule": "x"}])
def test_a_cron_job_that_somebody_made_unreadable_misses_nothing_and_raises_nothing(edit: dict[str, str]) -> None:
    """T8: it is put right in a second; until then no look at this app's runs may fail."""
    slots = look(look(Slots(), timing(**edit), at(1)), timing(**edit), at(3600))
    assert (slots.missed, next_look(slots)) == (0, None)


def test_a_long_outage_costs_no_endless_count() -> None:
    slots = look(Slots(), timing(last=SLOT), at(1))
    assert look(slots, timing(last=SLOT), SLOT + timedelta(days=30)).missed == 1000


@pytest.mark.law
@given(
    st.lists(st.booleans(), min_size=1, max_size=12),
    st.lists(st.integers(1, 55), min_size=1, max_size=6),
    st.integers(10, 300),
)
def test_missed_and_started_are_all_slots(ran: list[bool], looks: list[int], deadline: int) -> None:
    """However often somebody looks: at the end each slot was either started or is counted as missed."""
    slots = look(Slots(), timing(deadline_seconds=deadline), at(1))
    last: datetime | None = None
    for number, runs in enumerate(ran, start=1):
        if runs:
            last = at(60 * number)
            slots = begun(slots, last)
        for second in sorted(looks):
            slots = look(slots, timing(deadline_seconds=deadline, last=last), at(60 * number + second))
    end = at(60 * len(ran) + deadline + 10)
    slots = look(slots, timing(deadline_seconds=deadline, last=last), end)
    assert slots.missed == ran.count(False)
