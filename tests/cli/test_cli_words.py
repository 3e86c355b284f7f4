"""Schedules in words: what people read, and that they read it right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronix_cli.words import describe
from cronix_protocol.schedule import Schedule, parse_schedule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("5 * * * *", "at minute 5 of every hour"),
        ("0 2 * * *", "at 02:00 every day"),
        ("0 2,14 * * *", "at 02:00 and 14:00 every day"),
        ("30 14 * * 1-5", "at 14:30, Monday to Friday"),
        ("0 0 1 * *", "at 00:00, on day 1 of the month"),
        ("0 0 1,15 1,7 *", "at 00:00, on day 1 and 15 of the month, in January and July"),
        ("0 0 13 * 5", "at 00:00, on day 13 of the month and also every Friday"),
        ("0 */2 * * *", "at minute 0 of every second hour from midnight"),
        ("*/5 8-17 * * 1-5", "every 5 minutes of the hours 8 to 17, Monday to Friday"),
        ("*/7 * * * *", "at minute 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"),
        ("0 0 31 2 *", "never: no date matches"),
        ("0 0 , * 1", "at 00:00, Monday"),
        ("@daily", "at 00:00 every day"),
        ("@every 90m", "every 1 hour and 30 minutes, counted from the run before"),
        ("@every 1h", "every hour, counted from the run before"),
        ("@every 26h", "every 1 day and 2 hours, counted from the run before"),
    ],
)
def test_a_schedule_reads_as_a_person_would_say_it(text: str, words: str) -> None:
    """The words are those of the page."""
    assert describe(parse_schedule(text)) == words


_FIELDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        st.lists(number, min_size=1, max_size=4).map(lambda values: ",".join(map(str, values))),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(1, high).map(lambda step: f"*/{step}"),
    )


SCHEDULES = st.tuples(*(_field(low, high) for low, high in _FIELDS)).map(lambda words: parse_schedule(" ".join(words)))


def _meaning(schedule: Schedule) -> tuple[object, ...]:
    """What decides when it fires: the days are one fact, for an either-day with a full set is every day."""
    fields = schedule.fields
    assert fields is not None
    if schedule.never_fires:
        return ("never",)
    days = tuple(fields.matches_day(day, weekday) for day in range(1, 32) for weekday in range(7))
    return (fields.minute, fields.hour, fields.month, days)


@pytest.mark.law
@given(SCHEDULES, SCHEDULES)
def test_two_schedules_that_read_the_same_fire_at_the_same_times(one: Schedule, other: Schedule) -> None:
    """Words that hide a difference would be worse than none."""
    if describe(one) == describe(other):
        assert _meaning(one) == _meaning(other)


@pytest.mark.law
@given(SCHEDULES, st.integers(0, 4), st.integers(0, 59))
def test_a_schedule_with_one_value_moved_reads_differently_or_fires_the_same(
    one: Schedule, place: int, value: int
) -> None:
    """Near misses, which two free draws seldom give."""
    words = one.text.split()
    low, high = _FIELDS[place]
    words[place] = str(low + value % (high - low + 1))
    other = parse_schedule(" ".join(words))
    assert (describe(one) != describe(other)) or (_meaning(one) == _meaning(other))
