"""A real etcd, kube-apiserver and kube-controller-manager of a test's own, on free ports of loopback; no node, no pod.

What happens to them happens to nobody else, so tests of faults run beside all others.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from cronix_cluster import certs, configs, health
from cronix_cluster.paths import Paths
from cronix_cluster.standalone import apiserver_command_line, command_line, etcd_command_line, free_ports
from e2e.e2e_helpers import wait_until

START_SECONDS = 120
GRACE_SECONDS = 30


class BareServer:
    """Three processes with the command lines of the local cluster, but for ports and folders."""

    def __init__(self, folder: Path) -> None:
        self._paths = Paths(state=folder, run=folder / "run", lock=folder / "lock")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        names = ("etcd", "peer", "metrics", "apiserver", "kcm")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._arguments = self._with_ports(ports)
        api = partial(health.http_fault, "https", ports["apiserver"], "/readyz", self._paths.pki)
        self._fault: Mapping[str, Callable[[], str | None]] = {
            "etcd": partial(health.http_fault, "http", ports["metrics"], "/health"),
            "apiserver": api,
            "kcm": partial(health.http_fault, "https", ports["kcm"], "/healthz"),
        }
        self._prepare(ports["apiserver"])

    @property
    def kubeconfig(self) -> Path:
        """The admin's."""
        return self._paths.kubeconfig

    @property
    def audit_log(self) -> Path:
        return self._paths.audit_log

    def start(self, *names: str) -> None:
        """Start these, or all, and wait until each is healthy."""
        for name in names or self._fault:
            with (self._paths.logs / f"{name}.log").open("ab") as log:
                environment = {"PATH": os.environ["PATH"], "HOME": str(self._paths.run)}
                self._processes[name] = subprocess.Popen(self._arguments[name], env=environment, stdout=log, stderr=log)
            self.wait_healthy(name)

    def wait_healthy(self, name: str) -> None:
        """Until it answers; a failure shows the end of its log."""
        try:
            wait_until(lambda: self._fault[name]() is None, START_SECONDS, f"{name} is healthy")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{(self._paths.logs / f'{name}.log').read_text()[-3000:]}") from exc

    def signal(self, name: str, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT, SIGTERM or SIGKILL for one; after the last two it is waited for.

        An API server that is told to end waits a minute for its clients: after GRACE_SECONDS it is killed, as a kubelet
        does it.
        """
        process = self._processes[name]
        process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            process.kill()
            process.wait(30)

    def stop(self) -> None:
        """All of them, at once: nothing of theirs is kept."""
        for process in self._processes.values():
            process.kill()
            process.wait(30)

    def _with_ports(self, ports: Mapping[str, int]) -> dict[str, list[str]]:
        return {
            "etcd": etcd_command_line(self._paths, ports["etcd"], ports["peer"], ports["metrics"]),
            "apiserver": apiserver_command_line(self._paths, ports["apiserver"], ports["etcd"]),
            "kcm": command_line(self._paths, "kcm", {"--secure-port": str(ports["kcm"])}),
        }

    def _prepare(self, port: int) -> None:
        programs = Paths().bin
        if not programs.exists():
            pytest.fail(f"no Kubernetes: {programs} does not exist; run `make cluster-up`", pytrace=False)
        for folder in (self._paths.logs, self._paths.config, self._paths.run):
            folder.mkdir(parents=True)
        self._paths.bin.symlink_to(programs)
        certs.ensure(self._paths.pki)
        (self._paths.config / "audit-policy.json").write_text(configs.audit_policy())
        for identity, path in (
            ("controller-manager", self._paths.config / "controller-manager.kubeconfig"),
            ("admin", self._paths.kubeconfig),
        ):
            content = json.loads(certs.kubeconfig(self._paths.pki, identity))
            content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
            path.write_text(json.dumps(content))
