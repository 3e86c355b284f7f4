"""What was seen of CronJobs, Jobs and pods, and each CronJob's log of runs; the only holder of run state.

The watches deliver in any order, and an operator that starts gets Jobs before the CronixApps they belong to. So facts
are kept by the UID that controls them, whoever that turns out to be, and a look at one app puts together what is its
own by owner UID alone (attack T5). Kept are facts, not objects: some hundred bytes for a Job, and for each CronJob no
more Jobs than history limits leave.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from cronix_operator.core.announce import Announcement
from cronix_operator.core.history import Totals, forget
from cronix_operator.core.jobfacts import JobFacts, PodFacts, parse_job, parse_pod
from cronix_operator.core.model import KubeObject
from cronix_operator.core.previous import Mounted
from cronix_operator.core.runlog import CronFacts, Log, Seen, advance, cron_facts, first_log, row_by_uid, stuck_text
from cronix_operator.core.runnews import paced
from cronix_operator.core.runs import Origin, Run

Key = tuple[str, str]
MAX_JOBS_PER_CRON_JOB = 300
MAX_UNKNOWN = 20_000
MAX_PARKED = 1_000
MAX_UNMARKED = 10_000  # of one app; only while the API server refuses its status for long


@dataclasses.dataclass(slots=True)
class _Job:
    facts: JobFacts
    end_seen: datetime | None = None
    gone: bool = False
    pods: dict[str, PodFacts] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What one look at an app gave. `began`: CronJobs that are looked at from now on, and what status says was counted.

    `moved`: whether status has something new to show of runs that ended or do not get on. `started`: of runs that only
    began. `urgent`: whether a condition came, went or has another reason. `again`: when to look next although nothing
    happens.
    """

    began: tuple[tuple[Origin, Totals], ...]
    news: tuple[Announcement, ...]
    moved: bool
    started: bool
    urgent: bool
    again: datetime | None


class RunBook:
    """Feed it what the watches say, then look at the apps that they name. Never raises on what a watch delivers."""

    def __init__(self) -> None:
        self._cron_jobs: dict[Key, CronFacts] = {}  # by (namespace, UID)
        self._owned: dict[Key, set[Key]] = {}  # by (namespace, UID of the CronixApp)
        self._jobs: dict[Key, dict[str, _Job]] = {}  # by (namespace, UID of the CronJob), then by UID
        self._orphan_pods: dict[Key, dict[str, PodFacts]] = {}  # by (namespace, UID of a Job not seen yet)
        self._parents: dict[Key, Key] = {}  # (namespace, UID of a Job) → its CronJob
        self._logs: dict[Key, Log] = {}  # by (namespace, UID of the CronJob)
        # A CronJob whose label was taken away looks deleted and comes back in a moment: what was counted stays counted.
        self._parked: dict[Key, Log] = {}
        self._spoken: dict[Key, tuple[datetime, ...]] = {}
        # Counted, but in no status that was written: if the process dies now, the next one counts them.
        self._unmarked: dict[Key, list[Run]] = {}  # by (namespace, UID of the CronixApp)
        # Which CronJobs have news, and when to look at the others: an app of hundreds costs what moves, not all it has.
        self._news: set[Key] = set()
        self._again: dict[Key, datetime | None] = {}

    def saw_cron_job(self, body: KubeObject, *, deleted: bool) -> Key | None:
        """A CronJob as it is now; returns namespace and name of its CronixApp when it is one of ours."""
        meta = body["metadata"]
        key = (str(meta.get("namespace")), str(meta.get("uid")))
        facts = None if deleted else cron_facts(body)
        before = self._cron_jobs.get(key)
        if before is not None and (facts is None or facts.owner != before.owner):
            self._drop_cron_job(key)
        if facts is None:
            return None
        self._cron_jobs[key] = facts
        self._news.add(key)
        self._owned.setdefault((key[0], facts.owner), set()).add(key)
        return (key[0], facts.owner_name)

    def saw_job(self, body: KubeObject, now: datetime, *, deleted: bool) -> Key | None:
        """A Job as it is now; returns namespace and name of the CronixApp when its CronJob is known as ours."""
        facts = parse_job(body)
        if facts is None:
            return None
        parent = (facts.namespace, facts.cron_job_uid)
        known = parent in self._cron_jobs
        if not known and (deleted or len(self._jobs) >= MAX_UNKNOWN):
            if facts.uid in self._jobs.get(parent, {}):
                self._drop_job(parent, facts.uid)
                self._news.discard(parent)
            return None
        jobs = self._jobs.setdefault(parent, {})
        job = jobs.get(facts.uid)
        if job is None:
            job = jobs[facts.uid] = _Job(facts)
            job.pods = self._orphan_pods.pop((facts.namespace, facts.uid), {})
            self._parents[facts.namespace, facts.uid] = parent
        if deleted and facts.ended is None and facts.removed is None:
            facts = dataclasses.replace(facts, removed=now.replace(microsecond=0))
        job.facts, job.gone = facts, deleted
        if facts.ended is not None and job.end_seen is None:
            job.end_seen = now
        self._bound(jobs)
        self._news.add(parent)
        return self._app_of(parent)

    def saw_pod(self, body: KubeObject, *, deleted: bool) -> Key | None:
        """A pod as it is now; one that is gone still counts, for it may be all that says why its Job failed."""
        facts = parse_pod(body)
        if facts is None:
            return None
        key = (str(body["metadata"].get("namespace")), facts.job_uid)
        parent = self._parents.get(key)
        if parent is not None:
            pods = self._jobs[parent][facts.job_uid].pods
            pods[facts.uid] = _still_waiting(pods.get(facts.uid), facts)
            self._news.add(parent)
            return self._app_of(parent)
        pods = self._orphan_pods.pop(key, {})
        pods.pop(facts.uid, None)
        if not deleted and len(self._orphan_pods) < MAX_UNKNOWN:
            pods[facts.uid] = facts
        if pods:
            self._orphan_pods[key] = pods
        return None

    def look(self, namespace: str, app_uid: str, rows: object, now: datetime) -> Look:
        """One look at all CronJobs of an app; `rows`: its status rows, for those that were never looked at."""
        began: list[tuple[Origin, Totals]] = []
        news: list[Announcement] = []
        moments: list[datetime] = []
        moved = started = False
        stuck_before = self._stuck(namespace, app_uid)
        known: dict[str, Mapping[str, Any]] | None = None
        for key in sorted(self._owned.get((namespace, app_uid), ())):
            due = self._again.get(key)
            if key not in self._news and (due is None or due > now):
                moments += filter(None, [due])
                continue
            self._news.discard(key)
            facts = self._cron_jobs[key]
            before = self._logs.get(key)
            if before is None:
                known = row_by_uid(rows) if known is None else known
                before = self._parked.pop(key, None) or first_log(facts, known)
                began.append((facts.origin, before.history.totals.without(self._unmarked_of(namespace, facts))))
            jobs = self._jobs.get(key, {})
            step = advance(before, facts, [_seen(job) for job in jobs.values()], now)
            self._logs[key] = self._cleared(key, step.log, jobs)
            self._again[key] = step.again
            if step.ended:
                ended = [*self._unmarked.get((namespace, app_uid), ()), *step.ended]
                self._unmarked[namespace, app_uid] = ended[-MAX_UNMARKED:]
            news += step.news
            moments += filter(None, [step.again])
            moved |= _ends_shown(before) != _ends_shown(step.log)
            started |= _starts_shown(before) != _starts_shown(step.log)
        kept, self._spoken[namespace, app_uid] = paced(news, self._spoken.get((namespace, app_uid), ()), now)
        urgent = stuck_before != self._stuck(namespace, app_uid)
        return Look(tuple(began), tuple(kept), moved, started, urgent, min(moments, default=None))

    def _stuck(self, namespace: str, app_uid: str) -> str | None:
        """The reason of the condition RunStuck. How many runs it speaks of may change as often as rows do."""
        told = stuck_text(self.logs(namespace, app_uid).values())
        return None if told is None else told[0]

    def unmarked(self, namespace: str, app_uid: str) -> tuple[Run, ...]:
        """The runs of an app that were counted and that no status speaks of; a status made now speaks of them."""
        return tuple(self._unmarked.get((namespace, app_uid), ()))

    def _unmarked_of(self, namespace: str, facts: CronFacts) -> list[Run]:
        runs = self._unmarked.get((namespace, facts.owner), ())
        return [run for run in runs if run.cron_job == facts.origin.cron_job]

    def marked(self, namespace: str, app_uid: str, runs: Collection[Run]) -> None:
        """These are in the status that was written, or have no row in it."""
        done = {run.job_uid for run in runs}
        left = [run for run in self._unmarked.pop((namespace, app_uid), []) if run.job_uid not in done]
        if left:
            self._unmarked[namespace, app_uid] = left

    def logs(self, namespace: str, app_uid: str) -> dict[str, Log]:
        """The logs of an app by UID of the CronJob."""
        return {key[1]: self._logs[key] for key in self._owned.get((namespace, app_uid), ()) if key in self._logs}

    def told(self, namespace: str, app_uid: str) -> Iterator[tuple[Origin, Log]]:
        """The logs of an app with whose they are."""
        for key in self._owned.get((namespace, app_uid), ()):
            if key in self._logs:
                yield self._cron_jobs[key].origin, self._logs[key]

    def mounted(self, namespace: str, app_uid: str) -> Mounted:
        """The jobs of an app whose signers ask for their last success, and when that was."""
        app, times = "", dict[str, datetime | None]()
        for key in self._owned.get((namespace, app_uid), ()):
            facts, log = self._cron_jobs[key], self._logs.get(key)
            if facts.asks:
                known = [times.get(facts.origin.job), log.history.last_success if log is not None else None]
                app, times[facts.origin.job] = facts.app, max(filter(None, known), default=None)
        return Mounted(app, times)

    def forget_app(self, namespace: str, app_uid: str) -> None:
        """The CronixApp is gone; its CronJobs follow."""
        for key in list(self._owned.get((namespace, app_uid), ())):
            self._drop_cron_job(key)
        self._spoken.pop((namespace, app_uid), None)
        self._unmarked.pop((namespace, app_uid), None)

    def job_went(self, namespace: str, uid: str, now: datetime) -> Key | None:
        """A Job is not there any more, and nobody saw it go; what is known of it by then has to do."""
        parent = self._parents.get((namespace, uid))
        if parent is None:
            return None
        job = self._jobs[parent][uid]
        if job.facts.ended is None and job.facts.removed is None:
            job.facts = dataclasses.replace(job.facts, removed=now.replace(microsecond=0))
        job.gone = True
        self._news.add(parent)
        return self._app_of(parent)

    def _app_of(self, cron_job: Key) -> Key | None:
        facts = self._cron_jobs.get(cron_job)
        return None if facts is None else (cron_job[0], facts.owner_name)

    def _cleared(self, key: Key, log: Log, jobs: dict[str, _Job]) -> Log:
        """Forget the Jobs that are gone and counted."""
        gone = [uid for uid, job in jobs.items() if job.gone]
        for uid in gone:
            self._drop_job(key, uid)
        return dataclasses.replace(log, history=forget(log.history, gone)) if gone else log

    def _drop_job(self, key: Key, uid: str) -> None:
        self._jobs[key].pop(uid, None)
        self._parents.pop((key[0], uid), None)
        if not self._jobs[key]:
            del self._jobs[key]

    def _drop_cron_job(self, key: Key) -> None:
        facts = self._cron_jobs.pop(key)
        owned = self._owned.get((key[0], facts.owner), set())
        owned.discard(key)
        if not owned:
            self._owned.pop((key[0], facts.owner), None)
        if key in self._logs:
            self._parked[key] = self._logs.pop(key)
        while len(self._parked) > MAX_PARKED:
            del self._parked[next(iter(self._parked))]
        self._news.discard(key)
        self._again.pop(key, None)
        for uid in list(self._jobs.get(key, {})):
            self._drop_job(key, uid)

    def _bound(self, jobs: dict[str, _Job]) -> None:
        """History limits allow 200 Jobs; more are ghosts, or somebody's game."""
        if len(jobs) <= MAX_JOBS_PER_CRON_JOB:
            return
        for uid in sorted(jobs, key=lambda uid: jobs[uid].facts.created)[: len(jobs) - MAX_JOBS_PER_CRON_JOB]:
            self._parents.pop((jobs[uid].facts.namespace, uid), None)
            del jobs[uid]


def _still_waiting(before: PodFacts | None, now: PodFacts) -> PodFacts:
    """A pod that is deleted before its start no longer says what kept it, or says ContainerCreating (seen on 1.34)."""
    if before is None or not before.waiting or now.started is not None:
        return now
    if now.waiting and now.terminating is None:
        return now
    return dataclasses.replace(now, waiting=before.waiting, waiting_text=before.waiting_text)


def _seen(job: _Job) -> Seen:
    # Once the Job is gone there is no later look to wait for.
    return Seen(job.facts, tuple(job.pods.values()), None if job.gone else job.end_seen)


def _ends_shown(log: Log) -> tuple[object, ...]:
    """What status shows of runs that ended, do not get on, or never began."""
    return (log.history.last, log.history.failures, log.history.totals, log.trouble, log.slots.missed)


def _starts_shown(log: Log) -> tuple[object, ...]:
    """What status shows of runs that go on."""
    return (log.active, log.under_way)
