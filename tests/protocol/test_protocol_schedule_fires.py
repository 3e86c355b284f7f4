"""When a schedule fires: clock changes, the last slot, periods, and schedules that never fire."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from cronix_protocol import firing
from cronix_protocol.schedule import Schedule, ScheduleInvalid, parse_schedule
from protocol.protocol_helpers import fuzz_cases, zone

_UTC = zone("UTC")


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _walls(schedule: str, name: str, after: str, count: int) -> list[str]:
    slots = parse_schedule(schedule).slots_after(_at(after), zone(name), count)
    return [slot.astimezone(zone(name)).strftime("%m-%d %H:%M%z") for slot in slots]


@pytest.mark.parametrize(
    ("schedule", "name", "after", "walls"),
    [
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00Z", ["03-09 02:30-0400", "03-10 02:30-0400"]),
        ("0 */2 * * *", "America/New_York", "2026-03-08T06:00Z", ["03-08 04:00-0400", "03-08 06:00-0400"]),
        ("30 1 * * *", "America/New_York", "2026-11-01T00:00Z", ["11-01 01:30-0400", "11-01 01:30-0500"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T20:00Z", ["10-05 02:15+1100", "10-06 02:15+1100"]),
        ("0 0 * * *", "Asia/Beirut", "2025-03-29T12:00Z", ["03-31 00:00+0300", "04-01 00:00+0300"]),
    ],
)
def test_clock_changes_are_kubernetes_own(schedule: str, name: str, after: str, walls: list[str]) -> None:
    """In the gap: no run that day. In the overlap: two runs. No midnight: midnight's run is left out."""
    assert _walls(schedule, name, after, 2) == walls


_CHANGES = {
    "America/New_York": ("2026-03-08T07:00Z", "2026-11-01T06:00Z"),
    "Australia/Lord_Howe": ("2026-04-04T15:00Z", "2026-10-03T15:30Z"),  # by half an hour
    "Asia/Beirut": ("2025-03-29T22:00Z", "2025-10-25T21:00Z"),  # at midnight
    "Pacific/Apia": ("2011-12-30T10:00Z",),  # by a day
    "UTC": ("2026-03-08T07:00Z",),
}


@pytest.mark.law
def test_to_leap_to_the_next_hour_or_minute_finds_what_steps_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """Around clock changes, too: the library goes step by step, and its answers there depend on each of them."""
    rng = random.Random(17)
    asked: list[tuple[Schedule, datetime, str]] = []
    for _ in range(fuzz_cases(1500)):
        name = rng.choice(list(_CHANGES))
        hours = ",".join(str(rng.randrange(24)) for _ in range(rng.randint(1, 3)))
        text = f"{rng.choice(('0', '30', '15,45', '*/7'))} {rng.choice((hours, '*'))} * * {rng.choice('*0')}"
        moment = _at(rng.choice(_CHANGES[name])) - timedelta(seconds=rng.randint(-4000, 50_000))
        asked.append((parse_schedule(text), moment, name))
    leapt = [schedule.next_after(moment, zone(name)) for schedule, moment, name in asked]
    monkeypatch.setattr(firing, "_steps", lambda _bits, _at, _size: 1)
    assert leapt == [schedule.next_after(moment, zone(name)) for schedule, moment, name in asked]


def test_a_zone_that_skips_a_whole_day_does_not_hang() -> None:
    """Apia had no 30 December 2011: Kubernetes' library searches for ever there, we go on."""
    slot = parse_schedule("0 12 * * 5").next_after(_at("2011-12-28T00:00Z"), zone("Pacific/Apia"))
    assert slot == _at("2012-01-05T22:00Z")  # Friday 6 January, UTC+14


@pytest.mark.parametrize(
    "text", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", ", * * * *", "* * * , *", "0 0 , * *"]
)
def test_a_schedule_without_a_date_never_fires(text: str) -> None:
    """Kubernetes accepts it; it is answered without a search of five years by minutes (J4)."""
    schedule = parse_schedule(text)
    assert schedule.never_fires
    assert schedule.next_after(_at("2026-01-01T00:00Z"), _UTC) is None
    assert schedule.previous_at_or_before(_at("2026-01-01T00:00Z"), _UTC, _at("2000-01-01T00:00Z")) is None
    assert schedule.period_seconds(_at("2026-01-01T00:00Z"), _UTC) is None


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 31 2 1", "0 0 31 2,3 *", "@yearly", "@every 24h"])
def test_a_rare_schedule_is_not_taken_for_never(text: str) -> None:
    """February 29, or February 31 with a weekday as the alternative, do fire."""
    schedule = parse_schedule(text)
    assert not schedule.never_fires
    assert schedule.next_after(_at("2026-01-01T00:00Z"), _UTC) is not None


def test_the_library_gives_up_after_five_years() -> None:
    """2100 is no leap year: from 2096 on there is no February 29 within five years, as for Kubernetes."""
    assert parse_schedule("0 0 29 2 *").next_after(_at("2096-03-01T00:00Z"), _UTC) is None
    assert parse_schedule("0 0 29 2 *").next_after(_at("2099-01-01T00:00Z"), _UTC) == _at("2104-02-29T00:00Z")


@pytest.mark.parametrize(
    ("text", "kubernetes", "seconds", "in_protocol"),
    [
        ("@every 5m", "@every 5m", 300, True),
        ("@every 5M", "@every 5m", 300, True),
        ("@every5m", "@every 5m", 300, True),
        ("@every   2H", "@every 2h", 7200, True),
        ("@every +90s", "@every +90s", 90, True),
        ("@every 1h30m", "@every 1h30m", 5400, False),
        ("@every 1.5h", "@every 1.5h", 5400, False),
        ("@every 60.9s", "@every 60.9s", 60, False),
        (" @every 1m ", "@every 1m", 60, True),
    ],
)
def test_every_as_kubernetes_spells_it(text: str, kubernetes: str, seconds: int, in_protocol: bool) -> None:
    """What the protocol allows beyond Kubernetes' spelling is rewritten; what only Kubernetes reads is marked."""
    schedule = parse_schedule(text)
    assert (schedule.kubernetes, schedule.every_seconds, schedule.in_protocol) == (kubernetes, seconds, in_protocol)
    assert parse_schedule(kubernetes).kubernetes == kubernetes


def test_every_counts_from_the_slot_before() -> None:
    """Slots are anchor + k periods; the next one is now plus the period, cut to the second."""
    schedule = parse_schedule("@every 90s")
    anchor = _at("2026-11-22T05:36:31Z")
    assert schedule.next_after(anchor + timedelta(milliseconds=999), _UTC) == _at("2026-11-22T05:38:01Z")
    assert schedule.previous_at_or_before(_at("2026-11-22T05:39:30Z"), _UTC, anchor) == _at("2026-11-22T05:38:01Z")
    assert schedule.previous_at_or_before(_at("2026-11-22T05:39:31Z"), _UTC, anchor) == _at("2026-11-22T05:39:31Z")
    assert schedule.previous_at_or_before(_at("2026-11-22T05:38:00Z"), _UTC, anchor) is None
    assert schedule.period_seconds(anchor, _UTC) == 90


@pytest.mark.parametrize(
    ("text", "instant", "not_before", "newest"),
    [
        ("* * * * *", "2026-11-22T05:39:30Z", "2026-11-01T00:00:00Z", "2026-11-22T05:39:00Z"),
        ("* * * * *", "2026-11-22T05:39:00Z", "2026-11-01T00:00:00Z", "2026-11-22T05:39:00Z"),
        ("0 2 * * *", "2026-11-22T01:59:59Z", "2026-11-01T00:00:00Z", "2026-11-21T02:00:00Z"),
        ("0 2 * * *", "2026-11-22T01:59:59Z", "2026-11-21T02:00:00Z", None),
        ("0 2 * * *", "2026-11-22T02:00:00Z", "2026-11-22T02:00:00Z", None),
        ("0 2 * * *", "2026-11-20T02:00:00Z", "2026-11-22T02:00:00Z", None),
        ("@yearly", "2026-11-22T01:59:59Z", "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("0 0 29 2 *", "2026-11-22T01:59:59Z", "2000-01-01T00:00:00Z", "2024-02-29T00:00:00Z"),
    ],
)
def test_the_newest_slot_of_a_window(text: str, instant: str, not_before: str, newest: str | None) -> None:
    """(not_before, instant]: the end belongs to it, the start does not."""
    found = parse_schedule(text).previous_at_or_before(_at(instant), _UTC, _at(not_before))
    assert found == (None if newest is None else _at(newest))


def test_the_period_is_the_largest_gap() -> None:
    """Business hours: the gap over the weekend counts, not the hour between two runs."""
    schedule = parse_schedule("0 9-17 * * 1-5")
    assert schedule.period_seconds(_at("2026-11-20T15:30:00Z"), _UTC) == (2 * 24 + 16) * 3600


def _far(schedule: Schedule, instant: datetime) -> datetime | None:
    return schedule.next_after(instant, zone("Pacific/Kiritimati"))


@pytest.mark.parametrize("text", ["* * * * *", "@yearly", "@every 2562047h"])
def test_the_ends_of_time_are_no_exception(text: str) -> None:
    """The first and the last instants of datetime give an answer or None."""
    schedule = parse_schedule(text)
    assert _far(schedule, datetime.max.replace(tzinfo=UTC)) is None
    found = _far(schedule, datetime.min.replace(tzinfo=UTC))
    assert found is None or found > datetime.min.replace(tzinfo=UTC)


def test_an_instant_without_a_zone_is_a_programming_error() -> None:
    """A naive datetime would silently be local time."""
    with pytest.raises(ValueError, match="time zone"):
        parse_schedule("@daily").next_after(datetime(2026, 1, 1), _UTC)


@pytest.mark.parametrize(
    ("text", "reason", "advice", "foreign"),
    [
        ("* * * * 7", "end of range (7) above maximum (6): 7", "Sunday is 0 or SUN", True),
        ("0 0 * * 5-7", "end of range (7) above maximum (6): 5-7", "Sunday is 0 or SUN", True),
        ("0 0 L * *", 'parsing "L": invalid syntax', "let the app decide", True),
        ("0 0 15W * *", 'parsing "15W": invalid syntax', "let the app decide", True),
        ("0 0 * * 5#2", 'parsing "5#2": invalid syntax', "let the app decide", True),
        ("0 0 * * FRIL", 'parsing "FRIL": invalid syntax', "let the app decide", True),
        ("61 0 * * 7", "end of range (61) above maximum (59): 61", "0 to 59", False),
        ("0 0 * * 8", "end of range (8) above maximum (6): 8", "0 to 6 or SUN to SAT", False),
        ("H * * * *", 'parsing "H": invalid syntax', "choose a number", False),
        ("0 22-2 * * *", "beginning of range (22) beyond end of range (2): 22-2", "write 22-23,0-2", False),
        ("0 0 * * SAT-SUN", "beginning of range (6) beyond end of range (0): SAT-SUN", "write 6,0", False),
        ("* * * * * *", "expected exactly 5 fields, found 6", "no field for seconds", False),
        ("@reboot", "unrecognized descriptor: @reboot", "no reboot", False),
        ("@Hourly", "unrecognized descriptor: @Hourly", "write it in small letters: @hourly", False),
        ("@every 5 m", "failed to parse duration @every 5 m", "write @every and a time such as 5m", False),
        ("@every 59s", "shorter than 60 seconds", "write @every 1m or more", False),
        ("CRON_TZ=UTC 0 0 * * *", "cannot use TZ or CRON_TZ in schedule", '"timezone"', False),
        ("*" * 257, "257 characters long, at most 256", "", False),
        ("\x1b[2J * * * *", "failed to parse int from \\u001b[2J", "0 to 59", False),
    ],
)
def test_a_refusal_has_kubernetes_words_and_advice(text: str, reason: str, advice: str, foreign: bool) -> None:
    """The text `kubectl` would show, then what to write; other dialects' notations are marked as such."""
    with pytest.raises(ScheduleInvalid) as caught:
        parse_schedule(text)
    assert reason in caught.value.reason
    assert advice in caught.value.advice
    assert caught.value.foreign is foreign
    assert str(caught.value).isprintable()
