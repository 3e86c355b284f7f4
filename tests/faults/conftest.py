"""The end-to-end tests' fixtures, and an operator as a process of this machine behind a proxy that breaks things."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.bulk import MERGE_PATCH, Bulk, Call, accepted, cron_jobs, cronix_apps
from e2e.conftest import SYSTEM_NAMESPACE, audit, helm, images, install_operator, kubeconfig, kubectl, namespace
from e2e.e2e_helpers import Kubectl, Place, cronix_app, job, manifest, wait_until
from faults.fault_proxy import FaultProxy

__all__ = ["audit", "helm", "images", "install_operator", "kubeconfig", "kubectl", "namespace"]

DEPLOYMENT = "deployment/cronix-cronix-operator"
ACCOUNT = "cronix-cronix-operator"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def alone(kubectl: Kubectl, install_operator: Callable[[], None]) -> Iterator[str]:
    """The operator in the cluster is asleep (two would do the same work); the value is a token with its rights."""
    install_operator()
    kubectl("-n", SYSTEM_NAMESPACE, "scale", DEPLOYMENT, "--replicas=0")
    pods = ("-n", SYSTEM_NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=cronix-operator", "-o", "json")
    wait_until(lambda: not kubectl(*pods)["items"], 60, "the operator in the cluster is gone")
    yield kubectl("-n", SYSTEM_NAMESPACE, "create", "token", ACCOUNT, "--duration=2h").strip()
    kubectl("-n", SYSTEM_NAMESPACE, "scale", DEPLOYMENT, "--replicas=1")


@pytest.fixture(scope="module")
def proxy(kubeconfig: Path) -> Iterator[FaultProxy]:
    """In front of the cluster's API server."""
    cluster = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]
    found = FaultProxy(cluster["server"], base64.b64decode(cluster["certificate-authority-data"]).decode())
    yield found
    found.close()


class Operator:
    """The operator as a process; what it says goes to a file that a failing test can show."""

    def __init__(self, port: int, token: str, namespace: str, folder: Path) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "operator", "user": {"token": token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
        }
        (folder / "kubeconfig").write_text(json.dumps(config))
        self._log = folder / "operator.log"
        self._env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}/spec:{ROOT}/operator",
            "KUBECONFIG": str(folder / "kubeconfig"),
            "CRONIX_SIGNER_IMAGE": "example.com/signer:1",
            "CRONIX_WATCH_NAMESPACES": namespace,
            "CRONIX_LOG_FORMAT": "text",
            "POD_NAMESPACE": namespace,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it anew."""
        self.kill()
        with socket.socket() as probe, self._log.open("ab") as log:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            command = [sys.executable, "-m", "cronix_operator"]
            env = {**self._env, "CRONIX_HEALTH_PORT": str(port)}
            probe.close()
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL: no farewell."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text()[-3000:]


class Stage:
    """One app whose manifest goes back and forth between two versions, its operator, and the proxy between them."""

    def __init__(self, place: Place, bulk: Bulk, operator: Operator, proxy: FaultProxy) -> None:
        self.place, self.bulk, self.operator, self.proxy = place, bulk, operator, proxy
        self._turn = 0
        self.place.apply(cronix_app("shop", {"inline": self._manifest()}))

    def _jobs(self) -> dict[str, str]:
        """Of four jobs one goes, one comes, one is changed, and one is as it was."""
        odd = self._turn % 2
        return {"stays": "0 1 1 1 *", "moves": f"{odd} 2 1 1 *", f"only{odd}": "0 3 1 1 *"}

    def _manifest(self) -> dict[str, Any]:
        return manifest("shop", *(job(name, schedule) for name, schedule in self._jobs().items()))

    def edit(self) -> None:
        """The other version."""
        self._turn += 1
        patch = {"spec": {"source": {"inline": self._manifest()}}}
        accepted([self.bulk.one(Call("PATCH", cronix_apps(self.place.namespace, "shop"), patch, MERGE_PATCH))])

    def live(self) -> dict[str, dict[str, Any]]:
        """The CronJobs by name."""
        return {item["metadata"]["name"]: item for item in self.bulk.items(cron_jobs(self.place.namespace))}

    def is_in_step(self) -> bool:
        """The CronJobs are those of the manifest, with its schedules, and the status says so."""
        schedules = {name: body["spec"]["schedule"] for name, body in self.live().items()}
        if schedules != {f"cronix-shop-{name}-0": schedule for name, schedule in self._jobs().items()}:
            return False
        app = self.bulk.one(Call("GET", cronix_apps(self.place.namespace, "shop"))).body
        ready = [c for c in app.get("status", {}).get("conditions", []) if c["type"] == "Ready"]
        seen = app.get("status", {}).get("observedGeneration") == app["metadata"]["generation"]
        return bool(seen and ready and ready[0]["status"] == "True")

    def wait_in_step(self, seconds: float = 90) -> None:
        """Until then; a failure shows the operator's last words."""
        try:
            wait_until(self.is_in_step, seconds, "the CronJobs are in step")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.operator.said()}") from exc


@pytest.fixture
def stage(alone: str, kubectl: Kubectl, namespace: str, kubeconfig: Path, proxy: FaultProxy) -> Iterator[Stage]:
    """A stage with its operator running and everything in step."""
    with tempfile.TemporaryDirectory() as folder:
        proxy.reset()
        operator = Operator(proxy.port, alone, namespace, Path(folder))
        found = Stage(Place(kubectl, namespace), Bulk(kubeconfig), operator, proxy)
        operator.start()
        found.wait_in_step()
        yield found
        proxy.reset()
        operator.kill()
