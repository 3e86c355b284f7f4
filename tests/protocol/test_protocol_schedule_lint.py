"""What a schedule's author is warned of."""

from datetime import UTC, datetime

import pytest

from cronix_protocol.lint import Lint, lint_schedule
from cronix_protocol.schedule import parse_schedule
from protocol.protocol_helpers import zone

_NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def _lints(text: str, name: str = "UTC", budget_seconds: int = 0) -> dict[str, Lint]:
    lints = lint_schedule(parse_schedule(text), zone(name), _NOW, budget_seconds)
    assert len({lint.code for lint in lints}) == len(lints)
    return {lint.code: lint for lint in lints}


@pytest.mark.parametrize(
    "text", ["* * * * *", "@hourly", "@daily", "*/5 * * * *", "0 */6 * * 1-5", "@every 5m", "0 2 1 * *"]
)
def test_a_plain_schedule_has_no_lint(text: str) -> None:
    """No noise: in UTC none of these surprises anybody."""
    assert _lints(text) == {}


_SKIPPED, _TWICE = "SkippedByClockChange", "TwiceByClockChange"


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("30 2 * * *", "America/New_York", {_SKIPPED: "2026-03-08 02:30 does not exist"}),
        ("30 1 * * *", "America/New_York", {_TWICE: "2026-11-01 01:30 comes twice"}),
        ("30 1 * * 0", "Europe/London", {_SKIPPED: "2026-03-29 01:30", _TWICE: "2026-10-25 01:30"}),
        ("15 2 4 10 *", "Australia/Lord_Howe", {_SKIPPED: "2026-10-04 02:15"}),
        ("45 1 * 4 *", "Australia/Lord_Howe", {_TWICE: "2026-04-05 01:45"}),
        ("0 2 * * 0", "Europe/London", {}),
        ("30 2 * * 1-5", "America/New_York", {}),
        ("30 2 * 4-9 *", "Europe/Paris", {}),
        ("30 * * * *", "Europe/Paris", {}),
        ("30 2 * * *", "Asia/Kolkata", {}),
    ],
)
def test_times_that_a_clock_change_hits(text: str, name: str, expected: dict[str, str]) -> None:
    """Only where a date and time of the schedule falls into the gap or the overlap within a year."""
    lints = _lints(text, name)
    assert list(lints) == list(expected)
    for code, words in expected.items():
        assert words in lints[code].message
        assert "or time zone UTC" in lints[code].advice


def test_the_lint_and_the_fires_tell_the_same_story() -> None:
    """The day named as skipped has no run, the day named as doubled has two."""
    schedule, paris = parse_schedule("30 2 * * *"), zone("Europe/Paris")
    days = [slot.astimezone(paris).date().isoformat() for slot in schedule.slots_after(_NOW, paris, 365)]
    lints = _lints("30 2 * * *", "Europe/Paris")
    assert days.count(lints["SkippedByClockChange"].message[:10]) == 0
    assert days.count(lints["TwiceByClockChange"].message[:10]) == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0 0 1 * 1", "EitherDay"),
        ("0 0 1-7 * */2", "EitherDay"),
        ("*/7 * * * *", "UnevenStep"),
        ("0 */5 * * *", "UnevenStep"),
        ("0 0 */2 * *", "UnevenStep"),
        ("*/90 * * * *", "UnevenStep"),
        ("0 0 31 2 *", "NeverFires"),
        ("@every 1h30m", "NotPortable"),
    ],
)
def test_surprises(text: str, code: str) -> None:
    """Each has its code, a message and advice."""
    lint = _lints(text)[code]
    assert lint.message
    assert lint.advice


def test_a_period_shorter_than_the_retries() -> None:
    """One run with all its retries may overlap the next slot; equal is not shorter."""
    assert list(_lints("*/5 * * * *", budget_seconds=301)) == ["ShorterThanRetries"]
    assert _lints("*/5 * * * *", budget_seconds=300) == {}
    assert list(_lints("@every 5m", budget_seconds=301)) == ["ShorterThanRetries"]


def test_the_shortest_gap_counts() -> None:
    """Two runs five minutes apart once a day are five minutes apart."""
    assert "ShorterThanRetries" in _lints("0,5 2 * * *", budget_seconds=400)
