"""Starts, stops and watches components through their pid files; knows nothing of what they are for."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from cronix_cluster import processes
from cronix_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cronix_cluster.components import Component
    from cronix_cluster.paths import Paths

_POLL_SECONDS = 0.1
_TAIL_LINES = 20
_START_TIMEOUT_SECONDS = 120.0
# How long a component found running may take to answer before it is restarted.
_PATIENCE_SECONDS = 15.0


def log_file(paths: Paths, name: str) -> Path:
    return paths.logs / f"{name}.log"


def running(paths: Paths, name: str) -> processes.Running | None:
    """The component's process when it is alive and really ours."""
    process = processes.read_pid_file(paths.pids / name)
    return process if process and processes.is_alive(process, boot=processes.boot_id()) else None


def start(paths: Paths, component: Component) -> processes.Running:
    """Start a component (whatever had its pid file is gone or stopped) and remember its process."""
    path = f"{paths.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {"PATH": path, "HOME": str(paths.run), "LANG": "C.UTF-8", "TMPDIR": str(paths.run / "tmp")}
    (paths.run / "tmp").mkdir(parents=True, exist_ok=True)
    process = processes.spawn(
        component.name, component.argv, env, log_file(paths, component.name), component.fingerprint()
    )
    processes.write_pid_file(paths.pids / component.name, process)
    return process


def stop(paths: Paths, component: Component) -> None:
    """Stop a component and wait until its port is free again."""
    process = running(paths, component.name)
    if process:
        processes.stop(process, component.grace_seconds)
    (paths.pids / component.name).unlink(missing_ok=True)


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"


def died(paths: Paths, name: str) -> ClusterError:
    """The error for a component that ended by itself: its last words and where to read on."""
    log = log_file(paths, name)
    return ClusterError(f"{name} ended by itself; the last lines of {log}:\n{tail(log)}")


class Starter:
    """Starts components as soon as what they need is healthy; keeps what already runs as it should.

    `healthy(name)` is called once per component, when it first answers.
    """

    def __init__(self, paths: Paths, table: Sequence[Component], healthy: Callable[[str], None]) -> None:
        self._paths = paths
        self._table = table
        self._on_healthy = healthy
        self._healthy: set[str] = set()
        self._since: dict[str, float] = {}
        self._kept: set[str] = set()
        self.started: list[str] = []

    def run(self) -> None:
        """Return when all are healthy, or raise ClusterError naming the one that is not and why."""
        while len(self._healthy) < len(self._table):
            progressed = False
            for component in self._table:
                if component.name not in self._healthy:
                    progressed |= self._advance(component)
            if not progressed:
                time.sleep(_POLL_SECONDS)

    def _advance(self, component: Component) -> bool:
        name = component.name
        if not self._healthy.issuperset(component.needs):
            return False
        if name not in self._since:
            self._keep_or_start(component)
        fault = component.fault()
        if running(self._paths, name) is None:
            raise died(self._paths, name)
        if fault is None:
            self._healthy.add(name)
            self._on_healthy(name)
            return True
        self._give_up_or_restart(component, fault)
        return False

    def _keep_or_start(self, component: Component) -> None:
        process = running(self._paths, component.name)
        self._since[component.name] = time.monotonic()
        if process and process.fingerprint == component.fingerprint():
            self._kept.add(component.name)
            return
        stop(self._paths, component)
        self._fresh(component)

    def _fresh(self, component: Component) -> None:
        start(self._paths, component)
        self.started.append(component.name)
        self._since[component.name] = time.monotonic()

    def _give_up_or_restart(self, component: Component, fault: str) -> None:
        waited = time.monotonic() - self._since[component.name]
        if component.name in self._kept and waited > _PATIENCE_SECONDS:
            self._kept.remove(component.name)
            stop(self._paths, component)
            self._fresh(component)
        elif waited > _START_TIMEOUT_SECONDS:
            log = log_file(self._paths, component.name)
            raise ClusterError(f"{component.name} does not get healthy: {fault}; the last lines of {log}:\n{tail(log)}")


def wait_until(what: Mapping[str, Callable[[], str | None]], timeout_seconds: float) -> None:
    """Wait until each probe says None; ClusterError with the last reason when one does not in time."""
    deadline = time.monotonic() + timeout_seconds
    for name, probe in what.items():
        while (fault := probe()) is not None:
            if time.monotonic() > deadline:
                raise ClusterError(f"{name}: {fault}")
            time.sleep(_POLL_SECONDS)
