"""What became of one CronJob's runs so far, each counted once, whatever order the news came in; values in, values out.

Counting survives a restart by a high-water mark in status: every run that ended up to `floor` is counted, and of later
ones those whose digest stands in `recent`. Within one process the order of events does not matter; over a restart a run
is taken for counted only if it ended two minutes before the newest one that was.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from cronix_operator.core.moments import time_of, timestamp
from cronix_operator.core.runs import ADVICE, Run

MAX_ROWS = 256  # of the CronJobs that status has a row for
OVERLAP = timedelta(seconds=120)
MAX_RECENT = 32
MAX_STREAK = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Totals:
    """Runs by their outcome, and the requests that they sent, since the CronJob was made."""

    runs: Mapping[str, int] = dataclasses.field(default_factory=dict)
    attempts: int = 0

    def with_run(self, run: Run) -> Totals:
        """These, and one run more."""
        return Totals({**self.runs, run.outcome: self.runs.get(run.outcome, 0) + 1}, self.attempts + run.attempts)

    def without(self, runs: Collection[Run]) -> Totals:
        """These, less some that are among them."""
        left = Counter(self.runs) - Counter(run.outcome for run in runs)
        return Totals(dict(left), max(0, self.attempts - sum(run.attempts for run in runs)))


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """The runs of the CronJob with this `uid`.

    `last`: the newest run that has ended, `last_failure` the newest that failed. `last_success`: when a successful one
    last ended. `older_failures` and `streak`: the failures since then; of the newest 64 when they ended, the rest as a
    number. `counted`: digests of the runs that this process counted and whose Jobs are still there; `ends`: when the
    newest of them ended. `floor` and `recent`: the mark that an earlier process left. `totals`: how many runs were ever
    counted, and the requests that they sent; what an earlier process had counted is among them.
    """

    uid: str
    last: Run | None = None
    last_failure: Run | None = None
    last_success: datetime | None = None
    older_failures: int = 0
    streak: tuple[tuple[datetime, str], ...] = ()
    counted: frozenset[str] = frozenset()
    ends: tuple[tuple[datetime, str], ...] = ()
    floor: datetime | None = None
    recent: frozenset[str] = frozenset()
    totals: Totals = dataclasses.field(default_factory=Totals)

    @property
    def failures(self) -> int:
        """How many runs have failed since the last one that succeeded."""
        return self.older_failures + len(self.streak)


def digest_of(job_uid: str) -> str:
    """40 bits of a Job's UID: enough among the few runs of one CronJob, and short in status."""
    return hashlib.sha256(job_uid.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def is_counted(history: History, run: Run) -> bool:
    """Whether this run, which has ended, is in the history already."""
    digest = digest_of(run.job_uid)
    if digest in history.counted or digest in history.recent:
        return True
    return history.floor is not None and run.finished is not None and _second(run.finished) <= history.floor


def record(history: History, run: Run) -> History:
    """The history with this run counted; the same history when the run has not ended or is counted already."""
    if run.finished is None or is_counted(history, run):
        return history
    entry = (_second(run.finished), digest_of(run.job_uid))
    history = dataclasses.replace(
        history,
        last=_newer(run, history.last),
        last_failure=_newer(run, history.last_failure) if run.failed else history.last_failure,
        counted=history.counted | {entry[1]},
        ends=tuple(sorted({*history.ends, entry}))[-MAX_RECENT - 1 :],
        totals=history.totals.with_run(run),
    )
    return _failed(history, entry) if run.failed else succeeded(history, entry[0])


def _newer(run: Run, other: Run | None) -> Run:
    return run if other is None or _order(run) > _order(other) else other


def _order(run: Run) -> tuple[datetime, str]:
    return (run.finished or run.created, run.job_uid)


def _failed(history: History, entry: tuple[datetime, str]) -> History:
    if history.last_success is not None and entry[0] <= history.last_success:
        return history  # news of an old failure, after the success that followed it
    streak = tuple(sorted({*history.streak, entry}))
    over = max(0, len(streak) - MAX_STREAK)
    return dataclasses.replace(history, streak=streak[over:], older_failures=history.older_failures + over)


def succeeded(history: History, ended: datetime | None) -> History:
    """The history once it is known that some run succeeded and ended then, counted or not."""
    if ended is None or (history.last_success is not None and ended <= history.last_success):
        return history
    after = tuple(entry for entry in history.streak if entry[0] > ended)
    # Only a success that is older than all the failures kept could leave some of the others standing; none is so late.
    return dataclasses.replace(history, last_success=ended, streak=after, older_failures=0)


def forget(history: History, job_uids: Collection[str]) -> History:
    """The history once these Jobs are gone from the cluster: nothing can ask about them again."""
    gone = {digest_of(uid) for uid in job_uids}
    return dataclasses.replace(history, counted=history.counted - gone)


def mark_of(history: History) -> str:
    """The high-water mark as status keeps it: `<floor>/<digest>,<digest>…`; "" when nothing was ever counted."""
    floor, recent = history.floor, history.recent
    if history.ends:
        newest = history.ends[-1][0] - OVERLAP
        if len(history.ends) > MAX_RECENT:
            newest = max(newest, history.ends[0][0])
        if floor is not None and newest < floor + OVERLAP:
            newest = max(floor, newest)
        else:
            recent = frozenset()  # all of those ended at most OVERLAP after their floor
        floor = newest
        recent |= {digest for ended, digest in history.ends if ended > floor}
    if floor is None:
        return ""
    kept = sorted(recent)[: 2 * MAX_RECENT]
    return f"{timestamp(floor)}/{','.join(kept)}"


def row_of(history: History) -> dict[str, Any]:
    """The part of a CronJob's status row that speaks of its runs; `recall` reads it back."""
    row: dict[str, Any] = {"consecutiveFailures": history.failures} if history.failures else {}
    if history.last_success is not None:
        row["lastSuccessfulTime"] = timestamp(history.last_success)
    if history.last is not None:
        row["lastRun"] = run_row(history.last)
    mark = mark_of(history)
    if mark:
        # One with the mark, in one write: what is counted and what is marked as counted cannot come apart.
        row["runMark"] = mark
        row["runCounts"] = dict(sorted(history.totals.runs.items()))
        row["runAttempts"] = history.totals.attempts
    return row


def run_row(run: Run) -> dict[str, Any]:
    """One run as status shows it; what is not known is left out."""
    row: dict[str, Any] = {"jobName": run.job_name, "runID": run.run_id}
    times = {"slot": run.slot, "startTime": run.started, "endTime": run.finished}
    row |= {field: timestamp(moment) for field, moment in times.items() if moment is not None}
    if run.outcome:
        row["outcome"] = run.outcome
    if run.http_status is not None:
        row["httpStatus"] = run.http_status
    if run.attempts:
        row["attempts"] = run.attempts
    return row


def recall(uid: str, row: Mapping[str, Any]) -> History:
    """The history that an earlier process left in a status row; what makes no sense there is left out.

    Status is written by us alone, but anybody with the right may edit it: a forged mark can hide or repeat a count.
    """
    floor, recent = _mark(row.get("runMark"))
    return History(
        uid=uid,
        last=_recalled_run(row),
        last_success=time_of(row.get("lastSuccessfulTime")),
        older_failures=count_of(row.get("consecutiveFailures")),
        floor=floor,
        recent=recent,
        totals=_recalled_totals(row),
    )


def recall_beyond(uid: str, rows: Collection[Mapping[str, Any]]) -> History:
    """The history of a CronJob without a row: where there are as many rows as there may be, it is one of the others.

    All marks are written together, so what ended before the newest of them was counted for it as well. Runs of the two
    minutes after that may be counted again.
    """
    if len(rows) < MAX_ROWS:
        return History(uid)
    floors = [floor for floor, _ in (_mark(row.get("runMark")) for row in rows) if floor is not None]
    return History(uid, floor=max(floors, default=None))


def _recalled_totals(row: Mapping[str, Any]) -> Totals:
    counts = row.get("runCounts")
    runs = {word: count_of(counts.get(word)) for word in ADVICE} if isinstance(counts, Mapping) else {}
    return Totals({word: number for word, number in runs.items() if number}, count_of(row.get("runAttempts")))


def _mark(value: object) -> tuple[datetime | None, frozenset[str]]:
    text = value if isinstance(value, str) and len(value) < 1024 else ""
    floor, _, digests = text.partition("/")
    moment = time_of(floor)
    return (moment, frozenset(filter(None, digests.split(",")))) if moment is not None else (None, frozenset())


def _recalled_run(row: Mapping[str, Any]) -> Run | None:
    """The last run, as far as status tells it: not its Job's UID; its place among later runs is its end."""
    last, index = row.get("lastRun"), row.get("index")
    ended = time_of(last.get("endTime")) if isinstance(last, Mapping) else None
    if not isinstance(last, Mapping) or ended is None or last.get("outcome") not in ADVICE:
        return None
    status, attempts = last.get("httpStatus"), last.get("attempts")
    slot = time_of(last.get("slot"))
    return Run(
        cron_job=str(row.get("cronJobName", "")),
        job=str(row.get("name", "")),
        index=index if isinstance(index, int) else 0,
        job_name=str(last.get("jobName", "")),
        job_uid="",
        run_id=str(last.get("runID", "")),
        slot=slot,
        manual=slot is None,
        created=time_of(last.get("startTime")) or ended,
        started=time_of(last.get("startTime")),
        finished=ended,
        outcome=str(last["outcome"]),
        http_status=status if isinstance(status, int) else None,
        attempts=attempts if isinstance(attempts, int) else 0,
    )


def count_of(value: object) -> int:
    """A number of something in status; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else 0


def _second(moment: datetime) -> datetime:
    """Status keeps whole seconds, as Kubernetes does."""
    return moment.replace(microsecond=0)
