"""One day of one job in equal parts: how often it fires in each, and what is known to have failed; pure."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta, tzinfo

from cronix_cli.lines import Line
from cronix_cli.picture import AppSeen, Seen
from cronix_cli.times import parsed
from cronix_operator.core.runs import Run
from cronix_protocol.schedule import ScheduleInvalid, parse_schedule

_SECOND = timedelta(seconds=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Day:
    """From midnight to midnight in one zone; 23 or 25 hours long where the clocks change."""

    start: datetime
    end: datetime

    def part(self, moment: datetime, parts: int) -> int | None:
        """Which of `parts` equal parts the moment lies in, None outside of the day."""
        if not self.start <= moment < self.end:
            return None
        return int((moment - self.start) / (self.end - self.start) * parts)


def day_of(day: date, zone: tzinfo) -> Day:
    """The day with this date."""
    return Day(datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone))


def slots_in(line: Line, day: Day) -> Iterator[datetime]:
    """The slots of the day by the schedule that is in force; none while it is suspended.

    For `@every` they are counted from the last slot, or the creation, in both directions.
    """
    if line.suspended or line.live is None:
        return
    try:
        schedule = parse_schedule(line.schedule)
        slot = schedule.next_after(day.start - _SECOND, line.zone)
    except (ScheduleInvalid, ValueError):
        return
    if schedule.fields is None:
        created = parsed(line.live["metadata"].get("creationTimestamp"))
        anchor = parsed((line.live.get("status") or {}).get("lastScheduleTime")) or created
        if anchor is None or created is None:
            return
        step = timedelta(seconds=schedule.every_seconds)
        slot = anchor - (anchor - day.start) // step * step
        while slot <= created:
            slot += step
    while slot is not None and slot < day.end:
        yield slot
        slot = (
            slot + timedelta(seconds=schedule.every_seconds)
            if schedule.fields is None
            else schedule.next_after(slot, line.zone)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class DayRow:
    """A job's day. `fires`: slots in each part; `failed` and `good`: runs that ended so, by the part of their slot."""

    seen: Seen
    fires: tuple[int, ...]
    failed: tuple[int, ...]
    good: tuple[int, ...]


def day_row(seen: Seen, day: Day, parts: int) -> DayRow:
    """The day of one CronJob in `parts` parts."""
    fires = _counted((day.part(slot, parts) for slot in slots_in(seen.line, day)), parts)
    ended = [run for run in seen.runs if run.finished is not None]
    return DayRow(
        seen,
        fires,
        _counted((day.part(_moment(run), parts) for run in ended if run.failed), parts),
        _counted((day.part(_moment(run), parts) for run in ended if not run.failed), parts),
    )


def _moment(run: Run) -> datetime:
    return run.slot or run.created


def _counted(found: Iterable[int | None], parts: int) -> tuple[int, ...]:
    counts = collections.Counter(found)
    return tuple(counts[part] for part in range(parts))


def busiest(apps: Iterable[AppSeen], day: Day) -> tuple[datetime, int] | None:
    """The first of the minutes in which most CronJobs fire, and how many; None when nothing fires at all."""
    minutes: collections.Counter[datetime] = collections.Counter()
    for app in apps:
        for seen in app.jobs:
            minutes.update({slot.replace(second=0) for slot in slots_in(seen.line, day)})
    if not minutes:
        return None
    most = max(minutes.values())
    return min(minute for minute, count in minutes.items() if count == most), most
