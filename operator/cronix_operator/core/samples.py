"""What is known of one CronixApp in, the values of its gauges out; pure, and of what status says, never of more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from cronix_operator.core.memory import Memory
from cronix_operator.core.model import App, DesiredCronJob, Done, KubeObject
from cronix_operator.core.nextrun import next_run
from cronix_operator.core.outcome import Outcome
from cronix_operator.core.runlog import Log
from cronix_protocol.schedule import parse_schedule


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One value of one gauge; `labels` in the order of its family."""

    name: str
    labels: tuple[str, ...]
    value: float


def app_samples(app: App, memory: Memory, status: Mapping[str, Any]) -> Iterator[Sample]:
    """The gauges of one CronixApp; `status`: as it is told after the walk."""
    key = app.key
    yield Sample("cronix_app_info", (*key, app.app), 1)
    yield Sample("cronix_app_suspended", key, app.suspend)
    yield Sample("cronix_app_interval_seconds", key, app.interval_seconds)
    yield Sample("cronix_app_consecutive_failures", key, memory.consecutive_failures)
    yield from status_samples(key, status)


def status_samples(key: tuple[str, str], status: Mapping[str, Any]) -> Iterator[Sample]:
    """Those gauges that need no more than the status: also of a CronixApp whose spec cannot be read."""
    for condition in status.get("conditions") or []:
        for word in ("True", "False"):
            labels = (*key, str(condition["type"]), word)
            yield Sample("cronix_app_condition", labels, condition["status"] == word)
    manifest = status.get("manifest") or {}  # after a restart, before the first good fetch: what was told before
    for field, name in (("lastFetchTime", "last_success"), ("lastChangeTime", "last_change")):
        seconds = _seconds(manifest.get(field))
        if seconds is not None:
            yield Sample(f"cronix_app_manifest_{name}_timestamp_seconds", key, seconds)
    counts = status.get("summary")
    if counts is not None:
        yield from _cron_jobs(key, counts)


def _cron_jobs(key: tuple[str, str], counts: Mapping[str, Any]) -> Iterator[Sample]:
    suspended = counts.get("suspended", 0)
    states = {
        "active": counts.get("cronJobs", 0) - suspended,
        "suspended": suspended,
        "invalid": counts.get("invalid", 0),
        "orphaned": counts.get("pendingPrune", 0),
    }
    for state, count in states.items():
        yield Sample("cronix_app_cronjobs", (*key, state), count)


def job_samples(app: App, outcome: Outcome, now: datetime) -> Iterator[Sample]:
    """The gauges of each CronJob that is in step."""
    for want, live in outcome.in_step:
        yield from _job(app, want, live, now)


def _job(app: App, want: DesiredCronJob, live: KubeObject, now: datetime) -> Iterator[Sample]:
    labels = (*app.key, want.job, str(want.index))
    suspended = bool(live["spec"].get("suspend"))
    yield Sample("cronix_job_suspended", labels, suspended)
    period = _period_seconds(want, live)
    if period is not None:
        yield Sample("cronix_job_period_seconds", labels, period)
    upcoming = None if suspended else next_run(want, live, now)
    if upcoming is not None:
        yield Sample("cronix_job_next_run_timestamp_seconds", labels, upcoming.timestamp())


def _period_seconds(want: DesiredCronJob, live: KubeObject) -> float | None:
    """The longest time that may pass between two starts, from the last one (or the creation) on.

    Not from now on: on a Sunday the pause since Friday must still be in it, or a weekend would look like an outage.
    """
    last = _seconds((live.get("status") or {}).get("lastScheduleTime") or live["metadata"].get("creationTimestamp"))
    if last is None:
        return None
    return _longest_pause(want.schedule, want.time_zone, last)


@lru_cache(maxsize=4096)  # the same question until the job's next start, and a millisecond each time
def _longest_pause(schedule: str, time_zone: str, last: float) -> float | None:
    base = datetime.fromtimestamp(last, UTC)
    slots = parse_schedule(schedule).slots_after(base, ZoneInfo(time_zone), 10)
    return max(((later - slot).total_seconds() for slot, later in pairwise((base, *slots))), default=None)


def _seconds(text: object) -> float | None:
    """Unix seconds of a time in status; None for what is not there, or is no time: anybody may edit a status."""
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant.timestamp() if instant.tzinfo else None


def log_samples(labels: tuple[str, str, str, str], log: Log) -> Iterator[Sample]:
    """The gauges of one CronJob that speak of its runs; what never happened has no series."""
    history, slots = log.history, log.slots
    yield Sample("cronix_job_consecutive_failures", labels, history.failures)
    yield Sample("cronix_job_active_runs", labels, log.under_way)
    yield Sample("cronix_job_missed_slots", labels, slots.missed)
    times: dict[str, datetime | None] = {
        "last_run": history.last.finished if history.last is not None else None,
        "last_success": history.last_success,
        "last_missed_slot": slots.last_missed,
        "created": slots.timing.created if slots.timing is not None else None,
    }
    for word, moment in times.items():
        if moment is not None:
            yield Sample(f"cronix_job_{word}_timestamp_seconds", labels, moment.timestamp())


def corrected_and_pruned(results: Sequence[Done]) -> tuple[int, int]:
    """How many foreign changes were put right by these writes, and how many CronJobs removed."""
    done = [result for result in results if result.fault is None]
    drift = sum(result.change.reason == "Drifted" and not (result.mutated or result.overtaken) for result in done)
    return drift, sum(result.change.verb == "delete" for result in done)


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def api_call(method: str, path: str) -> tuple[str, str]:
    """The verb and the resource (with its subresource) of a request to the API server, as RBAC names them.

    No name of an object or namespace is in it, so there are few different ones.
    """
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    resource = "/".join((rest[:1] or [parts[0]]) + rest[2:3])
    verb = _VERBS.get(method) or ("get" if len(rest) > 1 else "list")
    return verb, resource
