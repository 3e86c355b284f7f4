"""The facts of one Job and its pods in, the Run out: what came of it in one word, and what to do; total, no I/O.

A run is one Job of a CronJob of ours, with however many pods and attempts. Its id, slot and outcome are the signer's
own word where the signer could still speak (the termination message), and Kubernetes' where it could not.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from cronix_operator.core.jobfacts import JobFacts, PodFacts
from cronix_operator.core.moments import timestamp
from cronix_protocol import outcome as wire
from cronix_protocol.outcome import Outcome
from cronix_protocol.runid import manual_run_id, run_id, slot_from_job_name

SUCCEEDED = wire.SUCCEEDED
DEADLINE_EXCEEDED = "DeadlineExceeded"
NEVER_STARTED = "NeverStarted"
SUPERSEDED = "Superseded"
CRASHED = "Crashed"
REMOVED = "Removed"
RUN_STUCK = "RunStuck"

ADVICE: Mapping[str, str] = MappingProxyType(
    {
        SUCCEEDED: "",
        wire.APP_REJECTED: "the app refused the request and is not asked again; its answer says why",
        wire.RETRIES_EXHAUSTED: "the app was down, too slow or failed at every attempt; its log has this run id",
        wire.INVALID_JOB: "the signer cannot read its job file; see kubectl logs, and whether operator and signer "
        "are of one version",
        wire.NO_KEY: "no signing key was in the pod, so nothing was sent; create the Secret and keys of spec.signing",
        wire.LOCK_CONTENDED: "another run held the lock; this one did nothing",
        wire.INTERRUPTED: "the pod was stopped before the app had answered; see who drained the node or deleted it",
        DEADLINE_EXCEEDED: "the run took longer than its attempts may; see whether the node or the app was too slow",
        NEVER_STARTED: "mend what keeps the pod from starting (kubectl describe job,pod); on a node that has gone "
        "silent it may have started unseen",
        SUPERSEDED: "the next slot replaced it (policy.concurrency: Replace); run it less often, or make it shorter",
        CRASHED: "the signer ended without a word; see exit code, memory limit and kubectl logs",
        REMOVED: "somebody deleted the Job before its end was seen",
    }
)
"""Every word that a run can end with, and what to do about it."""

# How far the slot in a Job's name may lie from the Job's creation: deadlines are a day at most in sane use; a name made
# by hand is off by years. Where the signer spoke, its word counts.
BELIEVE_SECONDS = 7 * 86400.0
MAX_UNIX_SECONDS = 2**35  # the year 3058


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Whose run it is: the CronJob it came from, by what the operator knows of it."""

    app_uid: str
    cron_job: str
    job: str
    index: int
    replaces: bool = False  # concurrencyPolicy Replace


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run. `slot`: the scheduled time, None for a manual run. `finished` is None while it is under way, and
    `outcome` is "" then. `started`: when the signer began, or None if none did.

    `start_delay_seconds`: from the slot to that. `successes`: how many pods reported one; Kubernetes may start a pod of
    one Job twice. `message` and `excerpt` are printable and hold no secret.
    """

    cron_job: str
    job: str
    index: int
    job_name: str
    job_uid: str
    run_id: str
    slot: datetime | None
    manual: bool
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    outcome: str = ""
    http_status: int | None = None
    attempts: int = 0
    successes: int = 0
    message: str = ""
    excerpt: str = ""

    @property
    def start_delay_seconds(self) -> float | None:
        if self.slot is None or self.started is None:
            return None
        delay = (self.started - self.slot).total_seconds()
        return max(0.0, delay) if delay < BELIEVE_SECONDS else None  # a backfill of an old slot is not late

    @property
    def duration_seconds(self) -> float | None:
        if self.started is None or self.finished is None:
            return None
        return max(0.0, (self.finished - self.started).total_seconds())

    @property
    def failed(self) -> bool:
        return self.outcome not in ("", SUCCEEDED)


def run_of(origin: Origin, job: JobFacts, pods: Iterable[PodFacts]) -> Run:
    """The run that a Job stands for, as far as it has come."""
    known = sorted(pods, key=lambda pod: (pod.ended or pod.created, pod.uid))
    told = next((pod.outcome for pod in reversed(known) if pod.outcome is not None), None)
    run = _begun(origin, job, known, told)
    if job.ended is None and job.removed is None:
        return run
    word, text, said = _verdict(origin, job, known)
    attempts, status = (said.attempts, said.http_status) if said is not None else (0, None)
    excerpt = redacted(said.excerpt) if said is not None and word != SUCCEEDED else ""
    return dataclasses.replace(
        run,
        finished=job.ended or job.removed,
        outcome=word,
        http_status=status,
        attempts=attempts,
        successes=sum(pod.outcome is not None and pod.outcome.outcome == SUCCEEDED for pod in known),
        message=redacted(text) if said is not None else text,
        excerpt=excerpt,
    )


def _begun(origin: Origin, job: JobFacts, pods: list[PodFacts], told: Outcome | None) -> Run:
    slot = slot_from_job_name(job.name, origin.cron_job, job.created.timestamp(), BELIEVE_SECONDS)
    if job.by_hand:
        slot = None
    ident = wire.printable(told.run_id, wire.MAX_RUN_ID) if told is not None else ""
    if told is not None and ident:
        slot = None if told.manual or told.scheduled_time > MAX_UNIX_SECONDS else told.scheduled_time
    if not ident:
        ident = manual_run_id(job.uid, 0) if slot is None else run_id(origin.app_uid, origin.job, origin.index, slot)
    return Run(
        cron_job=origin.cron_job,
        job=origin.job,
        index=origin.index,
        job_name=job.name,
        job_uid=job.uid,
        run_id=ident,
        slot=None if slot is None else datetime.fromtimestamp(slot, UTC),
        manual=slot is None,
        created=job.created,
        started=min((pod.started for pod in pods if pod.started is not None), default=None),
    )


def _verdict(origin: Origin, job: JobFacts, pods: list[PodFacts]) -> tuple[str, str, Outcome | None]:
    """The word, a sentence, and the signer's own report where the word is the signer's."""
    last = next((pod for pod in reversed(pods) if pod.ended is not None or pod.deadline), None)
    said = last.outcome if last is not None else None
    if job.complete:
        done = next((p.outcome for p in reversed(pods) if p.outcome and p.outcome.outcome == SUCCEEDED), None)
        return SUCCEEDED, done.message if done else "", done
    if job.ended is None:
        word = SUPERSEDED if origin.replaces and not job.by_hand else REMOVED
        return word, "its Job was deleted before it had ended" + _hint(pods), None
    if not any(pod.started for pod in pods):
        return NEVER_STARTED, _why_not_started(job, pods), None
    if job.failure == DEADLINE_EXCEEDED or (last is not None and last.deadline):
        return DEADLINE_EXCEEDED, job.failure_text or "the pod's deadline was over", said
    if said is not None and said.outcome != SUCCEEDED:
        return said.outcome, said.message, said
    return CRASHED, _crash(last, job), None


def _hint(pods: list[PodFacts]) -> str:
    waits = next((pod for pod in reversed(pods) if pod.waiting and pod.started is None), None)
    return f"; its pod had not started: {_waits(waits)}" if waits is not None else ""


def _why_not_started(job: JobFacts, pods: list[PodFacts]) -> str:
    waits = next((pod for pod in reversed(pods) if pod.waiting), None)
    if waits is not None:
        return _waits(waits)
    if not pods:
        return f"Kubernetes made no pod for it (a quota, Pod Security, an admission webhook?): {job.failure_text}"
    return f"no start of its pod was seen: {job.failure_text}"


def _waits(pod: PodFacts) -> str:
    return f"{pod.waiting}: {pod.waiting_text}" if pod.waiting_text else pod.waiting


def _not_seen(pod: PodFacts) -> str:
    """That a pod runs only its node can say: when that is dead, nobody knows."""
    if not pod.node:
        return f"pod {pod.name} was not seen to start: {_waits(pod) or 'it waits for a node'}"
    silent = "its time is over" if pod.deadline else "the node has not said a word"
    return f"pod {pod.name} on node {pod.node} was not seen to start: {_waits(pod) or silent}"


def _crash(last: PodFacts | None, job: JobFacts) -> str:
    if last is None:
        return job.failure_text
    code = "no exit code" if last.exit_code is None else f"exit code {last.exit_code}"
    return f"the signer's container ended with {code} ({last.end_reason or job.failure})"


# A pod says so in its own words: these do not heal by waiting a second more.
_BLOCKED = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
    | {"RegistryUnavailable", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
# Nothing says so, but a pod of ours starts within seconds: a volume that cannot be mounted, a full cluster, a quota.
SLOW_START_SECONDS = 60.0
# A pod that should be gone, a Job that was given up, and still the run holds its place (Forbid): a dead node does that.
STUCK_SECONDS = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """A run under way that does not get on: NeverStarted (it may still start) or RunStuck, and why."""

    word: str
    text: str


def trouble_of(job: JobFacts, pods: Iterable[PodFacts], now: datetime) -> Trouble | None:
    """What keeps a run that is under way from starting or from ending; None when nothing does."""
    if job.ended is not None or job.removed is not None:
        return None
    known = list(pods)
    stuck = _stuck(job, known, now)
    if stuck is not None:
        return Trouble(RUN_STUCK, stuck)
    if any(pod.started for pod in known):
        return None
    blocked = next((pod for pod in known if pod.waiting in _BLOCKED), None)
    if blocked is not None:
        return Trouble(NEVER_STARTED, f"{_waits(blocked)} (pod {blocked.name})")
    if (now - job.created).total_seconds() < SLOW_START_SECONDS:
        return None
    if not known:
        return Trouble(NEVER_STARTED, "Kubernetes makes no pod for it: a quota, Pod Security or an admission webhook")
    return Trouble(NEVER_STARTED, _not_seen(known[-1]))


def next_trouble(job: JobFacts, pods: Iterable[PodFacts], now: datetime) -> datetime | None:
    """When to look again at a run under way, for trouble that comes by time alone; None when nothing can."""
    if job.ended is not None or job.removed is not None:
        return None
    known = list(pods)
    moments = [job.created + timedelta(seconds=SLOW_START_SECONDS)]
    moments += [since + timedelta(seconds=STUCK_SECONDS) for since in _due_ends(job, known)]
    return min((moment for moment in moments if moment > now), default=None)


def _due_ends(job: JobFacts, pods: list[PodFacts]) -> list[datetime]:
    """The moments by which this run should have been over."""
    ends = [pod.terminating for pod in pods if pod.terminating is not None and pod.ended is None]
    if job.failing_since is not None:
        ends.append(job.failing_since)
    if job.started is not None and job.deadline_seconds is not None:
        ends.append(job.started + timedelta(seconds=min(job.deadline_seconds, BELIEVE_SECONDS)))
    return ends


def _stuck(job: JobFacts, pods: list[PodFacts], now: datetime) -> str | None:
    late = [end for end in _due_ends(job, pods) if now - end >= timedelta(seconds=STUCK_SECONDS)]
    if not late:
        return None
    pod = next((p for p in pods if p.ended is None), None)
    where = f"pod {pod.name} on node {pod.node or '(none)'}" if pod is not None else f"Job {job.name}"
    return (
        f"{where} should have been gone at {timestamp(min(late))}, and while it is there its next slots do not "
        "start; is the node dead? Then remove the node, or: "
        + (f"kubectl delete pod {pod.name} --force --grace-period=0" if pod else f"kubectl delete job {job.name}")
    )


_SECRETIVE = (
    re.compile(r"\bt=\d{1,20},v\d=[0-9a-fA-F]+"),
    re.compile(r"(?i)\b(authorization|proxy-authorization|cookie|set-cookie|x-cron-signature)\b[\"']?\s*[:=].*"),
    re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)\b(password|passwd|secret|token|api[_-]?key)[\"']?\s*[:=]\s*[\"']?[^\s\"',;}]+"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+"),
    re.compile(r"\b[0-9a-fA-F]{32,}\b"),
    re.compile(r"\b[A-Za-z0-9+/_-]{40,}={0,2}"),
)


def redacted(text: str) -> str:
    """`text` without what looks like a credential. The signer has taken out what it sent; this is for what the app's
    own answer quotes, and for a message that the signer did not write (attack C5)."""
    for pattern in _SECRETIVE:
        text = pattern.sub("[redacted]", text)
    return text
