"""When each job last succeeded, in the one ConfigMap of a CronixApp that its signers mount: what it holds, and whose it
is; no I/O.

A file, and not a field of the pod template: a template that changed with every success would be a write to the CronJob
for each run. Optional, so that no run ever waits for it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from cronix_operator.core import naming
from cronix_operator.core.app import owner_reference
from cronix_operator.core.model import KubeObject, Subject

SUCCESS_DIR = "/var/run/cronix/success"
SUCCESS_FILE = f"{SUCCESS_DIR}/time"
VOLUME = "previous-success"
MAX_NAME = 253
MAX_JOBS = 4096  # of 76 bytes at most each: a third of what a ConfigMap may hold

Verb: TypeAlias = Literal["create", "update", "delete"]


def config_map_name(cronix_app: str) -> str:
    """The name of a CronixApp's ConfigMap; a pure function of its own name, so no two in a namespace share one."""
    name = f"cronix-{cronix_app}-previous-success"
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(cronix_app.encode()).hexdigest()[:16]
    return f"cronix-{cronix_app[:200].rstrip('-.')}-{digest}-previous-success"


def success_volume(cronix_app: str, job: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Volume and mount with the time of this job alone; missing object or key: the signer then sends no header."""
    source = {
        "name": config_map_name(cronix_app),
        "optional": True,
        "defaultMode": 0o444,
        "items": [{"key": job, "path": SUCCESS_FILE.rpartition("/")[2]}],
    }
    return {"name": VOLUME, "configMap": source}, {"name": VOLUME, "mountPath": SUCCESS_DIR, "readOnly": True}


def mounts_success(cron_job: KubeObject) -> bool:
    """Whether the pods of a CronJob ask for the time of their job's last success."""
    node: object = cron_job
    for field in ("spec", "jobTemplate", "spec", "template", "spec", "volumes"):
        node = node.get(field) if isinstance(node, Mapping) else None
    return isinstance(node, list) and any(isinstance(v, Mapping) and v.get("name") == VOLUME for v in node)


@dataclasses.dataclass(frozen=True, slots=True)
class Mounted:
    """The jobs of a CronixApp whose signers ask, each with when it last succeeded, by any of its schedules.

    `app`: the label value of the app id.
    """

    app: str = ""
    times: Mapping[str, datetime | None] = dataclasses.field(default_factory=dict)


def newest_times(before: Mapping[str, str], mounted: Mounted, wanted: Collection[str] | None) -> dict[str, str]:
    """The data to have: Unix seconds by job. What stands there and is newer stays, so that no time ever goes back.

    `wanted`: the jobs that ask by the last walk. Before it (None) nothing is dropped: the watches begin with a part.
    """
    known = {
        job: text
        for job, text in before.items()
        if _is_time(text) and (wanted is None or job in wanted or job in mounted.times)
    }
    for job, moment in mounted.times.items():
        if moment is not None and int(moment.timestamp()) > int(known.get(job, -1)):
            known[job] = str(int(moment.timestamp()))
    newest = sorted(known, key=lambda job: (-int(known[job]), job))[:MAX_JOBS]
    return {job: known[job] for job in sorted(newest)}


def _is_time(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 12


def owned(live: KubeObject, uid: str) -> bool:
    """Whether a ConfigMap is the one of the CronixApp with this UID."""
    owners = live["metadata"].get("ownerReferences") or []
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)


def data_of(live: KubeObject) -> dict[str, str]:
    """What a ConfigMap holds."""
    return dict(live.get("data") or {})


def config_map(app: Subject, label: str, data: Mapping[str, str]) -> dict[str, Any]:
    """The ConfigMap with this data; it goes with its CronixApp."""
    labels = {naming.MANAGED_BY: naming.MANAGER, naming.APP: label, naming.OWNER_UID: app.uid}
    meta = {
        "name": config_map_name(app.name),
        "namespace": app.namespace,
        "labels": labels,
        "ownerReferences": [owner_reference(app)],
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(data)}


def replaced(live: KubeObject, want: KubeObject) -> dict[str, Any] | None:
    """`live` with what is wanted put in, fenced by its uid and version; None when that changes nothing."""
    meta, wanted = live["metadata"], want["metadata"]
    labels = {**(meta.get("labels") or {}), **wanted["labels"]}
    if data_of(live) == want["data"] and labels == meta.get("labels") and not live.get("binaryData"):
        return None
    kept = {field: value for field, value in meta.items() if field != "managedFields"}
    return {**want, "metadata": {**kept, "labels": labels}}
