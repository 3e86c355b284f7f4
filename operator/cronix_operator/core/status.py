"""What came of one walk in, `CronixApp.status` out; the only writer of status, and pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from cronix_operator.core.errors import ReconcileError, Stalled
from cronix_operator.core.history import MAX_ROWS
from cronix_operator.core.keynews import key_conditions, listed_keys
from cronix_operator.core.memory import Memory
from cronix_operator.core.model import App, DesiredCronJob, JobFault, KubeObject
from cronix_operator.core.moments import timestamp
from cronix_operator.core.nextrun import next_run
from cronix_operator.core.outcome import Outcome
from cronix_operator.core.runlog import row_by_uid
from cronix_operator.core.runstatus import (
    NO_LOGS,
    Logs,
    is_failing,
    last_failure,
    only_runs,
    only_starts,
    overlaid,
    run_fields,
    stuck,
)
from cronix_operator.core.unmatched import unmatched

MAX_MESSAGE = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Verdicts:
    """The conditions of one walk: Ready, and the abnormal ones that are true, as type → (reason, message)."""

    ready: tuple[str, str, str]
    abnormal: Mapping[str, tuple[str, str]]


def summarize(
    app: App,
    memory: Memory,
    outcome: Outcome | ReconcileError,
    previous: Mapping[str, Any],
    now: datetime,
    logs: Logs = NO_LOGS,
) -> dict[str, Any]:
    """The whole status after one walk, ready for a merge patch; what the walk could not learn is left out.

    `logs`: what is known of runs, by UID of their CronJob.
    """
    verdicts = _failed(outcome, logs) if isinstance(outcome, ReconcileError) else _walked(app, outcome, logs)
    keys = key_conditions(memory.rotation, memory.source_fault)
    verdicts = dataclasses.replace(verdicts, abnormal={**verdicts.abnormal, **keys})
    status: dict[str, Any] = {
        "observedGeneration": app.generation,
        "app": app.app,
        "conditions": _conditions(verdicts, previous.get("conditions") or [], app.generation, now),
        "consecutiveFailures": memory.consecutive_failures,
    }
    if app.reconcile_at is not None:
        status["lastHandledReconcileAt"] = app.reconcile_at
    status |= _keys(memory)
    if memory.good is not None:
        status["manifest"] = {
            "hash": memory.good.digest,
            "lastFetchTime": timestamp(memory.good.fetched_at),
            "lastChangeTime": timestamp(memory.good.changed_at),
            # null takes away what an earlier manifest had
            **({"etag": memory.good.etag} if memory.good.etag or (previous.get("manifest") or {}).get("etag") else {}),
        }
    if isinstance(outcome, ReconcileError):
        return as_they_stood(previous, logs) | status
    return status | _rows(memory, outcome, previous, logs, now)


def refused(
    generation: int, fault: Stalled, previous: Mapping[str, Any], now: datetime, logs: Logs = NO_LOGS
) -> dict[str, Any]:
    """The status of a CronixApp whose spec cannot be read: the fault, its runs, and everything else as it was."""
    conditions = _conditions(_failed(fault, logs), previous.get("conditions") or [], generation, now)
    return {**previous, **overlaid(previous, logs), "observedGeneration": generation, "conditions": conditions}


def as_they_stood(previous: Mapping[str, Any], logs: Logs) -> dict[str, Any]:
    """The rows of the last walk that got as far as the CronJobs, with the runs since; what belongs to them stays."""
    rows = overlaid(previous, logs)
    return {**{field: previous[field] for field in _OWNED_OPTIONAL if field in previous}, **rows} if rows else {}


def patch_for(status: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, Any] | None:
    """The merge patch that turns `previous` into `status`, or None when nothing a person could miss has changed.

    The times of fetches and probes, and the ETag, alone are not worth a write: a resync without a change costs none
    (promise 4). They travel with the next real change.
    """
    # A walk that never got as far as the CronJobs says nothing about them: what is told stays told.
    gone = {field: None for field in _OWNED_OPTIONAL if "jobs" in status and field in previous and field not in status}
    patch = {**status, **gone}
    before = {field: previous.get(field) for field in patch}
    return None if _without_times(patch) == _without_times(before) else {"status": patch}


def may_wait(status: Mapping[str, Any], previous: Mapping[str, Any]) -> bool:
    """Whether all that is new in `status` is what runs did, and so may be written a little later, for many at once."""
    return only_runs(*_timeless(status, previous))


def may_wait_for_the_end(status: Mapping[str, Any], previous: Mapping[str, Any]) -> bool:
    """Whether all that is new in `status` is that runs have started, and so may wait for their end a little."""
    return only_starts(*_timeless(status, previous))


def _timeless(status: Mapping[str, Any], previous: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return _without_times(status), _without_times({field: previous.get(field) for field in status})


_OWNED_OPTIONAL = (
    "nextRun", "invalidJobs", "jobsTruncated", "lastFailure", "keys", "signature", "previousSuccessConfigMap",
)  # fmt: skip


def _without_times(status: Mapping[str, Any]) -> dict[str, Any]:
    timeless = {name: _less(status.get(name) or {}) for name in ("manifest", "signature")}
    return {**status, **timeless, "keys": [_less(row) for row in status.get("keys") or []]}


def _less(part: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in part.items() if k not in {"lastFetchTime", "lastProbeTime", "etag"}}


def _keys(memory: Memory) -> dict[str, Any]:
    part: dict[str, Any] = {}
    rotation = memory.rotation
    if memory.probe_signature is not None:
        part["lastHandledProbeSignature"] = memory.probe_signature
    if rotation.records:
        part["keys"] = [
            {"name": record.name, "state": record.state, "signs": signs} | _probed(record.probed_at)
            for record, signs in listed_keys(rotation)
        ]
    if rotation.enforced is not None:
        part["signature"] = {"enforced": rotation.enforced} | _probed(rotation.control_at)
    return part


def _probed(at: datetime | None) -> dict[str, str]:
    return {} if at is None else {"lastProbeTime": timestamp(at)}


def _failed(error: ReconcileError, logs: Logs) -> Verdicts:
    follow_up = "Stalled" if isinstance(error, Stalled) else "Reconciling"
    abnormal = {follow_up: (error.reason, error.message), **stuck(logs)}
    if error.reason == "FetchFailed":
        abnormal["FetchFailed"] = (error.reason, error.message)
    return Verdicts(("False", error.reason, error.message), abnormal)


def _walked(app: App, outcome: Outcome, logs: Logs) -> Verdicts:
    abnormal: dict[str, tuple[str, str]] = {
        **outcome.warnings,
        **unmatched(app, outcome.job_names),
        **stuck(logs),
    }
    count = len(outcome.in_step)
    in_step = f"{count} CronJob{'' if count == 1 else 's'} in step with {outcome.digest[:19]}"
    if outcome.faults:
        text = _fault_text(outcome.faults)
        word = "NameConflict" if all(f.reason == "NameConflict" for f in outcome.faults) else "JobsInvalid"
        abnormal["JobsInvalid"] = (word, text)
    if outcome.refused:
        abnormal["Reconciling"] = ("ApplyFailed", _fault_text(outcome.refused))
    fault = outcome.source_fault
    if fault is not None:
        if isinstance(fault, Stalled):
            abnormal["Stalled"] = (fault.reason, fault.message)
        else:
            abnormal["FetchFailed"] = (fault.reason, fault.message)
    return Verdicts(_ready(app, outcome, in_step), _with_stalled(abnormal))


def _ready(app: App, outcome: Outcome, in_step: str) -> tuple[str, str, str]:
    fault = outcome.source_fault
    if isinstance(fault, Stalled):
        return ("False", fault.reason, f"{fault.message}. The last good manifest stays in force: {in_step}")
    if outcome.refused:
        return ("False", "ApplyFailed", f"{_fault_text(outcome.refused)}. {in_step}")
    if outcome.faults:
        return ("False", "JobsInvalid", f"{_fault_text(outcome.faults)}. {in_step}")
    if fault is not None:
        return ("True", fault.reason, f"{in_step}, the last good manifest; the latest fetch failed: {fault.message}")
    if app.suspend:
        return ("True", "Suspended", f"{in_step}, all suspended (spec.suspend)")
    return ("True", "Succeeded", in_step)


def _with_stalled(abnormal: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """kstatus reads Ready=False alone as *in progress*; what waits for a person must say Stalled."""
    for cause in ("JobsInvalid", "PruneBlocked"):
        if cause in abnormal and "Stalled" not in abnormal and "Reconciling" not in abnormal:
            abnormal["Stalled"] = abnormal[cause]
    return abnormal


def _fault_text(faults: Sequence[JobFault]) -> str:
    shown = []
    for fault in faults[:3]:
        where = fault.job if fault.index is None else f"{fault.job}/{fault.index}"
        shown.append(f'job "{where}": {fault.message}')
    more = len(faults) - len(shown)
    return "; ".join(shown) + (f"; and {more} more (see status.invalidJobs)" if more > 0 else "")


def _conditions(
    verdicts: Verdicts, previous: Sequence[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    before = {condition.get("type"): condition for condition in previous}
    wanted = [("Ready", *verdicts.ready)]
    wanted += [(kind, "True", *verdicts.abnormal[kind]) for kind in sorted(verdicts.abnormal)]
    conditions = []
    for kind, state, reason, message in wanted:
        old = before.get(kind) or {}
        since = old.get("lastTransitionTime") if old.get("status") == state else None
        conditions.append(
            {
                "type": kind,
                "status": state,
                "reason": reason,
                "message": _short(message),
                "observedGeneration": generation,
                "lastTransitionTime": since or timestamp(now),
            }
        )
    return conditions


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"


def _rows(memory: Memory, outcome: Outcome, previous: Mapping[str, Any], logs: Logs, now: datetime) -> dict[str, Any]:
    known = row_by_uid(previous.get("jobs"))
    rows = [
        _row(want, live, memory, now) | run_fields(uid, logs, known.get(uid, {}))
        for want, live in outcome.in_step
        for uid in [live["metadata"]["uid"]]
    ]
    rows.sort(key=lambda row: (row["name"], row["index"]))
    nexts = [(row["nextRunTime"], f"{row['name']}/{row['index']}") for row in rows if "nextRunTime" in row]
    invalid = [*outcome.faults, *outcome.refused]
    part: dict[str, Any] = {
        "summary": {
            "jobs": len(outcome.job_names),
            "cronJobs": len(rows),
            "active": sum(_active(live, logs) for _, live in outcome.in_step),
            "suspended": sum(row["suspended"] for row in rows),
            "failing": sum(map(is_failing, rows)),
            "invalid": len(invalid),
            "pendingPrune": outcome.pending_prune,
        },
        "jobs": rows[:MAX_ROWS],
        **last_failure(logs, previous),
    }
    if len(rows) > MAX_ROWS:
        part["jobsTruncated"] = True
    if outcome.success_config_map:
        part["previousSuccessConfigMap"] = outcome.success_config_map
    if nexts:
        part["nextRun"] = dict(zip(("time", "job"), min(nexts), strict=True))
    if invalid:
        part["invalidJobs"] = _invalid_rows(invalid)
    return part


def _active(live: KubeObject, logs: Logs) -> int:
    """Runs under way; the log also knows those that were started by hand."""
    log = logs.get(live["metadata"]["uid"])
    return log.under_way if log is not None else len((live.get("status") or {}).get("active") or [])


def _invalid_rows(faults: Iterable[JobFault]) -> list[dict[str, Any]]:
    rows = []
    for fault in faults:
        row: dict[str, Any] = {"name": fault.job, "reason": fault.reason, "message": _short(fault.message)}
        if fault.index is not None:
            row["index"] = fault.index
        rows.append(row)
    return rows[:MAX_ROWS]


def _row(want: DesiredCronJob, live: KubeObject, memory: Memory, now: datetime) -> dict[str, Any]:
    known = memory.pairs.get(want.name)
    suspended = bool(live["spec"].get("suspend"))
    row: dict[str, Any] = {
        "name": want.job,
        "index": want.index,
        "cronJobName": want.name,
        "cronJobUID": live["metadata"]["uid"],
        "schedule": want.schedule,
        "timeZone": want.time_zone,
        "suspended": suspended,
    }
    if known is not None:
        row["specHash"] = f"{known.rendered}/{known.live}"
    live_status = live.get("status") or {}
    for field in ("lastScheduleTime", "lastSuccessfulTime"):
        if live_status.get(field):
            row[field] = live_status[field]
    upcoming = None if suspended else next_run(want, live, now)
    if upcoming is not None:
        row["nextRunTime"] = timestamp(upcoming)
    return row
