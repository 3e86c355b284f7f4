"""One harness at a time, and whoever is turned away reads why."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cronix_cluster.errors import ClusterError
from cronix_cluster.lock import cluster_lock

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, pathlib
from cronix_cluster.lock import cluster_lock
with cluster_lock(pathlib.Path(sys.argv[1]), "cronix_cluster up"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(lock: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_command_is_told_pid_command_and_since_when(tmp_path: Path) -> None:
    """One line names who has the cluster."""
    with holder(tmp_path / "lock") as other:
        with pytest.raises(ClusterError) as refusal, cluster_lock(tmp_path / "lock", "cronix_cluster down"):
            pass
        other.communicate("")
    text = str(refusal.value)
    assert f"pid {other.pid} runs `cronix_cluster up` since " in text
    assert re.search(r"since \d\d:\d\d:\d\d", text)
    assert "\n" not in text


def test_waiting_gets_the_lock_when_the_other_is_done(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """--wait waits instead of failing, and says for whom."""
    with holder(tmp_path / "lock") as other:
        assert other.stdin is not None
        other.stdin.close()  # it ends now, at its own pace
        with cluster_lock(tmp_path / "lock", "cronix_cluster down", wait=True):
            assert f"pid {os.getpid()} runs `cronix_cluster down`" in (tmp_path / "lock").read_text()


def test_a_killed_holder_leaves_nothing_locked(tmp_path: Path) -> None:
    """SIGKILL in the middle of `up` must not need a hand: the kernel drops the lock with the process."""
    with holder(tmp_path / "lock") as other:
        other.kill()
        other.wait()
    assert "cronix_cluster up" in (tmp_path / "lock").read_text(), "the stale note is still there"
    with cluster_lock(tmp_path / "lock", "cronix_cluster up"):
        pass
    assert (tmp_path / "lock").read_text() == ""
