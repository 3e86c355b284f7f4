"""Two operators with an election: one works, the other takes over when it dies or stands still. Runs alone."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cronix_cluster.audit import AuditMark
from e2e.chart_helpers import Helm as ChartHelm
from e2e.e2e_helpers import Kubectl, Place, cronix_app, job, manifest, wait_until

pytestmark = pytest.mark.disruptive

LEASE = "cx-cronix-operator"
DURATION_SECONDS = 10


@dataclasses.dataclass
class Candidate:
    """An operator as a process on this machine, under an account of its own."""

    name: str
    user: str
    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


class Pair:
    """The namespace and the two that contend for it."""

    def __init__(self, home: Place, kubeconfig: Path, folder: Path) -> None:
        self.home, self.kubeconfig, self.folder = home, kubeconfig, folder
        self.candidates: dict[str, Candidate] = {}

    def start(self, name: str) -> Candidate:
        home = self.home
        token = home.kubectl("create", "token", name).strip()
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"] = [{"name": "op", "user": {"token": token}}]
        config["contexts"][0]["context"] = {"cluster": config["clusters"][0]["name"], "user": "op"}
        config["current-context"] = config["contexts"][0]["name"]
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "KUBECONFIG": str(path),
            "CRONIX_SIGNER_IMAGE": "registry.example.com/signer:1",
            "CRONIX_WATCH_NAMESPACES": home.namespace,
            "CRONIX_HEALTH_PORT": str(port),
            "POD_NAME": name,
            "POD_NAMESPACE": home.namespace,
            "CRONIX_LEASE": LEASE,
            "CRONIX_LEASE_DURATION_SECONDS": str(DURATION_SECONDS),
            "CRONIX_LEASE_RENEW_DEADLINE_SECONDS": "7",
            "CRONIX_LEASE_RETRY_SECONDS": "1",
        }
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen([sys.executable, "-m", "cronix_operator"], env=env, stdout=out, stderr=out)
        self.candidates[name] = Candidate(name, f"system:serviceaccount:{home.namespace}:{name}", process, log)
        return self.candidates[name]

    def holder(self) -> str:
        """The name of the one in charge; empty when nobody is."""
        identity = self.home.get("lease", LEASE)["spec"].get("holderIdentity") or ""
        return str(identity).rpartition("_")[0]

    def wait_leader(self, name: str) -> None:
        wait_until(lambda: self.holder() == name, 120, f"{name} is in charge")

    def stop(self) -> None:
        for candidate in self.candidates.values():
            candidate.signal(signal.SIGCONT)
            candidate.process.kill()
            candidate.process.wait()


@pytest.fixture
def pair(kubectl: Kubectl, kubeconfig: Path, tmp_path: Path, quiet: None) -> Iterator[Pair]:
    """Two candidates, the first of them in charge, with one CronixApp that is in step."""
    home = Place(kubectl, f"e2e-{secrets.token_hex(4)}")
    kubectl("create", "namespace", home.namespace)
    values = {"watch": {"mode": "release"}, "crds": {"install": False}, "leaderElection": {"enabled": True}}
    rendered = ChartHelm(kubeconfig).render(home.namespace, values)
    roles = [document for document in rendered if document["kind"] == "Role"]
    accounts = [{"kind": "ServiceAccount", "name": name, "namespace": home.namespace} for name in ("one", "two")]
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role["metadata"]["name"]},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
            "subjects": accounts,
        }
        for role in roles
    ]
    home.apply(*({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": a["name"]}} for a in accounts))
    home.apply(*roles, *bindings)
    home.secret("puppet-cron", current=secrets.token_hex(32))
    made = Pair(home, kubeconfig, tmp_path)
    try:
        made.start("one")
        made.wait_leader("one")
        made.start("two")
        home.apply(app("0 3 * * *"))
        home.wait_ready("shop")
        yield made
    finally:
        made.stop()
        kubectl("delete", "namespace", home.namespace, "--wait=false")


def app(schedule: str) -> dict[str, Any]:
    return cronix_app("shop", {"inline": manifest("shop", job("nightly", schedule))})


def schedule_of(home: Place) -> str:
    return str(home.get("cronjob", "cronix-shop-nightly-0")["spec"]["schedule"])


def drift(home: Place) -> None:
    home.kubectl("patch", "cronjob", "cronix-shop-nightly-0", "--type=merge", "-p", '{"spec":{"suspend":true}}')


def is_repaired(home: Place) -> bool:
    return home.get("cronjob", "cronix-shop-nightly-0")["spec"]["suspend"] is False


def work_of(mark: AuditMark, candidate: Candidate, home: Place) -> list[tuple[str, str]]:
    """What a candidate has written besides the lease."""
    return [
        (e.verb, e.resource)
        for e in mark.writes(user=candidate.user, namespace=home.namespace)
        if e.resource != "leases"
    ]


def test_only_the_one_in_charge_writes_and_the_other_takes_over_when_it_is_killed(
    pair: Pair, audit: Callable[[], AuditMark]
) -> None:
    """SIGKILL: nothing is given back, so the other waits for the lease to run out."""
    home, mark = pair.home, audit()
    drift(home)
    wait_until(lambda: is_repaired(home), 60, "the leader repairs")
    assert work_of(mark, pair.candidates["two"], home) == []

    pair.candidates["one"].signal(signal.SIGKILL)
    pair.wait_leader("two")
    home.apply(app("0 4 * * *"))
    wait_until(lambda: schedule_of(home) == "0 4 * * *", 60, "the second has taken over")


def test_a_leader_that_stood_still_wakes_up_to_write_nothing(pair: Pair, audit: Callable[[], AuditMark]) -> None:
    """SIGSTOP, as of a node that hangs: what it had begun and what it sees now is no longer its business."""
    home, one = pair.home, pair.candidates["one"]
    one.signal(signal.SIGSTOP)
    pair.wait_leader("two")
    home.apply(app("0 5 * * *"))
    wait_until(lambda: schedule_of(home) == "0 5 * * *", 60, "the second works")

    mark = audit()
    drift(home)
    one.signal(signal.SIGCONT)
    drift(home)
    wait_until(lambda: is_repaired(home), 60, "the second repairs")
    wait_until(lambda: b"LeaseLost" in one.log.read_bytes(), 60, "the first has noticed")
    drift(home)
    wait_until(lambda: is_repaired(home), 60, "the second repairs again")
    assert work_of(mark, one, home) == []
    assert one.process.poll() is None, "it waits for its next turn"

    pair.candidates["two"].signal(signal.SIGTERM)
    assert pair.candidates["two"].process.wait(60) == 0
    pair.wait_leader("one")
    home.apply(app("0 6 * * *"))
    wait_until(lambda: schedule_of(home) == "0 6 * * *", 60, "the first is in charge again")
