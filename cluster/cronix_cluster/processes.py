"""Processes that outlive this one: start, recognise again, stop; a reused pid is never mistaken for ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster.paths import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# In the environment of every process that we start, and so of what they start (containerd's shims).
MARKER = "CRONIX_CLUSTER_COMPONENT"
_POLL_SECONDS = 0.05
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Running:
    """A started process: its pid is only believed together with its start time and the machine's boot id."""

    pid: int
    start_ticks: int
    boot_id: str
    since: float
    fingerprint: str


def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int, proc: Path = _PROC) -> int | None:
    """Clock ticks from boot to the start of `pid` (proc(5), field 22), or None when it is gone or a zombie."""
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the command before it may contain blanks and brackets
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(process: Running, *, boot: str, proc: Path = _PROC) -> bool:
    """Whether that very process still runs, not another one that got its pid."""
    return process.boot_id == boot and start_ticks(process.pid, proc) == process.start_ticks


def read_pid_file(path: Path) -> Running | None:
    """What `write_pid_file` wrote, or None when there is none or it is not readable as one."""
    try:
        return Running(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_pid_file(path: Path, process: Running) -> None:
    """Remember a process across runs of the harness."""
    write_atomically(path, json.dumps(asdict(process)))


def spawn(name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, fingerprint: str) -> Running:
    """Start a daemon in a session of its own, output appended to `log`.

    If this process dies before the pid file is written, the marker in the child's environment still tells it is ours.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(argv),
            env={**env, MARKER: name},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    ticks = start_ticks(child.pid)
    child.returncode = 0  # it is a daemon from here on: no "subprocess still running" warning when this object goes
    return Running(child.pid, -1 if ticks is None else ticks, boot_id(), time.time(), fingerprint)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone already is fine."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap(pid: int) -> None:
    with suppress(OSError):
        os.waitpid(pid, os.WNOHANG)


def wait_gone(process: Running, timeout_seconds: float) -> bool:
    """Wait until the process is gone; False when it is still there after `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while is_alive(process, boot=process.boot_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
        _reap(process.pid)
    return True


def stop(process: Running, grace_seconds: float) -> None:
    """SIGTERM, wait, SIGKILL, wait. A frozen process is woken first, or SIGTERM would never arrive."""
    if not is_alive(process, boot=boot_id()):
        return
    send(process.pid, signal.SIGTERM)
    send(process.pid, signal.SIGCONT)
    if not wait_gone(process, grace_seconds):
        send(process.pid, signal.SIGKILL)
        wait_gone(process, grace_seconds)


def marked_processes(cgroup_part: str, proc: Path = _PROC) -> dict[int, str]:
    """Every process of this cluster by pid: with our marker in its environment, or in a cgroup of our pods."""
    found: dict[int, str] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        name = _owner(entry, cgroup_part)
        if name is not None and start_ticks(int(entry.name), proc) is not None:
            found[int(entry.name)] = name
    return found


def _owner(entry: Path, cgroup_part: str) -> str | None:
    try:
        if any(cgroup_part in line for line in (entry / "cgroup").read_text().splitlines()):
            return "pod"
        environment = (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return None  # gone in the meantime, or a kernel thread
    prefix = MARKER.encode() + b"="
    return next((item[len(prefix) :].decode() for item in environment if item.startswith(prefix)), None)


def kill_all(pids: Iterable[int], timeout_seconds: float = 10.0) -> list[int]:
    """SIGKILL all of them, wait, and return those that would not go (uninterruptible in the kernel)."""
    remaining = list(pids)
    for pid in remaining:
        send(pid, signal.SIGKILL)
    deadline = time.monotonic() + timeout_seconds
    while remaining and time.monotonic() < deadline:
        for pid in remaining:
            _reap(pid)
        remaining = [pid for pid in remaining if start_ticks(pid) is not None]
        time.sleep(_POLL_SECONDS)
    return remaining
