"""The cluster itself: a plain CronJob, nothing of ours in it, fires for real."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronix_cluster.audit import AuditMark
    from e2e.conftest import Kubectl

RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
RESTRICTED_POD = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
# From inside a pod: the API server's Service by its name proves cluster DNS, kube-proxy and the pods' network at once.
API = "kubernetes.default.svc.cluster.local"
# A Service's address that nobody has: whatever answers there is outside the cluster.
NOBODY = "10.96.255.254"
SCRIPT = (
    f"echo it is time; nslookup {API}; nc -w 30 {API} 443 </dev/null && echo connected; nc -w 5 {NOBODY} 80 2>&1; true"
)


def cronjob(image: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", SCRIPT],
        "securityContext": RESTRICTED_CONTAINER,
    }
    pod = {"restartPolicy": "Never", "securityContext": RESTRICTED_POD, "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "plain"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}},
    }


def finished_job(kubectl: Kubectl, namespace: str, within_seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        for job in kubectl("-n", namespace, "get", "jobs", "-o", "json")["items"]:
            if any(c["type"] in {"Complete", "Failed"} for c in job.get("status", {}).get("conditions", [])):
                return dict(job)
        time.sleep(0.5)
    raise AssertionError(f"no Job finished: {kubectl('-n', namespace, 'get', 'cronjobs,jobs,pods,events')}")


def test_a_plain_cronjob_fires_by_itself_and_its_pod_reaches_the_cluster(
    kubectl: Kubectl, namespace: str, audit: Callable[[], AuditMark], busybox_image: str
) -> None:
    """Kubernetes' own CronJob controller makes the Job (ownerReferences and the audit log say so); its pod runs under
    Pod Security restricted, resolves a Service's name and connects to it, and what goes to a Service's address that
    kube-proxy does not know stays in the cluster; its log is readable."""
    mark = audit()
    kubectl("-n", namespace, "create", "-f", "-", stdin=cronjob(busybox_image))

    job = finished_job(kubectl, namespace, within_seconds=240)

    log = kubectl("-n", namespace, "logs", f"job/{job['metadata']['name']}")
    assert "it is time" in log
    assert "Address: 10.96.0.1" in log
    assert "connected" in log
    assert "Connection refused" in log
    assert [c["type"] for c in job["status"]["conditions"] if c["type"] in {"Complete", "Failed"}] == ["Complete"]
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("CronJob", "plain", True)
    creators = {entry.user for entry in mark.writes(verb="create", resource="jobs", namespace=namespace)}
    assert creators == {"system:serviceaccount:kube-system:cronjob-controller"}
