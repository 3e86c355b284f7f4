"""A schedule that Kubernetes accepts, and what will surprise its author, as data; pure, time is an argument.

Nothing here is an error: a lint never keeps a job from running.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

from cronix_protocol.crontext import DAY, RANGES, FieldRange, split_fields
from cronix_protocol.firing import Fields
from cronix_protocol.schedule import SHORTCUTS, Schedule

LintCode = Literal[
    "NeverFires",
    "SkippedByClockChange",
    "TwiceByClockChange",
    "EitherDay",
    "UnevenStep",
    "ShorterThanRetries",
    "NotPortable",
]

_LOOK_AHEAD = timedelta(days=366)
_HALF_DAY = timedelta(hours=12)
_MINUTE = timedelta(minutes=1)
_FULL_HOURS = (1 << 24) - 1


class Lint(NamedTuple):
    """One surprise: `code` for machines, `message` says what will happen, `advice` what to write instead."""

    code: LintCode
    message: str
    advice: str


class _ClockChange(NamedTuple):
    """Wall-clock minutes from `start` (with) to `end` (without) that a day lacks (`gap`) or shows twice."""

    start: datetime
    end: datetime
    gap: bool


def lint_schedule(schedule: Schedule, zone: tzinfo, now: datetime, retry_budget_seconds: int) -> tuple[Lint, ...]:
    """What will surprise the author of `schedule` in `zone`, within a year from `now`; empty when nothing will.

    `retry_budget_seconds` is how long one fire may take, all attempts and pauses together.
    """
    if schedule.never_fires:
        return (Lint("NeverFires", "no date matches: Kubernetes never starts a Job", "write a date that exists"),)
    return tuple(_lints(schedule, zone, now, retry_budget_seconds))


def _lints(schedule: Schedule, zone: tzinfo, now: datetime, retry_budget_seconds: int) -> Iterator[Lint]:
    if schedule.fields is not None:
        if schedule.fields.hour != _FULL_HOURS:
            yield from _clock_changes(schedule.fields, zone, now)
        if schedule.fields.either_day:
            yield Lint(
                "EitherDay",
                "fires on each day that matches day-of-month, and also on each that matches day-of-week",
                "leave one of the two at * and check the other in the app",
            )
        yield from _uneven_steps(schedule.text)
    elif not schedule.in_protocol:
        whole = schedule.every_seconds
        advice = f"@every {whole // 60}m" if whole % 60 == 0 else f"@every {whole}s"
        yield Lint("NotPortable", "Kubernetes reads this, other hosts of the protocol do not", f"write {advice}")
    yield from _too_dense(schedule, zone, now, retry_budget_seconds)


def _clock_changes(fields: Fields, zone: tzinfo, now: datetime) -> Iterator[Lint]:
    """The first gap and the first overlap that the schedule falls into."""
    told: set[bool] = set()
    for change in _changes(zone, now.astimezone(UTC).date()):
        hit = None if change.gap in told else _first_match(fields, change)
        if hit is None:
            continue
        told.add(change.gap)
        when, span = f"{hit:%Y-%m-%d %H:%M}", f"{change.start:%H:%M} to {change.end:%H:%M}"
        advice = f"choose a time outside {span}, or time zone UTC"
        if change.gap:
            yield Lint("SkippedByClockChange", f"{when} does not exist in {zone}: no run then", advice)
        else:
            yield Lint("TwiceByClockChange", f"{when} comes twice in {zone}: two runs", advice)


@lru_cache(maxsize=128)
def _changes(zone: tzinfo, first_day: date) -> tuple[_ClockChange, ...]:
    """Changes of the zone's offset within a year, oldest first; two within half a day count as one."""
    changes: list[_ClockChange] = []
    moment = datetime.combine(first_day, time(), UTC)
    end, before = moment + _LOOK_AHEAD, _offset(moment, zone)
    while moment < end:
        later = moment + _HALF_DAY
        after = _offset(later, zone)
        if before != after:
            instant = _first_minute_after(moment, later, before, zone)
            start, stop = sorted((instant + before, instant + after))
            changes.append(_ClockChange(start, stop, gap=after > before))
        moment, before = later, after
    return tuple(changes)


def _first_minute_after(low: datetime, high: datetime, offset: timedelta, zone: tzinfo) -> datetime:
    """The first minute in (low, high] that no longer has `offset`, which `low` has and `high` has not."""
    while high - low > _MINUTE:
        middle = low + (high - low) // 2 // _MINUTE * _MINUTE
        low, high = (middle, high) if _offset(middle, zone) == offset else (low, middle)
    return high


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _first_match(fields: Fields, change: _ClockChange) -> datetime | None:
    wall = change.start
    while wall < change.end:
        day_fires = fields.month >> wall.month & 1 and fields.matches_day(wall.day, wall.isoweekday() % 7)
        if day_fires and fields.hour >> wall.hour & 1 and fields.minute >> wall.minute & 1:
            return wall
        wall += _MINUTE
    return None


def _uneven_steps(text: str) -> Iterator[Lint]:
    for word, bounds in zip(split_fields(SHORTCUTS.get(text, text)), RANGES, strict=True):
        for item in word.split(","):
            span, slash, step_text = item.partition("/")
            if slash and span in ("*", "?") and (lint := _uneven_step(item, int(step_text), bounds)) is not None:
                yield lint


def _uneven_step(item: str, step: int, bounds: FieldRange) -> Lint | None:
    size = bounds.high - bounds.low + 1
    if step > size:
        message = f"{item} in the {bounds.name} field matches {bounds.low} only"
        return Lint("UnevenStep", message, f"write {bounds.low}, or a step of at most {size // 2}")
    if step == 1 or (size % step == 0 and bounds is not DAY):
        return None
    message = f"{item} starts again at {bounds.low} with each new {_UNIT_ABOVE[bounds.name]}: the last gap is shorter"
    divisors = ", ".join(str(n) for n in range(2, size) if size % n == 0)
    advice = "list the days" if bounds is DAY or not divisors else f"write a step that divides {size}: {divisors}"
    return Lint("UnevenStep", message, advice)


_UNIT_ABOVE = {"minute": "hour", "hour": "day", "day of month": "month", "month": "year", "day of week": "week"}


def _too_dense(schedule: Schedule, zone: tzinfo, now: datetime, retry_budget_seconds: int) -> Iterator[Lint]:
    gaps = [later - slot for slot, later in pairwise(schedule.slots_after(now, zone, 10))]
    if gaps and (shortest := int(min(gaps).total_seconds())) < retry_budget_seconds:
        yield Lint(
            "ShorterThanRetries",
            f"slots are {shortest} s apart, but one run with all its retries may take {retry_budget_seconds} s",
            "lower timeout_seconds or retries, or fire less often",
        )
