"""Apps, their CronJobs and their runs, put together from what the API server has; `look` reads, the rest is pure."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cronix_cli.lines import Line, lines_of, matching
from cronix_cli.reading import Cluster, Object
from cronix_cli.target import Target
from cronix_cli.times import parsed, wall
from cronix_operator.core.history import count_of, recall
from cronix_operator.core.jobfacts import JobFacts, PodFacts, parse_job, parse_pod
from cronix_operator.core.runs import Origin, Run, Trouble, run_of, trouble_of
from cronix_protocol.schedule import ScheduleInvalid, parse_schedule

TOLD_FOR = timedelta(days=1)
LATE_AFTER = timedelta(seconds=60)  # Kubernetes starts a slot within a second; a minute is no measuring error


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One CronJob with its runs, the newest first. `row`: its row in the CronixApp's status, {} when it has none.

    `open`: Jobs that have not ended, with their pods.
    """

    line: Line
    row: Mapping[str, Any]
    runs: tuple[Run, ...]
    open: tuple[tuple[JobFacts, tuple[PodFacts, ...]], ...] = ()

    @property
    def last(self) -> Run | None:
        """The newest run that has ended; from status when its Job is gone."""
        return next((run for run in self.runs if run.finished is not None), None)

    @property
    def active(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.finished is None)

    @property
    def streak(self) -> int:
        """How many runs have failed in a row; status knows of more than the Jobs that are kept."""
        here = 0
        for run in self.runs:
            if run.finished is None:
                continue
            if not run.failed:
                return here
            here += 1
        told = self.row.get("consecutiveFailures")
        return max(here, told if isinstance(told, int) else 0)

    def trouble(self, now: datetime) -> Trouble | None:
        """Why a run under way does not get on: its pod does not start, or does not end."""
        found = (trouble_of(job, pods, now) for job, pods in self.open)
        return next((trouble for trouble in found if trouble is not None), None)

    def missed(self, now: datetime) -> str:
        """What is told of slots that nothing started, for a day; "" when there is nothing to tell."""
        last, count = parsed(self.row.get("lastMissedSlot")), count_of(self.row.get("missedSlots"))
        if last is None or not count or now - last > TOLD_FOR:
            return ""
        slots = "1 slot was" if count == 1 else f"{count} slots were"
        return f"{slots} not started, the newest {wall(last, self.line.zone)}"

    def late(self, now: datetime) -> datetime | None:
        """The newest slot that should have started more than a minute ago and has not; None when there is none."""
        live, line = self.line.live, self.line
        if live is None or line.suspended:
            return None
        since = [
            parsed(live["metadata"].get("creationTimestamp")),
            parsed((live.get("status") or {}).get("lastScheduleTime")),
        ]
        starts = [moment for moment in since if moment is not None]
        starts += [run.slot for run in self.runs if run.slot is not None]
        try:
            return parse_schedule(line.schedule).previous_at_or_before(now - LATE_AFTER, line.zone, max(starts))
        except (ScheduleInvalid, ValueError):
            return None


@dataclasses.dataclass(frozen=True, slots=True)
class AppSeen:
    """One CronixApp with its CronJobs."""

    body: Object
    jobs: tuple[Seen, ...]

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def status(self) -> Mapping[str, Any]:
        return self.body.get("status") or {}

    @property
    def suspended(self) -> bool:
        return bool((self.body.get("spec") or {}).get("suspend"))

    def trouble(self, seen: Seen, now: datetime) -> Trouble | None:
        """Why a run of one of its CronJobs does not get on; in the operator's words where its condition RunStuck speaks
        of that run, for it saw what is gone by now."""
        stuck = self.condition("RunStuck")
        start, message = f"{seen.line.job}/{seen.line.index}: ", str(stuck.get("message", ""))
        for run in seen.active:
            text, found, _ = message.partition(f" (Job {run.job_name})")
            if found and text.startswith(start):
                return Trouble(str(stuck.get("reason")), text.removeprefix(start))
        return seen.trouble(now)

    def condition(self, kind: str) -> Mapping[str, Any]:
        return next((c for c in self.status.get("conditions") or [] if c.get("type") == kind), {})


async def look(cluster: Cluster, target: Target | None = None, selector: str | None = None) -> list[AppSeen]:
    """What there is of the apps that a command is about; of one app all its jobs, or only the one named."""
    apps = await cluster.chosen(target, selector)
    cron_jobs, jobs, pods = await asyncio.gather(cluster.cron_jobs(), cluster.jobs(), cluster.pods())
    return assemble(apps, cron_jobs, jobs, pods, target)


def assemble(
    apps: Iterable[Object],
    cron_jobs: Iterable[Object],
    jobs: Iterable[Object],
    pods: Iterable[Object],
    target: Target | None = None,
) -> list[AppSeen]:
    """Put the objects together: runs to their CronJobs by uid, CronJobs to their app by owner."""
    of_job: dict[str, list[PodFacts]] = {}
    for pod in filter(None, map(parse_pod, pods)):
        of_job.setdefault(pod.job_uid, []).append(pod)
    of_cron_job: dict[str, list[JobFacts]] = {}
    for job in filter(None, map(parse_job, jobs)):
        of_cron_job.setdefault(job.cron_job_uid, []).append(job)
    lines = lines_of(cron_jobs)
    found = []
    for body in apps:
        meta = body["metadata"]
        mine = [line for line in lines if (line.namespace, line.app) == (meta["namespace"], meta["name"])]
        chosen = matching(mine, target)
        seen = tuple(_seen(line, body, of_cron_job, of_job) for line in chosen)
        found.append(AppSeen(body, seen))
    return found


def _seen(
    line: Line, body: Object, of_cron_job: Mapping[str, Sequence[JobFacts]], of_job: Mapping[str, Sequence[PodFacts]]
) -> Seen:
    assert line.live is not None  # noqa: S101  # lines_of gives lines of the cluster
    uid = line.live["metadata"]["uid"]
    origin = origin_of(line, body["metadata"]["uid"])
    jobs = of_cron_job.get(uid, ())
    under_way = tuple((job, tuple(of_job.get(job.uid, ()))) for job in jobs if job.ended is None)
    rows = (body.get("status") or {}).get("jobs")
    row = next((r for r in rows or [] if isinstance(r, dict) and r.get("cronJobUID", uid) == uid and _is(r, line)), {})
    told = recall(uid, row).last
    text = _failure_text(body, line, told)
    runs = [_run(origin, job, of_job.get(job.uid, ()), told, text) for job in jobs]
    if told is not None and told.job_name not in {run.job_name for run in runs}:
        runs.append(told)
    # By their Jobs, not by their slots: a backfill is news, however old its slot.
    runs.sort(key=lambda run: (run.created, run.job_name), reverse=True)
    return Seen(line, row, tuple(runs), under_way)


def _run(origin: Origin, job: JobFacts, pods: Sequence[PodFacts], told: Run | None, text: str) -> Run:
    """The run of a Job. A Job's own deadline deletes its pods: then the operator, which saw them, knows more."""
    run = run_of(origin, job, pods)
    if pods or told is None or (told.job_name, told.finished) != (run.job_name, run.finished):
        return run
    text = text or (run.message if told.outcome == run.outcome else job.failure_text)
    return dataclasses.replace(told, job_uid=job.uid, created=job.created, message=text)


def _failure_text(body: Object, line: Line, told: Run | None) -> str:
    """What the operator says of the app's newest failure, if it is the last run of this CronJob."""
    failure = (body.get("status") or {}).get("lastFailure") or {}
    if told is None or (failure.get("job"), parsed(failure.get("time"))) != (f"{line.job}/{line.index}", told.finished):
        return ""
    return str(failure.get("message", ""))


def _is(row: Mapping[str, Any], line: Line) -> bool:
    return (row.get("name"), row.get("index")) == (line.job, line.index)


def origin_of(line: Line, app_uid: str) -> Origin:
    """What the operator knows of a run before it looks at the Job."""
    assert line.live is not None  # noqa: S101  # see above
    replaces = line.live["spec"].get("concurrencyPolicy") == "Replace"
    return Origin(app_uid, line.name, line.job, line.index, replaces=replaces)
