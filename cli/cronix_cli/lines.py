"""The operator's CronJobs as lines of a table, one for each schedule of each job; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronix_cli.target import Target
from cronix_cli.trouble import Exit, Trouble
from cronix_protocol.faults import closest
from cronix_protocol.schedule import ScheduleInvalid, parse_schedule

if TYPE_CHECKING:
    from cronix_operator.core.model import KubeObject


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One schedule of one job. `app` is the CronixApp's name; `live` is the CronJob, None where there is no cluster."""

    namespace: str
    app: str
    job: str
    index: int
    schedule: str
    time_zone: str
    live: KubeObject | None = None

    @property
    def label(self) -> str:
        return f"{self.app}/{self.job}/{self.index}"

    @property
    def name(self) -> str:
        """The CronJob's name, "" where there is none."""
        return "" if self.live is None else str(self.live["metadata"]["name"])

    @property
    def suspended(self) -> bool:
        return self.live is not None and bool(self.live["spec"].get("suspend"))

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def fires(self, now: datetime) -> Iterator[datetime]:
        """Its slots after `now`, one by one, none while it is suspended; counted as the operator counts them."""
        if self.suspended:
            return
        try:
            schedule, zone = parse_schedule(self.schedule), self.zone
            slot = schedule.next_after(now, zone) if self.live is None else self._first(self.live, now)
        except (ScheduleInvalid, ValueError):
            return  # someone has edited it by hand; the operator will put it right
        while slot is not None:
            yield slot
            slot = schedule.next_after(slot, zone)

    def _first(self, live: KubeObject, now: datetime) -> datetime | None:
        from cronix_operator.core.model import DesiredCronJob  # heavy; without a cluster it is not needed
        from cronix_operator.core.nextrun import next_run

        want = DesiredCronJob(self.name, self.job, self.index, self.schedule, self.time_zone, live, "", "")
        return next_run(want, live, now)


def lines_of(cron_jobs: Iterable[KubeObject]) -> list[Line]:
    """A line for each CronJob that a CronixApp owns, by namespace, app, job and index."""
    from cronix_operator.core.app import KIND
    from cronix_operator.core.naming import INDEX
    from cronix_operator.core.plan import job_of

    found = []
    for live in cron_jobs:
        meta, spec = live["metadata"], live["spec"]
        owners = [o for o in meta.get("ownerReferences") or [] if o.get("controller") and o.get("kind") == KIND]
        index = (meta.get("labels") or {}).get(INDEX, "")
        if owners and index.isascii() and index.isdigit():
            place = (meta["namespace"], owners[0]["name"], job_of(live), int(index))
            found.append(Line(*place, spec["schedule"], spec.get("timeZone") or "UTC", live))
    return sorted(found, key=lambda line: (line.namespace, line.app, line.job, line.index))


def matching(lines: Iterable[Line], target: Target | None) -> list[Line]:
    """The lines that a target names; Trouble naming what there is when it names a job that is not there."""
    lines = list(lines)
    if target is None:
        return lines
    of_app = [line for line in lines if line.app == target.app]
    if target.job is None:
        return of_app
    of_job = [line for line in of_app if line.job == target.job]
    if not of_job:
        raise _no_such_job(target, sorted({line.job for line in of_app}))
    if target.index is None:
        return of_job
    found = [line for line in of_job if line.index == target.index]
    if not found:
        there = ", ".join(f"{line.app}/{line.job}/{line.index}" for line in of_job)
        raise Trouble(Exit.NOT_FOUND, f"{target}: the job has no schedule with that index", f"there are: {there}")
    return found


def _no_such_job(target: Target, names: list[str]) -> Trouble:
    text = f'app "{target.app}" has no job "{target.job}"'
    if near := closest(target.job or "", names):
        return Trouble(Exit.NOT_FOUND, text, f"the name is perhaps: {target.app}/{near}")
    if not names:
        return Trouble(
            Exit.NOT_FOUND, f"{text}, and no other: it has no CronJobs", f"kubectl cronix status {target.app}"
        )
    return Trouble(Exit.NOT_FOUND, text, f"there are: {', '.join(f'{target.app}/{name}' for name in names[:8])}")
