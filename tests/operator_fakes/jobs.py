"""Jobs and pods of a CronJob as Kubernetes tells them, one situation at a time."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from cronix_operator.core.runs import Origin
from cronix_protocol.outcome import Outcome, dump_outcome
from operator_fakes.builders import APP_UID, NAMESPACE

SLOT = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)
CRON_JOB = "cronix-billing-sync-0"
CRON_JOB_UID = f"uid-{CRON_JOB}"
ORIGIN = Origin(APP_UID, CRON_JOB, "sync", 0)
Object = dict[str, Any]


def when(seconds: float) -> str:
    """RFC 3339, `seconds` after the slot."""
    return (SLOT + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(number: int = 0, *, name: str = "", cron_job_uid: str = CRON_JOB_UID, at: float | None = None) -> Object:
    """A Job just made: of the slot `number` minutes after SLOT, or with a name of its own."""
    slot = 60 * number
    made = slot + 1 if at is None else at
    minutes = int(SLOT.timestamp()) // 60 + number
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "namespace": NAMESPACE,
            "name": name or f"{CRON_JOB}-{minutes}",
            "uid": f"job-{number}{name}",
            "creationTimestamp": when(made),
            "labels": {"app.kubernetes.io/managed-by": "cronix-operator"},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "CronJob", "name": CRON_JOB, "uid": cron_job_uid, "controller": True}
            ],
        },
        "spec": {"activeDeadlineSeconds": 700},
        "status": {"startTime": when(made), "active": 1},
    }


def ended(body: Object, seconds: float, failure: str = "", text: str = "") -> Object:
    """The Job when it is Complete, or Failed for this reason."""
    body = copy.deepcopy(body)
    kind = "Failed" if failure else "Complete"
    condition = {
        "type": kind,
        "status": "True",
        "lastTransitionTime": when(seconds),
        "reason": failure,
        "message": text,
    }
    body["status"] = {"startTime": body["status"]["startTime"], "conditions": [condition]}
    if not failure:
        body["status"]["completionTime"] = when(seconds)
    return body


def pod(of: Object, number: int = 0, *, state: Object | None = None, **status: Any) -> Object:
    """A pod of a Job; `state` is its signer's container state."""
    meta = of["metadata"]
    containers = [{"name": "signer", "state": state}] if state is not None else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"{meta['name']}-{number}",
            "uid": f"pod-{meta['uid']}-{number}",
            "creationTimestamp": meta["creationTimestamp"],
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
            ],
        },
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Pending", "containerStatuses": containers, **status},
    }


def said(word: str, *, at: float = 3, **fields: Any) -> str:
    """The termination message of a signer."""
    base: dict[str, Any] = {
        "outcome": word,
        "run_id": "01a2040b-0200-7379-b267-9d01da014239",
        "scheduled_time": int(SLOT.timestamp()),
        "manual": False,
        "start_time": SLOT.timestamp() + 2,
        "end_time": SLOT.timestamp() + at,
        "attempts": 1,
        "http_status": None,
        "message": "",
        "excerpt": "",
    }
    return dump_outcome(Outcome(**(base | fields)))


def terminated(code: int, message: str = "", *, at: float = 3, reason: str = "Error") -> Object:
    """The state of a signer that ended `at` seconds after the slot."""
    state = {"exitCode": code, "reason": reason, "startedAt": when(at - 1), "finishedAt": when(at), "message": message}
    return {"terminated": state}


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def running(at: float = 2) -> Object:
    return {"running": {"startedAt": when(at)}}
