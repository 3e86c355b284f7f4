"""The app with several doors, from the test's side: one pod and one namespace for all cases of a module."""

from __future__ import annotations

import contextlib
import json
import secrets
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import trustme

from cronix_operator.core.naming import cron_job_name
from e2e.e2e_helpers import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    Kubectl,
    Place,
    make_namespace,
    wait_for_account,
    wait_for_service,
    wait_until,
)

CASE_SECONDS = 150
WEAK_KEY = "too short"  # the app takes it as well
# The header that a door wants. Not in any ConfigMap: tests look for the second one where it must not be.
GATES = {8081: ("X-Gate", "open sesame"), 8082: ("Authorization", f"Bearer {secrets.token_hex(16)}")}


class Doors:
    """The app, its namespace, and what a client needs to get in: `doors-cron` holds the key, `ca` and `client` PEMs."""

    def __init__(self, place: Place, image: str) -> None:
        self.place = place
        self.host = f"doors.{place.namespace}.svc"
        self.key = secrets.token_hex(32)
        server_ca, client_ca = trustme.CA(), trustme.CA()
        self.ca = server_ca.cert_pem.bytes().decode()
        client = client_ca.issue_cert("tenant@example.com")
        self.client = {
            "tls.crt": b"".join(part.bytes() for part in client.cert_chain_pems).decode(),
            "tls.key": client.private_key_pem.bytes().decode(),
        }
        own = server_ca.issue_cert(self.host)
        place.secret("doors-cron", current=self.key, weak=WEAK_KEY)
        place.secret(
            "doors-tls",
            **{
                "tls.crt": b"".join(part.bytes() for part in own.cert_chain_pems).decode(),
                "tls.key": own.private_key_pem.bytes().decode(),
                "clients.crt": client_ca.cert_pem.bytes().decode(),
                "gates.json": json.dumps(GATES),
            },
        )
        place.apply(*_objects(image))
        self.address = wait_until(self._address, CASE_SECONDS, "the app with several doors is up")
        wait_for_service(place, "doors")

    def _address(self) -> str | None:
        pods = self.place.items("pods", "app=doors")
        ready = [c["status"] for pod in pods for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]
        return str(pods[0]["status"]["podIP"]) if ready == ["True"] else None

    def answer(self, answers: Mapping[str, object]) -> None:
        """What to answer, by path; see doors_app.py."""
        body = json.dumps(answers).encode()
        request = urllib.request.Request(f"http://{self.address}:9090/answers", data=body, method="PUT")
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  # the pod's own address

    def serve(self, app: str, *jobs: Mapping[str, Any], **more: Any) -> None:
        """Serve these jobs as the manifest of `app`."""
        document = json.dumps({"version": 1, "app": app, "jobs": list(jobs)})
        self.answer({f"/manifest/{app}": {"body": document, **more}})

    def requests(self, path: str) -> list[dict[str, Any]]:
        """Every request for this path (its query aside), in order."""
        with urllib.request.urlopen(f"http://{self.address}:9090/requests", timeout=10) as response:
            found: list[dict[str, Any]] = json.loads(response.read())
        return [request for request in found if request["path"].partition("?")[0] == path]

    def fire(self, app: str, job: str = "go") -> None:
        """Start a run of a job now, as `kubectl create job --from` does; the kubelet and the signer do the rest."""
        self.place.kubectl("create", "job", _run(app, job), f"--from=cronjob/{cron_job_name(app, job, 0)}")

    def ended(self, app: str, job: str = "go") -> tuple[str, str]:
        """`Complete` or `Failed` once that run has ended, and the signer's log."""

        def verdict() -> str | None:
            conditions = self.place.get("job", _run(app, job))["status"].get("conditions", [])
            return next((c["type"] for c in conditions if c["type"] in {"Complete", "Failed"}), None)

        ended = wait_until(verdict, CASE_SECONDS, f"the run of {app}/{job} has ended")
        return ended, self.place.kubectl("logs", f"job/{_run(app, job)}")


def _run(app: str, job: str) -> str:
    return f"{app}-{job}-by-hand"


@contextlib.contextmanager
def doors_open(kubectl: Kubectl, image: str) -> Iterator[Doors]:
    """The app in a fresh restricted namespace, which goes at the end."""
    name = make_namespace(kubectl)
    try:
        wait_for_account(kubectl, name)
        yield Doors(Place(kubectl, name), image)
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def go(url: str, name: str = "go", **fields: Any) -> dict[str, Any]:
    """A job that Kubernetes will not start by itself; one attempt, so that a run that fails ends at once."""
    policy = {"retries": {"max_attempts": 1}, "timeout_seconds": 10}
    return {"name": name, "schedule": "0 0 1 1 *", "request": {"url": url}, "policy": policy, **fields}


def cronix_app(app: str, source: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    """A CronixApp that signs with the doors' key, or as `spec` says."""
    return {
        "apiVersion": "cronix.dev/v1alpha1",
        "kind": "CronixApp",
        "metadata": {"name": app},
        "spec": {"source": dict(source), "signing": {"secretRef": {"name": "doors-cron"}}, **spec},
    }


def _objects(image: str) -> list[dict[str, Any]]:
    script = (Path(__file__).parent / "doors_app.py").read_text()
    ports = [{"name": f"p{port}", "port": port} for port in (8080, 8081, 8082, 8090, 8443, 8444)]
    container = {
        "name": "app",
        "image": image,
        "command": ["python3", "-u", "/etc/doors/app/doors_app.py"],
        "securityContext": RESTRICTED_CONTAINER,
        "readinessProbe": {"tcpSocket": {"port": 9090}, "periodSeconds": 1},
        "volumeMounts": [{"name": name, "mountPath": f"/etc/doors/{name}"} for name in ("app", "keys", "tls")],
    }
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "doors"}, "data": {"doors_app.py": script}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "doors"},
            "spec": {"selector": {"app": "doors"}, "ports": ports},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "doors", "labels": {"app": "doors"}},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": RESTRICTED_POD,
                "containers": [container],
                "volumes": [
                    {"name": "app", "configMap": {"name": "doors"}},
                    {"name": "keys", "secret": {"secretName": "doors-cron", "defaultMode": 0o440}},
                    {"name": "tls", "secret": {"secretName": "doors-tls", "defaultMode": 0o440}},
                ],
            },
        },
    ]
