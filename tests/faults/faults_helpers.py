"""An operator as a process of this machine, the app that it has to keep in step, and what it was seen to do."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from cronix_cluster.audit import AuditMark
from cronix_cluster.standalone import free_ports
from cronix_operator.core.errors import ReconcileError
from e2e.bulk import MERGE_PATCH, Bulk, Call, accepted, cron_jobs, cronix_apps
from e2e.e2e_helpers import Place, cronix_app, job, manifest, wait_until
from faults.fault_proxy import FaultProxy

ROOT = Path(__file__).parents[2]
WHOLE = os.environ.get("CRONIX_FAULTS") == "whole"
HOME = "cronix-system"
ACCOUNT = "cx-cronix-operator"
USER = f"system:serviceaccount:{HOME}:{ACCOUNT}"
# What an operator at work on one small app asks at most, and far below what would trouble an API server.
REQUESTS_PER_SECOND = 30


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """What one fault cost: seconds from its end until all is in step, and the requests that were seen meanwhile."""

    fault: str
    seconds: float
    requests: int | None = None


class Figures:
    """Keeps what a test has measured with its report, from where the end of the run collects it."""

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def add(self, fault: str, seconds: float, requests: int | None = None) -> None:
        """One row of the table."""
        figure = Figure(fault, round(seconds, 1), requests)
        self._node.user_properties.append(("fault", dataclasses.asdict(figure)))


class Operator:
    """The operator as a process; what it says goes to a file that a failing test can show."""

    def __init__(self, server: str, token: str, folder: Path, *, name: str = "operator", **env: str) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "operator", "user": {"token": token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
        }
        kubeconfig = folder / f"{name}.kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        self._log = folder / f"{name}.log"
        self.command = [sys.executable, "-m", "cronix_operator"]
        self._env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}/spec:{ROOT}/operator:{ROOT}/tests",
            "KUBECONFIG": str(kubeconfig),
            "CRONIX_SIGNER_IMAGE": "example.com/signer:1",
            "CRONIX_LOG_FORMAT": "text",
            "POD_NAME": name,
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it anew."""
        self.kill()
        env = {**self._env, "CRONIX_HEALTH_PORT": str(free_ports(1)[0])}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self.command, env=env, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT, …; it must run."""
        assert self._process is not None
        self._process.send_signal(number)

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


@dataclasses.dataclass(frozen=True, slots=True)
class Before:
    """The CronJobs at some moment by name, with their uid, and that moment in the audit log."""

    uids: Mapping[str, str]
    mark: AuditMark


class Stage:
    """One app whose manifest goes back and forth between two versions, its operator, and the proxy between them."""

    def __init__(
        self, place: Place, bulk: Bulk, operator: Operator, proxy: FaultProxy, audit: Callable[[], AuditMark]
    ) -> None:
        self.place, self.bulk, self.operator, self.proxy = place, bulk, operator, proxy
        self._audit = audit
        self._turn = 0
        self.apply()

    def apply(self) -> None:
        """The CronixApp as it should be."""
        self.place.apply(cronix_app("shop", {"inline": self._manifest()}))

    def jobs(self) -> dict[str, str]:
        """Of four jobs one goes, one comes, one is changed, and one is as it was."""
        odd = self._turn % 2
        return {"stays": "0 1 1 1 *", "moves": f"{odd} 2 1 1 *", f"only{odd}": "0 3 1 1 *"}

    def _manifest(self) -> dict[str, Any]:
        return manifest("shop", *(job(name, schedule) for name, schedule in self.jobs().items()))

    def edit(self) -> None:
        """The other version."""
        self._turn += 1
        patch = {"spec": {"source": {"inline": self._manifest()}}}
        accepted([self.bulk.one(Call("PATCH", cronix_apps(self.place.namespace, "shop"), patch, MERGE_PATCH))])

    def live(self) -> dict[str, dict[str, Any]]:
        """The CronJobs by name."""
        return {item["metadata"]["name"]: item for item in self.bulk.items(cron_jobs(self.place.namespace))}

    def uids(self) -> dict[str, str]:
        """The CronJobs' uids by name."""
        return {name: body["metadata"]["uid"] for name, body in self.live().items()}

    def now(self) -> Before:
        """What `assert_no_more_than_asked` compares with."""
        return Before(self.uids(), self._audit())

    def is_in_step(self) -> bool:
        """The CronJobs are those of the manifest, with its schedules, and the status says so."""
        try:
            schedules = {name: body["spec"]["schedule"] for name, body in self.live().items()}
        except ReconcileError:  # the server does not answer yet
            return False
        if schedules != {f"cronix-shop-{name}-0": schedule for name, schedule in self.jobs().items()}:
            return False
        app = self.bulk.one(Call("GET", cronix_apps(self.place.namespace, "shop"))).body
        ready = [c for c in app.get("status", {}).get("conditions", []) if c["type"] == "Ready"]
        seen = app.get("status", {}).get("observedGeneration") == app["metadata"]["generation"]
        return bool(seen and ready and ready[0]["status"] == "True")

    def wait_in_step(self, seconds: float = 90) -> float:
        """How long that took; a failure shows the operator's last words."""
        started = time.monotonic()
        try:
            wait_until(self.is_in_step, seconds, "the CronJobs are in step")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.operator.said()}") from exc
        return time.monotonic() - started

    def done_since(self, before: Before) -> Counter[tuple[str, str]]:
        """How often each (verb, CronJob) was carried out, by whomever."""
        writes = before.mark.writes(resource="cronjobs", namespace=self.place.namespace)
        return Counter((entry.verb, entry.name) for entry in writes if entry.status < 300)

    def assert_no_more_than_asked(self, before: Before) -> None:
        """Those that stay are the same objects; each new one was made once, each that had to go deleted once.

        By the server's audit log: what is made and deleted again leaves no other trace.
        """
        after = self.uids()
        kept = before.uids.keys() & after.keys()
        assert {name: after[name] for name in kept} == {name: before.uids[name] for name in kept}
        done = self.done_since(before)
        created = {name: count for (verb, name), count in done.items() if verb == "create"}
        deleted = {name: count for (verb, name), count in done.items() if verb == "delete"}
        assert created == dict.fromkeys(after.keys() - before.uids.keys(), 1)
        assert deleted == dict.fromkeys(before.uids.keys() - after.keys(), 1)

    def drift(self) -> None:
        """Somebody suspends the job that stays."""
        path = cron_jobs(self.place.namespace, "cronix-shop-stays-0")
        accepted([self.bulk.one(Call("PATCH", path, {"spec": {"suspend": True}}, MERGE_PATCH))])

    def wait_repaired(self) -> None:
        """Until nobody would see that it was suspended."""
        wait_until(lambda: not self.live()["cronix-shop-stays-0"]["spec"]["suspend"], 60, "the drift is repaired")


class MakeStage(Protocol):
    """Gives a stage whose operator runs; another one in the same namespace brings a second operator."""

    def __call__(self, *, everywhere: bool = False, program: str = "", **env: str) -> Stage:
        """`everywhere`: it watches the whole cluster. `program`: the file to run instead of the operator itself."""
