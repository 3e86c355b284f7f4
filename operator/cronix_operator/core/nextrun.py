"""When a CronJob runs next: its schedule, its last slot and a clock reading in, an instant out; no I/O."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronix_operator.core.model import DesiredCronJob, KubeObject
from cronix_protocol.schedule import parse_schedule


def next_run(want: DesiredCronJob, live: KubeObject, now: datetime) -> datetime | None:
    """The next slot after `now`; for `@every` counted from the last slot or the creation, as the controller does."""
    if not want.schedule.startswith("@every"):
        return _next_slot(want.schedule, want.time_zone, now)
    schedule, zone = parse_schedule(want.schedule), ZoneInfo(want.time_zone)
    start = (live.get("status") or {}).get("lastScheduleTime") or live["metadata"]["creationTimestamp"]
    slot = datetime.fromisoformat(start)
    step = schedule.next_after(slot, zone)
    if step is None:
        return None
    missed = max(0, int((now - slot) / (step - slot)))
    return slot + (missed + 1) * (step - slot)


@lru_cache(maxsize=1024)  # status and gauges of one walk ask the same, and jobs of one schedule do
def _next_slot(schedule: str, time_zone: str, now: datetime) -> datetime | None:
    return parse_schedule(schedule).next_after(now, ZoneInfo(time_zone))
