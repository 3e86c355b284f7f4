"""What the end-to-end tests share: the app on strings, waiting, CronixApps and manifests in short form."""

from __future__ import annotations

import base64
import copy
import functools
import json
import re
import secrets
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Kubectl = Callable[..., Any]

# How long to wait for what a healthy cluster does in seconds: a limit for a machine under load, no promise.
PATIENCE_SECONDS = 120

RESTRICTED_POD = {
    "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
}  # fmt: skip


def wait_until(check: Callable[[], T | None], seconds: float, what: str) -> T:
    """What `check` returns once it is truthy; AssertionError naming `what` after `seconds`, with the last exception."""
    end = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < end:
        try:
            found = check()
        except (AssertionError, OSError, KeyError, IndexError) as exc:
            found, last = None, exc
        if found:
            return found
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds} s: {what}" + (f" (last: {last})" if last else ""))


def make_namespace(kubectl: Kubectl) -> str:
    """A fresh namespace in which Pod Security *restricted* is enforced."""
    name = f"e2e-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    kubectl("create", "-f", "-", stdin=body)
    return name


def wait_for_account(kubectl: Kubectl, namespace: str) -> None:
    """Until a fresh namespace has what Kubernetes puts into each: without its account a bare pod is refused."""
    furniture = ("-n", namespace, "get", "serviceaccount/default", "configmap/kube-root-ca.crt", "-o", "name")
    wait_until(lambda: kubectl(*furniture), PATIENCE_SECONDS, f"account and CA of namespace {namespace}")


def wait_for_service(place: Place, name: str) -> None:
    """Until each port of a Service leads to a pod: kube-proxy writes its rules a moment after the pod is Ready."""
    spec = place.get("service", name)["spec"]

    def is_open(port: int) -> bool:
        socket.create_connection((spec["clusterIP"], port), timeout=5).close()
        return True

    for port in spec["ports"]:
        wait_until(functools.partial(is_open, port["port"]), PATIENCE_SECONDS, f"Service {name}:{port['port']} answers")


def job(name: str, schedule: str = "* * * * *", **fields: Any) -> dict[str, Any]:
    """One job of a manifest; `fields` are merged over the defaults."""
    base = {"name": name, "schedule": schedule, "request": {"url": f"http://puppet:8080/api/v1/scheduled/{name}"}}
    return base | fields


def manifest(app: str, *jobs: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest of these jobs."""
    return {"version": 1, "app": app, "jobs": list(jobs)}


def cronix_app(name: str, source: Mapping[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A CronixApp on the puppet's Service, or on `source`."""
    return {
        "apiVersion": "cronix.dev/v1alpha1",
        "kind": "CronixApp",
        "metadata": {"name": name},
        "spec": {
            "source": dict(source or {"service": {"name": "puppet"}, "interval": "15s"}),
            "signing": {"secretRef": {"name": "puppet-cron"}},
            **spec,
        },
    }


def changed(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `body` with these changes, by dotted path; None removes a field."""
    copied = copy.deepcopy(dict(body))
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = copied
        for name in parents:
            node = node.setdefault(name, {})
        if value is None:
            del node[last]
        else:
            node[last] = value
    return copied


def console_steps(page: Path) -> list[tuple[str, list[str]]]:
    """(command, lines that its output must contain) of a page's `console` blocks, in the page's order."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


class Place:
    """One namespace of a test, with short forms of what tests do in it."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self.namespace = namespace

    def kubectl(self, *arguments: str, stdin: object = None) -> Any:
        """kubectl in this namespace."""
        return self._kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def apply(self, *documents: Mapping[str, Any]) -> None:
        """kubectl apply of some objects."""
        self.kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": list(documents)})

    def get(self, kind: str, name: str) -> Any:
        """One object."""
        return self.kubectl("get", kind, name, "-o", "json")

    def items(self, kind: str, selector: str = "") -> list[Any]:
        """All objects of a kind."""
        extra = ["-l", selector] if selector else []
        found: list[Any] = self.kubectl("get", kind, *extra, "-o", "json")["items"]
        return found

    def names(self, kind: str) -> set[str]:
        """Names of all objects of a kind."""
        return {item["metadata"]["name"] for item in self.items(kind)}

    def condition(self, app: str, kind: str = "Ready") -> dict[str, Any]:
        """One condition of a CronixApp, {} when absent."""
        conditions = self.get("cxa", app).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def wait_condition(
        self,
        app: str,
        status: str,
        reason: str,
        *,
        kind: str = "Ready",
        seconds: float = PATIENCE_SECONDS,
        says: str = "",
    ) -> str:
        """The message of a condition that has this status and reason, says this, and is about the app's last edit."""

        def reached() -> dict[str, Any] | None:
            body = self.get("cxa", app)
            told = body.get("status", {})
            now: dict[str, Any] = next((c for c in told.get("conditions", []) if c["type"] == kind), {})
            is_current = told.get("observedGeneration") == body["metadata"]["generation"]
            is_it = (now.get("status"), now.get("reason")) == (status, reason) and says in now["message"]
            return now if is_current and is_it else None

        try:
            return str(wait_until(reached, seconds, f"{kind}={status} {reason} {says}")["message"])
        except AssertionError as exc:
            raise AssertionError(f"{exc}; it is {self.condition(app, kind)}") from exc

    def wait_ready(self, app: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Until Ready=True, after the app's last edit."""
        self.wait_condition(app, "True", "Succeeded", seconds=seconds)

    def events(self, reason: str) -> list[str]:
        """Messages of the Events with this reason."""
        return [e["message"] for e in self.items("events") if e["reason"] == reason]

    def secret(self, name: str, **data: str) -> None:
        """Create or replace a Secret."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded})

    def reconcile_now(self, app: str) -> None:
        """Ask for a fetch at once."""
        self.kubectl("annotate", "--overwrite", "cxa", app, f"cronix.dev/reconcile-at={time.time_ns()}")


class Puppet:
    """The app on strings, from the test's side."""

    def __init__(
        self,
        place: Place,
        image: str,
        key: str,
        *,
        program: str = "puppet_app.py",
        more_keys: Mapping[str, str] | None = None,
    ) -> None:
        self.place = place
        self.key = key
        wait_for_account(place.kubectl, place.namespace)
        place.secret("puppet-cron", current=key, **(more_keys or {}))
        place.apply(*_objects(image, program))
        self.address = wait_until(self._address, PATIENCE_SECONDS, "the puppet app is up")
        wait_for_service(place, "puppet")

    def _address(self) -> str | None:
        pods = self.place.items("pods", "app=puppet")
        ready = [
            p for p in pods if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"])
        ]
        return str(ready[0]["status"]["podIP"]) if ready else None

    def serve(self, document: object) -> None:
        """The manifest to serve: bytes as they are, anything else as JSON."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._call("PUT", "/manifest", raw)

    def manage(self, **state: object) -> None:
        """Set manifest_status, trigger_status, trigger_seconds, held, keys, verifies, answers."""
        self._call("PUT", "/manage", json.dumps(state).encode())

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """Everything it was asked, or only for one path."""
        found: list[dict[str, Any]] = json.loads(self._call("GET", "/requests"))
        return [r for r in found if path is None or r["path"] == path]

    def triggers(self, name: str) -> list[dict[str, Any]]:
        """The triggers of one job."""
        return self.requests(f"/api/v1/scheduled/{name}")

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://{self.address}:9090{path}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # the puppet's own address
            return bytes(response.read())


def _objects(image: str, program: str) -> Sequence[Mapping[str, Any]]:
    script = (Path(__file__).parent / program).read_text()
    return (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "puppet"}, "data": {"puppet_app.py": script}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "puppet"},
            "spec": {"selector": {"app": "puppet"}, "ports": [{"name": "http", "port": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "puppet", "labels": {"app": "puppet"}},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": RESTRICTED_POD,
                "containers": [
                    {
                        "name": "app",
                        "image": image,
                        "command": ["python3", "-u", "/etc/puppet/app/puppet_app.py"],
                        "securityContext": RESTRICTED_CONTAINER,
                        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                        "volumeMounts": [
                            {"name": "app", "mountPath": "/etc/puppet/app"},
                            {"name": "keys", "mountPath": "/etc/puppet/keys"},
                        ],
                    }
                ],
                "volumes": [
                    {"name": "app", "configMap": {"name": "puppet"}},
                    {"name": "keys", "secret": {"secretName": "puppet-cron", "defaultMode": 0o440}},
                ],
            },
        },
    )
