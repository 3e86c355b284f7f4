"""A cron schedule in English; pure. Schedules that fire at different times never read the same (tested as a law)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cronix_protocol.firing import Fields
from cronix_protocol.schedule import Schedule

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    *("", "January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MAX_TIMES = 6  # clock times are listed up to this many


def describe(schedule: Schedule) -> str:
    """When it fires, without the time zone: `at 02:00, Monday to Friday`."""
    if schedule.fields is None:
        return f"every {_length(schedule.every_seconds)}, counted from the run before"
    if schedule.never_fires:
        return "never: no date matches"
    time, days, months = _time(schedule.fields), _days(schedule.fields), _months(schedule.fields)
    if not days and time.startswith("at ") and ":" in time:
        time += " every day"
    return ", ".join(filter(None, (time, days, months)))


def _length(seconds: int) -> str:
    parts: list[str] = []
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}s" if count > 1 else unit if not parts and not seconds else f"1 {unit}")
    return _joined(parts)


def _values(bits: int) -> list[int]:
    return [n for n in range(bits.bit_length()) if bits >> n & 1]


def _time(fields: Fields) -> str:
    minutes, hours = _values(fields.minute), _values(fields.hour)
    if len(minutes) * len(hours) <= MAX_TIMES and len(hours) < 24:
        return "at " + _joined([f"{hour:02}:{minute:02}" for hour in hours for minute in minutes])
    step = _step(minutes, 60)
    if step:
        start = "every minute" if step == 1 else f"every {step} minutes"
        return start if len(hours) == 24 else f"{start} of {_hours(hours)}"
    return f"at minute {_ranges(minutes, str)} of {_hours(hours)}"


def _hours(hours: list[int]) -> str:
    if len(hours) == 24:
        return "every hour"
    step = _step(hours, 24)
    if step:
        return f"every {_ordinal(step)} hour from midnight"
    return f"the hours {_ranges(hours, str)}" if len(hours) > 1 else f"hour {hours[0]}"


def _step(values: list[int], size: int) -> int:
    """The step of `*/n` where n divides the size, so that the gaps are all alike; 0 for every other set."""
    step = size // len(values)
    return step if step * len(values) == size and values == list(range(0, size, step)) and step < size else 0


def _ordinal(step: int) -> str:
    return {2: "second", 3: "third"}.get(step, f"{step}th")


def _days(fields: Fields) -> str:
    days, weekdays = _values(fields.day), _values(fields.weekday)
    of_month = "" if len(days) in (0, 31) else f"on day {_ranges(days, str)} of the month"
    of_week = "" if len(weekdays) in (0, 7) else _ranges(weekdays, lambda n: _WEEKDAYS[n])
    if not fields.either_day:
        return " ".join(filter(None, (of_month, of_week and f"{'if it is ' if of_month else ''}{of_week}")))
    if not (days and weekdays):
        return of_month or of_week  # an empty list matches no day, the other one decides
    if not (of_month and of_week):
        return ""  # one of the two matches every day, so every day fires
    return f"{of_month} and also every {of_week}"


def _months(fields: Fields) -> str:
    months = _values(fields.month)
    return "" if len(months) == 12 else f"in {_ranges(months, lambda n: _MONTHS[n])}"


def _ranges(values: Sequence[int], name: Callable[[int], str]) -> str:
    """`1, 15 and 20 to 25`: three or more in a row are a range."""
    parts: list[str] = []
    start = 0
    for n in range(len(values)):
        if n + 1 < len(values) and values[n + 1] == values[n] + 1:
            continue
        run = values[start : n + 1]
        parts += [f"{name(run[0])} to {name(run[-1])}"] if len(run) > 2 else [name(value) for value in run]
        start = n + 1
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
