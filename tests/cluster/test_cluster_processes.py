"""Processes that outlive the harness are recognised exactly: never another one with the same pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cronix_cluster import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
STUBBORN = (
    sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)",
)  # fmt: skip


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[processes.Running]:
    process = processes.spawn("sleeper", SLEEP, dict(os.environ), tmp_path / "log", "f1")
    yield process
    processes.stop(process, 0.1)


def test_a_started_process_is_alive_until_it_is_stopped(daemon: processes.Running) -> None:
    """Stopping waits: afterwards the process is gone."""
    boot = processes.boot_id()
    assert processes.is_alive(daemon, boot=boot)
    processes.stop(daemon, 10)
    assert not processes.is_alive(daemon, boot=boot)


def test_a_process_that_got_the_pid_of_a_dead_one_is_not_ours(daemon: processes.Running) -> None:
    """Same pid, other start time: not alive, and `stop` leaves it alone."""
    impostor = replace(daemon, start_ticks=daemon.start_ticks - 1)
    assert not processes.is_alive(impostor, boot=processes.boot_id())
    processes.stop(impostor, 0.1)
    assert processes.is_alive(daemon, boot=processes.boot_id())


def test_a_pid_from_before_a_restart_of_the_machine_is_not_ours(daemon: processes.Running) -> None:
    """Start times count from boot: after a restart the same pair may be another process."""
    assert not processes.is_alive(replace(daemon, boot_id="another boot"), boot=processes.boot_id())


def test_the_pid_file_survives_the_harness(daemon: processes.Running, tmp_path: Path) -> None:
    """What is written is what is read, by any later run."""
    processes.write_pid_file(tmp_path / "pids" / "sleeper", daemon)
    assert processes.read_pid_file(tmp_path / "pids" / "sleeper") == daemon


@pytest.mark.parametrize("content", ["", "1234", "{}", '{"pid": 1}', "[]", "\0" * 20])
def test_a_pid_file_cut_off_by_a_crash_is_none(tmp_path: Path, content: str) -> None:
    """A file of another form is no process, not an exception."""
    (tmp_path / "etcd").write_text(content)
    assert processes.read_pid_file(tmp_path / "etcd") is None


def test_the_start_time_is_read_past_a_command_with_brackets(tmp_path: Path) -> None:
    """proc(5): the second field may hold anything, blanks and brackets included."""
    (tmp_path / "7").mkdir()
    rest = " ".join(str(number) for number in range(4, 53))
    (tmp_path / "7" / "stat").write_text(f"7 (a) b (c) S {rest}\n")
    assert processes.start_ticks(7, tmp_path) == 22
    (tmp_path / "7" / "stat").write_text(f"7 (a) b (c) Z {rest}\n")
    assert processes.start_ticks(7, tmp_path) is None, "a zombie is not alive"


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """After the grace time comes SIGKILL."""
    process = processes.spawn("stubborn", STUBBORN, dict(os.environ), tmp_path / "log", "f")
    while not (tmp_path / "log").read_text():
        os.sched_yield()
    processes.stop(process, 0.2)
    assert not processes.is_alive(process, boot=processes.boot_id())


def test_a_frozen_process_can_be_stopped(daemon: processes.Running) -> None:
    """SIGTERM does not reach a stopped process unless it is woken."""
    processes.send(daemon.pid, signal.SIGSTOP)
    processes.stop(daemon, 10)
    assert not processes.is_alive(daemon, boot=processes.boot_id())


def test_a_process_without_pid_file_is_found_by_its_mark(daemon: processes.Running) -> None:
    """The harness may die between starting a component and noting its pid."""
    assert processes.marked_processes("/no-such-cgroup/")[daemon.pid] == "sleeper"
    assert os.getpid() not in processes.marked_processes("/no-such-cgroup/")


def test_pods_are_found_by_their_cgroup_and_a_similar_name_is_not(tmp_path: Path) -> None:
    """Somebody else's process that is called like ours is nobody's business."""
    rest = " ".join(str(number) for number in range(4, 53))
    for pid, cgroup, environ in (
        ("10", "4:memory:/cronix-cluster/kubepods/pod1/c1", b"PATH=/bin\0"),
        ("11", "4:memory:/docker/cronix-cluster-lookalike", b"NAME=CRONIX_CLUSTER_COMPONENT=x\0"),
        ("12", "0::/", b"A=1\0CRONIX_CLUSTER_COMPONENT=containerd\0"),
    ):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(cgroup + "\n")
        (tmp_path / pid / "environ").write_bytes(environ)
        (tmp_path / pid / "stat").write_text(f"{pid} (x) S {rest}\n")
    (tmp_path / "self").mkdir()
    assert processes.marked_processes("/cronix-cluster/", tmp_path) == {10: "pod", 12: "containerd"}


def test_kill_all_reports_nobody_when_all_are_gone() -> None:
    """Both a live child and a pid that never was."""
    child = subprocess.Popen(SLEEP)
    free = int(Path("/proc/sys/kernel/pid_max").read_text()) - 1
    assert processes.kill_all([child.pid, free]) == []
    child.returncode = -9
