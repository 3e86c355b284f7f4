"""Keeps what a scene left in the cluster for the captures of `kubectl cronix` (tests/cli/test_cli_terminal.py).

Nothing is kept unless CRONIX_RECORD is set: then a new recording takes the place of the old one in tests/cli/recorded.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from e2e.e2e_helpers import Place

FOLDER = Path(__file__).parents[1] / "cli/recorded"
NAMESPACE = "shop"
OURS = "app.kubernetes.io/managed-by=cronix-operator"
KINDS = {"cronixapps": "", "cronjobs": OURS, "jobs": OURS, "pods": OURS, "services": ""}


def record(place: Place, scene: str, document: object) -> None:
    """CronixApps, CronJobs, Jobs, pods, Services and the signers' logs, as they are now; `document`: the manifest."""
    if not os.environ.get("CRONIX_RECORD"):
        return
    objects = {kind: [_kept(body) for body in place.items(kind, selector)] for kind, selector in KINDS.items()}
    began = [pod["metadata"]["name"] for pod in objects["pods"] if _has_run(pod)]
    logs = {name: place.kubectl("logs", name, "-c", "signer").splitlines() for name in began}
    now = datetime.now(UTC)  # noqa: TID251  # the captures are taken with the clock of the recording
    content = {"now": now.isoformat(timespec="seconds"), "manifest": document, "logs": logs, "objects": objects}
    text = json.dumps(content, indent=1, sort_keys=True)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{scene}.json").write_text(text.replace(place.namespace, NAMESPACE) + "\n")


def _has_run(pod: dict[str, Any]) -> bool:
    """Whether a container was ever made: only then there is a log."""
    return any(container.get("containerID") for container in pod["status"].get("containerStatuses", []))


def _kept(body: dict[str, Any]) -> dict[str, Any]:
    """Without what no command reads and every cluster has differently."""
    meta = {name: value for name, value in body["metadata"].items() if name not in {"managedFields", "annotations"}}
    dropped = ("kubectl.kubernetes.io/", "batch.kubernetes.io/")
    kept = {k: v for k, v in body["metadata"].get("annotations", {}).items() if not k.startswith(dropped)}
    rest: dict[str, Any] = {"kind": body["kind"], "metadata": {**meta, **({"annotations": kept} if kept else {})}}
    spec, status = body.get("spec", {}), dict(body.get("status", {}))
    if body["kind"] in {"Job", "Pod"}:
        spec = {name: value for name, value in spec.items() if name in {"activeDeadlineSeconds", "nodeName"}}
    for name in ("hostIP", "hostIPs", "podIP", "podIPs"):
        status.pop(name, None)
    return {**rest, "spec": spec, "status": status}
