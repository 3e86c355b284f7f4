"""What CronixApp.status shows of runs: rows, counts, the last failure, the condition RunStuck; no I/O.

Rows change with every run, conditions hardly ever. What only tells of runs may wait a few seconds and is then written
once for all of them (`only_runs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from cronix_operator.core.moments import time_of, timestamp
from cronix_operator.core.runlog import Log, log_row, stuck_text

STUCK_CONDITION = "RunStuck"
RUN_FIELDS = (
    "lastRun",
    "activeRun",
    "consecutiveFailures",
    "lastSuccessfulTime",
    "missedSlots",
    "lastMissedSlot",
    "runMark",
    "runCounts",
    "runAttempts",
)
_OF_SLOTS = ("lastScheduleTime", "nextRunTime")
# What runs move in status: its own fields, those of the summary, those of a row. And which of them a start alone moves.
_MOVED = (("nextRun", "lastFailure"), ("active", "failing"), (*RUN_FIELDS, *_OF_SLOTS))
_STARTED = (("nextRun",), ("active",), ("activeRun", *_OF_SLOTS))
MAX_FAILURE_MESSAGE = 512

Logs = Mapping[str, Log]
NO_LOGS: Logs = MappingProxyType({})
Row = Mapping[str, Any]


def run_fields(uid: str, logs: Logs, row: Row) -> dict[str, Any]:
    """The fields of one row: from its log, or, while there is none yet (a start), as they stand in `row`."""
    if uid in logs:
        return log_row(logs[uid])
    return {field: row[field] for field in RUN_FIELDS if field in row}


def is_failing(row: Row) -> bool:
    """Whether the last run failed, or the one under way does not get on."""
    active = row.get("activeRun")
    return bool(row.get("consecutiveFailures")) or (isinstance(active, Mapping) and "problem" in active)


def last_failure(logs: Logs, previous: Mapping[str, Any]) -> dict[str, Any]:
    """`{"lastFailure": …}` with the newest run that failed, `{}` when none ever did."""
    before = previous.get("lastFailure")
    runs = [log.history.last_failure for log in logs.values() if log.history.last_failure is not None]
    newest = max(runs, key=lambda run: (run.finished or run.created, run.job_uid), default=None)
    told = time_of(before.get("time")) if isinstance(before, Mapping) else None
    if newest is None or newest.finished is None or (told is not None and told > newest.finished):
        return {"lastFailure": before} if told is not None else {}
    said = f"{newest.message}: {newest.excerpt}" if newest.excerpt else newest.message
    return {
        "lastFailure": {
            "job": f"{newest.job}/{newest.index}",
            "time": timestamp(newest.finished),
            "outcome": newest.outcome,
            "message": said[:MAX_FAILURE_MESSAGE],
        }
    }


def overlaid(previous: Mapping[str, Any], logs: Logs) -> dict[str, Any]:
    """What a walk that got nowhere still knows of runs: the rows as they stood, with what their logs say now."""
    rows = previous.get("jobs")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        return {}
    after = []
    for row in rows:
        rest = {field: value for field, value in row.items() if field not in RUN_FIELDS}
        after.append(rest | run_fields(str(row.get("cronJobUID")), logs, row))
    counts = {"failing": sum(map(is_failing, after))}
    if logs:
        counts["active"] = sum(log.under_way for log in logs.values())
    return {"jobs": after, "summary": {**(previous.get("summary") or {}), **counts}, **last_failure(logs, previous)}


def stuck(logs: Logs) -> dict[str, tuple[str, str]]:
    """The condition RunStuck as type → (reason, message) while a run does not get on."""
    told = stuck_text(logs.values())
    return {} if told is None else {STUCK_CONDITION: told}


def only_runs(status: Mapping[str, Any], previous: Mapping[str, Any]) -> bool:
    """Whether `status` says nothing that is new but what runs did: no condition, no manifest, no CronJob changed."""
    return _without(status, *_MOVED) == _without(previous, *_MOVED)


def only_starts(status: Mapping[str, Any], previous: Mapping[str, Any]) -> bool:
    """Whether `status` says nothing that is new but that runs have started."""
    return _without(status, *_STARTED) == _without(previous, *_STARTED)


def _without(
    status: Mapping[str, Any], fields: Sequence[str], counts: Sequence[str], of_row: Sequence[str]
) -> dict[str, Any]:
    rest = _less(status, fields)
    summary, rows, conditions = rest.get("summary"), rest.get("jobs"), rest.get("conditions")
    if isinstance(conditions, Sequence) and not isinstance(conditions, str):
        rest["conditions"] = [_without_names(condition) for condition in conditions]
    if isinstance(summary, Mapping):
        rest["summary"] = _less(summary, counts)
    if isinstance(rows, Sequence) and not isinstance(rows, str):
        rest["jobs"] = [_less(row, of_row) if isinstance(row, Mapping) else row for row in rows]
    return rest


def _less(part: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    return {field: value for field, value in part.items() if field not in fields}


def _without_names(condition: object) -> object:
    """RunStuck names a run and counts the others, which change as runs do; that it is there, and why, does not wait."""
    if not isinstance(condition, Mapping) or condition.get("type") != STUCK_CONDITION:
        return condition
    return _less(condition, ("message",))
