"""Which slots of a CronJob nothing started and nothing will start any more: schedule and lastScheduleTime in; pure.

Kubernetes counts no missed slot. A slot is missed once its starting deadline is over, or once a newer one was started,
and no Job of it was seen. Time before the operator looked, and time in which the CronJob was suspended, count for
nothing: a miss is only told where it is certain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronix_operator.core.history import count_of
from cronix_operator.core.model import KubeObject
from cronix_operator.core.moments import time_of, timestamp
from cronix_protocol.schedule import ScheduleInvalid, parse_schedule

# The controller starts a slot when its timer rings; under load that takes a moment, and it is no miss for that.
GRACE = timedelta(seconds=3)
# A newer slot's news may overtake the older one's: they come by two watches.
SETTLE = timedelta(seconds=20)
MAX_MISSED_AT_ONCE = 1000
_MINUTE = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """What one CronJob says about its slots; `last`: status.lastScheduleTime."""

    uid: str
    schedule: str
    time_zone: str
    suspended: bool
    deadline_seconds: float
    created: datetime
    last: datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Slots:
    """What is known of a CronJob's slots. `missed`: how many nothing started, ever; `last_missed`: the newest of them.

    `until`: slots up to here were judged. `started`: later ones that have begun, in minutes since the epoch.
    """

    timing: Timing | None = None
    until: datetime | None = None
    started: frozenset[int] = frozenset()
    missed: int = 0
    last_missed: datetime | None = None


def timing_of(live: KubeObject) -> Timing | None:
    """The timing of a live CronJob; None when somebody made it unreadable."""
    meta, spec = live.get("metadata") or {}, live.get("spec") or {}
    created = time_of(meta.get("creationTimestamp"))
    deadline = spec.get("startingDeadlineSeconds")
    if created is None or not isinstance(deadline, int) or not 0 <= deadline < 2**31:
        return None
    return Timing(
        uid=str(meta.get("uid")),
        schedule=str(spec.get("schedule")),
        time_zone=str(spec.get("timeZone")),
        suspended=spec.get("suspend") is True or meta.get("deletionTimestamp") is not None,
        deadline_seconds=float(deadline),
        created=created,
        last=time_of((live.get("status") or {}).get("lastScheduleTime")),
    )


def begun(slots: Slots, slot: datetime | None) -> Slots:
    """A Job of this slot was seen."""
    if slot is None or (slots.until is not None and slot <= slots.until - timedelta(seconds=_MINUTE)):
        return slots
    return dataclasses.replace(slots, started=slots.started | {_minute(slot)})


def look(slots: Slots, timing: Timing, now: datetime) -> Slots:
    """The slots with all judged that can be judged now."""
    before = slots.timing
    slots = begun(dataclasses.replace(slots, timing=timing), timing.last)
    changed = before is not None and (before.uid, before.schedule, before.time_zone) != (
        timing.uid,
        timing.schedule,
        timing.time_zone,
    )
    if timing.suspended or slots.until is None or changed or (before is not None and before.suspended):
        return dataclasses.replace(slots, until=now)
    horizon = _horizon(timing, now)
    if horizon <= slots.until:
        return slots
    missed = [s for s in _slots(timing, slots.until, horizon) if _minute(s) not in slots.started]
    edge = _minute(horizon)
    return dataclasses.replace(
        slots,
        until=horizon,
        started=frozenset(minute for minute in slots.started if minute >= edge),
        missed=slots.missed + len(missed),
        last_missed=missed[-1] if missed else slots.last_missed,
    )


def next_look(slots: Slots) -> datetime | None:
    """When the next slot could turn out to be missed; None while the CronJob is suspended or never fires."""
    timing = slots.timing
    if timing is None or timing.suspended or slots.until is None:
        return None
    upcoming = next(_slots(timing, slots.until, slots.until + timedelta(days=2)), None)
    if upcoming is None:
        return None
    return upcoming + timedelta(seconds=timing.deadline_seconds) + GRACE


def recall_slots(row: Mapping[str, Any], timing: Timing | None) -> Slots:
    """The slots as an earlier process left them in a status row.

    Of the time between, only what lies after the last start is judged: of slots before it nobody knows any more whether
    they ran, and history limits may have taken their Jobs.
    """
    missed, last_missed = count_of(row.get("missedSlots")), time_of(row.get("lastMissedSlot"))
    same = timing is not None and (row.get("cronJobUID"), row.get("schedule"), row.get("timeZone")) == (
        timing.uid,
        timing.schedule,
        timing.time_zone,
    )
    if timing is None or not same or row.get("suspended") is not False or timing.last is None:
        return Slots(missed=missed, last_missed=last_missed)
    until = timing.last if last_missed is None else max(timing.last, last_missed)
    return Slots(timing, until, missed=missed, last_missed=last_missed)


def slots_row(slots: Slots) -> dict[str, Any]:
    """The part of a status row that speaks of missed slots; `recall_slots` reads it back."""
    row: dict[str, Any] = {"missedSlots": slots.missed} if slots.missed else {}
    if slots.last_missed is not None:
        row["lastMissedSlot"] = timestamp(slots.last_missed)
    return row


def _horizon(timing: Timing, now: datetime) -> datetime:
    """Slots up to here start no more."""
    horizon = now - timedelta(seconds=timing.deadline_seconds) - GRACE
    if timing.last is not None:
        horizon = max(horizon, min(timing.last, now - SETTLE))
    return horizon


def _slots(timing: Timing, after: datetime, until: datetime) -> Iterator[datetime]:
    """The slots in (after, until], oldest first, at most 1000; none for a schedule that cannot be read."""
    try:
        schedule, zone = parse_schedule(timing.schedule), ZoneInfo(timing.time_zone)
    except (ScheduleInvalid, ValueError, OSError, KeyError):  # KeyError: a zone that is not known here
        return
    if schedule.fields is None:
        # Counted from the last slot or the creation, as the controller does.
        base, step = timing.last or timing.created, timedelta(seconds=schedule.every_seconds)
        after = base + max(0, (after - base) // step) * step
    slot = schedule.next_after(after, zone)
    for _ in range(MAX_MISSED_AT_ONCE):
        if slot is None or slot > until:
            return
        yield slot
        slot = schedule.next_after(slot, zone)


def _minute(moment: datetime) -> int:
    return int(moment.timestamp()) // _MINUTE
