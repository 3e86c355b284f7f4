"""A Job or Pod as the API server tells it in, the few facts that say how a run went out; never raises, no I/O.

Anybody who may make pods in a namespace may give them our labels and a termination message of any kind. So nothing here
trusts a value: what has not the shape that Kubernetes gives it is taken as absent, and a Job without a CronJob as its
controller, or a Pod without a Job, is no fact at all. Whether that CronJob is one of ours is decided by its UID, later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from cronix_operator.core.moments import time_of
from cronix_operator.core.podspec import CONTAINER
from cronix_protocol.outcome import Outcome, parse_outcome, printable

MAX_TEXT = 400
MANUAL_ANNOTATION = "cronjob.kubernetes.io/instantiate"


@dataclasses.dataclass(frozen=True, slots=True)
class JobFacts:
    """One Job of one CronJob. `ended`: when it was Complete or Failed, by its controller's clock; None before that.

    `failure`: the Failed condition's reason, "" for a Complete one. `failing_since`: when Kubernetes gave it up, though
    a pod of it is not gone yet (condition FailureTarget). `removed`: when it was deleted.
    """

    namespace: str
    name: str
    uid: str
    cron_job: str
    cron_job_uid: str
    created: datetime
    by_hand: bool = False
    started: datetime | None = None
    deadline_seconds: float | None = None
    ended: datetime | None = None
    failure: str = ""
    failure_text: str = ""
    failing_since: datetime | None = None
    removed: datetime | None = None

    @property
    def complete(self) -> bool:
        return self.ended is not None and not self.failure


@dataclasses.dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod of one Job. `started` and `ended` are its signer's. `waiting`: why its container does not start yet.

    `deadline`: the kubelet ended it for its own activeDeadlineSeconds. `terminating`: until when it should be gone.
    `outcome`: what the signer said at its end.
    """

    uid: str
    name: str
    job_uid: str
    created: datetime
    node: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None
    end_reason: str = ""
    waiting: str = ""
    waiting_text: str = ""
    deadline: bool = False
    disrupted: bool = False
    terminating: datetime | None = None
    outcome: Outcome | None = None


def parse_job(body: object) -> JobFacts | None:
    """The facts of a Job that a CronJob controls; None for anything else."""
    meta = _mapping(_mapping(body).get("metadata"))
    owner = _controller(meta, "CronJob", "batch/")
    created = time_of(meta.get("creationTimestamp"))
    if owner is None or created is None:
        return None
    spec, status = _mapping(_mapping(body).get("spec")), _mapping(_mapping(body).get("status"))
    conditions = _conditions(status)
    failed, complete, target = (conditions.get(kind) for kind in ("Failed", "Complete", "FailureTarget"))
    ended = time_of((failed or complete or {}).get("lastTransitionTime"))
    if complete is not None:
        ended = time_of(status.get("completionTime")) or ended
    told = {} if complete is not None else failed or target or {}
    return JobFacts(
        namespace=_text(meta.get("namespace")),
        name=_text(meta.get("name")),
        uid=_text(meta.get("uid")),
        cron_job=_text(owner.get("name")),
        cron_job_uid=_text(owner.get("uid")),
        created=created,
        by_hand=_mapping(meta.get("annotations")).get(MANUAL_ANNOTATION) == "manual",
        started=time_of(status.get("startTime")),
        deadline_seconds=_seconds(spec.get("activeDeadlineSeconds")),
        ended=ended,
        failure=(_text(told.get("reason")) or "Failed") if told else "",
        failure_text=_text(told.get("message")),
        failing_since=time_of(target.get("lastTransitionTime")) if target and failed is None else None,
        removed=time_of(meta.get("deletionTimestamp")),
    )


def parse_pod(body: object) -> PodFacts | None:
    """The facts of a Pod that a Job controls; None for anything else."""
    meta = _mapping(_mapping(body).get("metadata"))
    owner = _controller(meta, "Job", "batch/")
    created = time_of(meta.get("creationTimestamp"))
    if owner is None or created is None:
        return None
    status = _mapping(_mapping(body).get("status"))
    container = _signer(status)
    state = _mapping(container.get("state"))
    running, terminated = _mapping(state.get("running")), _mapping(state.get("terminated"))
    code = terminated.get("exitCode")
    waiting, text = _waiting(status, _mapping(state.get("waiting")))
    conditions = _conditions(status)
    return PodFacts(
        uid=_text(meta.get("uid")),
        name=_text(meta.get("name")),
        job_uid=_text(owner.get("uid")),
        created=created,
        node=_text(_mapping(_mapping(body).get("spec")).get("nodeName")),
        started=time_of(running.get("startedAt") or terminated.get("startedAt")),
        ended=time_of(terminated.get("finishedAt")),
        exit_code=code if isinstance(code, int) and not isinstance(code, bool) else None,
        end_reason=_text(terminated.get("reason")) or _text(status.get("reason")),
        waiting=waiting,
        waiting_text=text,
        deadline=status.get("reason") == "DeadlineExceeded",
        disrupted="DisruptionTarget" in conditions,
        terminating=time_of(meta.get("deletionTimestamp")),
        outcome=_outcome(terminated.get("message")),
    )


def _outcome(message: object) -> Outcome | None:
    try:
        return parse_outcome(message) if isinstance(message, str) else None
    except RecursionError:  # nesting is the writer's to choose
        return None


def _controller(meta: Mapping[str, Any], kind: str, group: str) -> Mapping[str, Any] | None:
    """The owner that controls it, if it is of this kind."""
    for owner in _mappings(meta.get("ownerReferences")):
        if owner.get("controller") is True:
            ours = owner.get("kind") == kind and _text(owner.get("apiVersion")).startswith(group)
            return owner if ours else None
    return None


def _signer(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of the signer's own container: what a sidecar says is no word about the run."""
    containers = _mappings(status.get("containerStatuses"))
    return next((c for c in containers if c.get("name") == CONTAINER), {})


def _waiting(status: Mapping[str, Any], waiting: Mapping[str, Any]) -> tuple[str, str]:
    if waiting:
        return _text(waiting.get("reason")), _text(waiting.get("message"))
    scheduled = next((c for c in _mappings(status.get("conditions")) if c.get("type") == "PodScheduled"), {})
    if scheduled.get("status") == "False":
        return _text(scheduled.get("reason")), _text(scheduled.get("message"))
    return ("", "")


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions that are true, by type."""
    true = (c for c in _mappings(status.get("conditions")) if c.get("status") == "True")
    return {_text(condition.get("type")): condition for condition in true}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return printable(value, MAX_TEXT) if isinstance(value, str) else ""


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else None
