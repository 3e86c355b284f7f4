"""One CronJob's runs, from what was seen of its Jobs and pods: what ended, what to say, what status shows; no I/O.

A Log is what the operator remembers between two looks; `advance` is one look. It may be called at any time and as often
as one likes: what was counted or said is not counted or said again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from cronix_operator.core import naming
from cronix_operator.core.announce import Announcement
from cronix_operator.core.app import GROUP, KIND
from cronix_operator.core.history import History, is_counted, recall, recall_beyond, record, row_of, run_row, succeeded
from cronix_operator.core.jobfacts import JobFacts, PodFacts
from cronix_operator.core.model import KubeObject
from cronix_operator.core.moments import time_of
from cronix_operator.core.plan import job_of
from cronix_operator.core.previous import mounts_success
from cronix_operator.core.runnews import Told, of_missed, of_run, of_trouble
from cronix_operator.core.runs import Origin, Run, Trouble, next_trouble, run_of, trouble_of
from cronix_operator.core.slots import Slots, Timing, begun, look, next_look, recall_slots, slots_row, timing_of

# A Job's end and its pod's last word come by two watches; this long the one waits for the other.
LAST_WORD = timedelta(seconds=3)


@dataclasses.dataclass(frozen=True, slots=True)
class CronFacts:
    """One CronJob of ours: `owner` and `owner_name` are its CronixApp's. `succeeded`: status.lastSuccessfulTime.

    `app`: the label value of its app id. `asks`: whether its signer asks when its job last succeeded.
    """

    namespace: str
    uid: str
    owner: str
    owner_name: str
    origin: Origin
    timing: Timing
    succeeded: datetime | None
    app: str = ""
    asks: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One Job, its pods (those that are gone, too), and when its end was first seen."""

    job: JobFacts
    pods: tuple[PodFacts, ...] = ()
    end_seen: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    """`active`: a run under way, the one in trouble if one is. `under_way`: how many there are."""

    history: History
    slots: Slots = dataclasses.field(default_factory=Slots)
    told: Told = dataclasses.field(default_factory=Told)
    active: Run | None = None
    trouble: Trouble | None = None
    under_way: int = 0

    @property
    def failing(self) -> bool:
        """Whether the last run failed, or the one under way does not get on."""
        return self.history.failures > 0 or self.trouble is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What one look gave. `again`: when to look next although nothing happens."""

    log: Log
    ended: tuple[Run, ...]
    news: tuple[Announcement, ...]
    again: datetime | None


def cron_facts(live: KubeObject) -> CronFacts | None:
    """The facts of a CronJob that a CronixApp controls and that has the name we give; None for any other.

    A copy that somebody made under another name, owner reference and all, is not ours (attack T5).
    """
    meta = live.get("metadata") or {}
    owners = [owner for owner in meta.get("ownerReferences") or [] if owner.get("controller")]
    timing = timing_of(live)
    labels = meta.get("labels") or {}
    index = str(labels.get(naming.INDEX, ""))
    if timing is None or not owners or not (index.isascii() and index.isdigit() and len(index) <= 3):
        return None
    owner = owners[0]
    if owner.get("kind") != KIND or not str(owner.get("apiVersion", "")).startswith(f"{GROUP}/"):
        return None
    job, name = job_of(live), str(meta.get("name"))
    if name != naming.cron_job_name(str(labels.get(naming.APP, "")), job, int(index)):
        return None
    replaces = (live.get("spec") or {}).get("concurrencyPolicy") == "Replace"
    return CronFacts(
        namespace=str(meta.get("namespace")),
        uid=timing.uid,
        owner=str(owner.get("uid")),
        owner_name=str(owner.get("name")),
        origin=Origin(str(owner.get("uid")), name, job, int(index), replaces=replaces),
        timing=timing,
        succeeded=time_of((live.get("status") or {}).get("lastSuccessfulTime")),
        app=str(labels.get(naming.APP, "")),
        asks=mounts_success(live),
    )


def first_log(facts: CronFacts, known: Mapping[str, Mapping[str, Any]]) -> Log:
    """The log to start with: what an earlier process left in status, in the row of this very CronJob."""
    row = known.get(facts.uid, {})
    history = recall(facts.uid, row) if row else recall_beyond(facts.uid, known.values())
    slots = recall_slots(row, facts.timing)
    return Log(history, slots, Told(failing=history.failures > 0, missed=slots.missed))


def row_by_uid(rows: object) -> dict[str, Mapping[str, Any]]:
    """Status rows by UID of their CronJob; anything that is no row is left out."""
    found = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return {str(row["cronJobUID"]): row for row in found if row.get("cronJobUID")}


def advance(log: Log, facts: CronFacts, seen: Iterable[Seen], now: datetime) -> Step:
    """One look at a CronJob with all that is known of its Jobs."""
    history, told, slots = succeeded(log.history, facts.succeeded), log.told, log.slots
    ended: list[Run] = []
    news: list[Announcement] = []
    again: list[datetime] = []
    under_way: list[tuple[Run, Trouble | None]] = []
    runs = [(entry, run_of(facts.origin, entry.job, entry.pods)) for entry in seen]
    for entry, run in sorted(runs, key=lambda pair: (pair[1].finished or pair[1].created, pair[1].job_uid)):
        slots = begun(slots, None if entry.job.by_hand else run.slot)
        if run.finished is None:
            under_way.append((run, trouble_of(entry.job, entry.pods, now)))
            again += filter(None, [next_trouble(entry.job, entry.pods, now)])
        elif not is_counted(history, run):
            wait = _last_word(entry, now)
            if wait is not None:
                again.append(wait)
                continue
            history = record(history, run)
            ended.append(run)
            told, said = of_run(told, run, history.failures, now)
            news += said
    slots = look(slots, facts.timing, now)
    told, said = of_missed(told, f"{facts.origin.job}/{facts.origin.index}", slots.missed, slots.last_missed, now)
    news += said
    active, trouble = min(under_way, key=lambda pair: (pair[1] is None, pair[0].created), default=(None, None))
    if active is not None and trouble is not None:
        told, said = of_trouble(told, active, trouble, history.failures, now)
        news += said
    again += filter(None, [next_look(slots)])
    after = Log(history, slots, told, active, trouble, len(under_way))
    return Step(after, tuple(ended), tuple(news), min(again, default=None))


def _last_word(entry: Seen, now: datetime) -> datetime | None:
    """Until when to wait for the pod of a Job that has ended; None when there is nothing to wait for."""
    if entry.end_seen is None or any(pod.outcome is not None for pod in entry.pods):
        return None
    until = entry.end_seen + LAST_WORD
    return until if until > now else None


def log_row(log: Log) -> dict[str, Any]:
    """The part of a CronJob's status row that speaks of its runs."""
    row = {**row_of(log.history), **slots_row(log.slots)}
    if log.active is not None:
        row["activeRun"] = run_row(log.active)
        if log.trouble is not None:
            row["activeRun"]["problem"] = log.trouble.word
    return row


def stuck_text(logs: Iterable[Log]) -> tuple[str, str] | None:
    """Reason and message of the condition RunStuck over all CronJobs of an app; None when every run gets on.

    A run that ought to have ended comes before one that does not start.
    """
    found = [(log.trouble, log.active) for log in logs if log.trouble is not None and log.active is not None]
    if not found:
        return None
    found.sort(key=lambda pair: (pair[0].word != "RunStuck", pair[1].job, pair[1].index))
    trouble, run = found[0]
    more = f"; and {len(found) - 1} more (see status.jobs)" if len(found) > 1 else ""
    return trouble.word, f"{run.job}/{run.index}: {trouble.text} (Job {run.job_name}){more}"
