"""When a cron expression fires, to the second what Kubernetes' library computes; pure arithmetic, no clock.

Kubernetes 1.34 asks github.com/robfig/cron/v3 v3.0.1 (`SpecSchedule.Next`, spec.go) in the CronJob's time zone. Its
answers over clock changes are peculiar (a time in the gap is skipped, a time in the overlap fires twice, a day without
a midnight may be missed) and users' Jobs follow them, so the search below visits the same instants in the same order.

Times are whole seconds since the epoch. A wall clock is the same count as if the zone were UTC.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SEARCH_YEARS = 5
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# datetime ends with year 9999; the search looks five years ahead and a zone may add a day.
LAST_INSTANT = int(datetime(9990, 1, 1, tzinfo=UTC).timestamp())
FIRST_INSTANT = int(datetime(2, 1, 1, tzinfo=UTC).timestamp())


class Fields(NamedTuple):
    """The five fields as bit sets (bit n: value n fires); weekday 0 is Sunday.

    `either_day`: day of month and weekday are both restricted, and a date needs to match one of them only.
    """

    minute: int
    hour: int
    day: int
    month: int
    weekday: int
    either_day: bool

    def matches_day(self, day: int, weekday: int) -> bool:
        """True when the date fires; weekday 0 is Sunday."""
        in_month, in_week = bool(self.day >> day & 1), bool(self.weekday >> weekday & 1)
        return (in_month or in_week) if self.either_day else (in_month and in_week)

    def never(self) -> bool:
        """True when no date of any calendar year fires (February 31, or an empty list such as ",")."""
        if not (self.minute and self.hour and self.month):
            return True
        has_date = any(
            self.month >> month & 1 and self.day & ((2 << last) - 2)
            for month, last in enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1)
        )
        return not (has_date or self.weekday) if self.either_day else not (has_date and self.weekday)


class _Instant:
    """A moment and the wall clock it shows in one zone; moved by Go's rules (time.Date, Time.AddDate, Time.Add)."""

    __slots__ = ("_fixed", "_zone", "hour", "minute", "seconds", "wall")

    def __init__(self, seconds: int, zone: tzinfo) -> None:
        self._zone = zone
        self._fixed = _whole_seconds(zone.utcoffset(None))  # UTC has one offset for ever, Europe/Paris has not
        self.move_to(seconds)

    def move_to(self, seconds: int) -> None:
        self.seconds = seconds
        self.wall = seconds + self._offset(seconds)
        self.hour = self.wall % _DAY // _HOUR
        self.minute = self.wall % _HOUR // _MINUTE

    def leap(self, steps: int, unit: int) -> None:
        """So many steps of `unit` seconds in one, which is quicker; a single one where the clock changes on the way.

        Less than a day in all: no zone has changed its clock there and back within one.
        """
        start, offset = self.seconds, self.wall - self.seconds
        self.move_to(start + steps * unit)
        if self.wall - self.seconds != offset:
            self.move_to(start + unit)

    def set_wall(self, wall: int) -> None:
        """Go's time.Date: guess the offset from the wall clock read as UTC, then look once more from there."""
        self.move_to(wall - self._offset(wall - self._offset(wall)))

    def _offset(self, seconds: int) -> int:
        if self._fixed is not None:
            return self._fixed
        return _whole_seconds(datetime.fromtimestamp(seconds, self._zone).utcoffset()) or 0

    def date(self) -> date:
        return date.fromordinal(self.wall // _DAY + _EPOCH_ORDINAL)

    def weekday(self) -> int:
        return (self.wall // _DAY + 4) % 7  # 1970-01-01 was a Thursday

    def to_next_month(self) -> None:
        """The same day number a month later; like Go, a day that month lacks runs over into the month after."""
        today = self.date()
        first = date(today.year + today.month // 12, today.month % 12 + 1, 1)
        self.set_wall((first.toordinal() - _EPOCH_ORDINAL + today.day - 1) * _DAY + self.wall % _DAY)

    def to_next_day(self) -> None:
        """The next day at this wall clock, then back or on to midnight where a clock change moved the hour.

        Where a zone leaves out a whole day (Pacific/Apia, 2011-12-30) the library searches for ever; this goes on.
        """
        start = self.seconds
        self.set_wall(self.wall + _DAY)
        if self.hour > 12:
            self.move_to(self.seconds + (24 - self.hour) * _HOUR)
        elif self.hour:
            self.move_to(self.seconds - self.hour * _HOUR)
        if self.seconds <= start:
            self.move_to(start + _DAY)


def _whole_seconds(offset: timedelta | None) -> int | None:
    return None if offset is None else offset.days * _DAY + offset.seconds


def _steps(bits: int, at: int, size: int) -> int:
    """From `at` to the next value whose bit is set, or to `size`, where the next larger unit begins."""
    later = bits >> (at + 1)
    return (later & -later).bit_length() or size - at


def next_fire(fields: Fields, after: int, zone: tzinfo) -> int | None:
    """The first second later than `after` that fires, or None when the next five years have none.

    Source: SpecSchedule.Next of robfig/cron v3.0.1. Outside the years 2 to 9989 the answer is None.
    """
    if fields.never() or not FIRST_INSTANT <= after <= LAST_INSTANT:
        return None
    at = _Instant(after + 1, zone)
    last_year = at.date().year + _SEARCH_YEARS
    search = _Search(fields, at)
    while at.date().year <= last_year:
        # Each step that runs over into the next larger unit starts again with the months.
        if search.month() and search.day() and search.hour() and search.minute() and search.second():
            return at.seconds
    return None


class _Search:
    """The steps of one search. Each returns False when it ran over into the next larger unit.

    `moved` tells whether the smaller units were set back already: they are exactly once, by the first step that moves.
    """

    __slots__ = ("at", "fields", "moved")

    def __init__(self, fields: Fields, at: _Instant) -> None:
        self.fields = fields
        self.at = at
        self.moved = False

    def month(self) -> bool:
        at = self.at
        while not self.fields.month >> (today := at.date()).month & 1:
            if not self.moved:
                self.moved = True
                at.set_wall((at.wall // _DAY - today.day + 1) * _DAY)
            at.to_next_month()
            if at.date().month == 1:
                return False
        return True

    def day(self) -> bool:
        at = self.at
        while not self.fields.matches_day(at.date().day, at.weekday()):
            if not self.moved:
                self.moved = True
                at.set_wall(at.wall // _DAY * _DAY)
            at.to_next_day()
            if at.date().day == 1:
                return False
        return True

    def hour(self) -> bool:
        at = self.at
        while not self.fields.hour >> at.hour & 1:
            if not self.moved:
                self.moved = True
                at.set_wall(at.wall // _HOUR * _HOUR)
            at.leap(_steps(self.fields.hour, at.hour, 24), _HOUR)
            if at.hour == 0:
                return False
        return True

    def minute(self) -> bool:
        at = self.at
        while not self.fields.minute >> at.minute & 1:
            if not self.moved:
                self.moved = True
                at.move_to(at.seconds // _MINUTE * _MINUTE)
            at.leap(_steps(self.fields.minute, at.minute, 60), _MINUTE)
            if at.minute == 0:
                return False
        return True

    def second(self) -> bool:
        """These expressions have no seconds field: only second 0 of a wall clock's minute fires."""
        at = self.at
        if into_minute := at.wall % _MINUTE:
            self.moved = True
            at.move_to(at.seconds + _MINUTE - into_minute)
        return not into_minute
