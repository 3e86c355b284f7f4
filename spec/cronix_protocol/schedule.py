"""Text in, Schedule out; agrees with Kubernetes on what is accepted and when it fires; no I/O, no clock.

Kubernetes 1.34 validates and plans `.spec.schedule` with github.com/robfig/cron/v3 v3.0.1 (`ParseStandard`); the
grammar here is that library's, quirks included (`?` is `*` in every field, `1,,2` and `*-5` pass, 7 is no Sunday).
The protocol (RFC "Schedule syntax", D-004) adds spellings of `@every` and the floor of one minute. Anything the
library refuses is refused with its own words, so that a reader finds what `kubectl` would have said.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from cronix_protocol.crontext import FIVE_FIELDS, WHITE_SPACE, ScheduleInvalid, parse_fields
from cronix_protocol.duration import DurationInvalid, parse_go_duration
from cronix_protocol.faults import quoted
from cronix_protocol.firing import LAST_INSTANT, Fields, next_fire

__all__ = ["MAX_LENGTH", "Schedule", "ScheduleInvalid", "parse_schedule"]

MAX_LENGTH = 256
MIN_EVERY_SECONDS = 60
_NANOSECONDS = 1_000_000_000
SHORTCUTS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class Schedule(NamedTuple):
    """A schedule that Kubernetes accepts: five fields, or a period of `every_seconds` (0 when `fields` is set).

    `text` is what was written, trimmed; `kubernetes` is what to write into a CronJob (they differ only in how `@every`
    is spelt).
    """

    text: str
    kubernetes: str
    fields: Fields | None
    every_seconds: int

    @property
    def in_protocol(self) -> bool:
        """False for what Kubernetes reads and other hosts of the protocol do not, such as `@every 1h30m`."""
        return self.fields is not None or _protocol_duration(self.text.removeprefix("@every")) is not None

    @property
    def never_fires(self) -> bool:
        """True when no date can match, such as February 31: Kubernetes accepts it and never starts a Job."""
        return self.fields is not None and self.fields.never()

    def next_after(self, instant: datetime, zone: tzinfo) -> datetime | None:
        """The first slot later than `instant`, in UTC; None when the next five years have none.

        `instant` must be aware. `@every` has no wall clock: its slots follow from the slot (or creation) before, so
        this is `instant` plus the period, cut to the second (robfig `ConstantDelaySchedule.Next`).
        """
        after = _epoch_seconds(instant)
        fire = after + self.every_seconds if self.fields is None else next_fire(self.fields, after, zone)
        return None if fire is None or fire > LAST_INSTANT else _EPOCH + timedelta(seconds=fire)

    def previous_at_or_before(self, instant: datetime, zone: tzinfo, not_before: datetime) -> datetime | None:
        """The newest slot in (not_before, instant], in UTC, or None.

        For `@every`, `not_before` is the slot or creation time its slots are counted from.
        """
        end, start = _epoch_seconds(instant), _epoch_seconds(not_before)
        if self.fields is None:
            count = (end - start) // self.every_seconds
            return _EPOCH + timedelta(seconds=start + count * self.every_seconds) if count > 0 else None
        newest = _newest_fire(self.fields, start, end, zone)
        return None if newest is None else _EPOCH + timedelta(seconds=newest)

    def period_seconds(self, instant: datetime, zone: tzinfo) -> int | None:
        """The largest gap, in seconds, among the ten slots after `instant`; None when there are fewer than two."""
        gaps = [int((later - slot).total_seconds()) for slot, later in pairwise(self.slots_after(instant, zone, 10))]
        return max(gaps, default=None)

    def slots_after(self, instant: datetime, zone: tzinfo, count: int) -> tuple[datetime, ...]:
        """At most `count` slots later than `instant`, oldest first, each found from the one before."""
        slots: list[datetime] = []
        slot = self.next_after(instant, zone)
        while slot is not None and len(slots) < count:
            slots.append(slot)
            slot = self.next_after(slot, zone)
        return tuple(slots)


def parse_schedule(text: str) -> Schedule:
    """Read a five-field expression, a shortcut or `@every <duration>`; raises ScheduleInvalid and nothing else.

    At most 256 characters; white space around it does not count. `@every` takes a Go duration of at least one minute
    (`@every 1h30m`) and the protocol's other spellings (`@every5M`).
    """
    if len(text) > MAX_LENGTH:
        raise ScheduleInvalid(f"the schedule is {len(text)} characters long, at most {MAX_LENGTH} are read")
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Schedule:
    """An operator reads the same manifest again every few minutes; a Schedule never changes."""
    trimmed = text.strip(WHITE_SPACE)
    if not text:
        raise ScheduleInvalid("empty spec string", f"write {FIVE_FIELDS}, for example 0 2 * * *")
    if "TZ" in trimmed:
        raise ScheduleInvalid(
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            'write the zone as the job\'s "timezone" and leave it out of the schedule',
        )
    if not trimmed.startswith("@"):
        return Schedule(trimmed, trimmed, parse_fields(trimmed), 0)
    if (expansion := SHORTCUTS.get(trimmed)) is not None:
        return Schedule(trimmed, trimmed, parse_fields(expansion), 0)
    if trimmed.startswith("@every"):
        return _every(trimmed)
    raise ScheduleInvalid(f"unrecognized descriptor: {trimmed}", _advice_for_descriptor(trimmed))


def _epoch_seconds(instant: datetime) -> int:
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return (instant - _EPOCH) // _SECOND


def _newest_fire(fields: Fields, start: int, end: int, zone: tzinfo) -> int | None:
    """Look back in ever larger steps: a dense schedule is answered at once, a sparse one after a few searches."""
    reach = 120
    while True:
        from_second = max(start, end - reach)
        newest, fire = None, next_fire(fields, from_second, zone)
        while fire is not None and fire <= end:
            newest, fire = fire, next_fire(fields, fire, zone)
        if newest is not None or from_second <= start:
            return newest
        reach *= 4


def _every(trimmed: str) -> Schedule:
    """`@every` in Go's spelling as it stands, in the protocol's other spellings rewritten to Go's."""
    duration = trimmed.removeprefix("@every")
    kubernetes = trimmed
    try:
        period = _kubernetes_duration(duration)
    except DurationInvalid as error:
        spelling = _protocol_duration(duration)
        if spelling is None:
            raise ScheduleInvalid(
                _every_reason(trimmed, error), "write @every and a time such as 5m, 90s or 2h"
            ) from None
        kubernetes = f"@every {spelling}"
        period = parse_go_duration(spelling)
    seconds = period // _NANOSECONDS
    if seconds < MIN_EVERY_SECONDS:
        raise ScheduleInvalid(
            f"{quoted(trimmed)} is shorter than {MIN_EVERY_SECONDS} seconds",
            "write @every 1m or more: Kubernetes starts at most one Job a minute and drops the rest",
        )
    return Schedule(trimmed, kubernetes, None, seconds)


def _kubernetes_duration(rest: str) -> int:
    if not rest.startswith(" "):
        raise DurationInvalid("a blank must follow @every")
    return parse_go_duration(rest[1:])


def _protocol_duration(rest: str) -> str | None:
    """The protocol also takes no blank or several, and the unit in capitals (D-004): Go's spelling of it, or None."""
    number, unit = rest.strip(WHITE_SPACE)[:-1], rest[-1:].lower()
    digits = number.removeprefix("+")
    if unit not in ("s", "m", "h") or not (digits.isascii() and digits.isdigit()):
        return None
    spelling = f"{int(digits)}{unit}"
    try:
        parse_go_duration(spelling)
    except DurationInvalid:  # more than 292 years
        return None
    return spelling


def _every_reason(trimmed: str, error: DurationInvalid) -> str:
    if trimmed.startswith("@every "):
        return f"failed to parse duration {trimmed}: {error}"
    return f"unrecognized descriptor: {trimmed}"


def _advice_for_descriptor(trimmed: str) -> str:
    lowered = trimmed.lower()
    if lowered in SHORTCUTS or lowered.startswith("@every"):
        return f"write it in small letters: {lowered}"
    if lowered == "@reboot":
        return "a cluster has no reboot: write a time"
    return f"write one of {' '.join(SHORTCUTS)}, @every 5m, or {FIVE_FIELDS}"
