"""The local cluster on a host of its own (nested): refused, killed half way, broken, repaired, restarted, taken down.

The cluster that the other tests use stays up meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cronix_cluster.paths import REPOSITORY

# What this file sets up once must be set up once: its tests stay on one of the parallel workers.
pytestmark = pytest.mark.sets_up_once

HERE = Path(__file__).parent
COMPONENTS = {"etcd", "containerd", "apiserver", "kcm", "scheduler", "kubelet", "kube-proxy", "coredns"}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scenario saw, step by step."""
    folder = tmp_path_factory.mktemp("nested")
    result = folder / "seen.json"
    env = {name: value for name, value in os.environ.items() if name not in {"YES", "CI", "KUBECONFIG"}}
    env["PYTHONPATH"] = str(REPOSITORY / "cluster")
    program = [sys.executable, str(HERE / "cluster_scenario.py"), str(result)]
    command = [sys.executable, str(HERE / "cluster_nested.py"), str(folder / "var"), *program]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert result.exists(), f"the scenario did not end: {done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return dict(json.loads(result.read_text()))


def test_nothing_is_changed_without_consent(seen: dict[str, Any]) -> None:
    """No terminal, no YES=1: one line says how to agree, and the host is untouched."""
    assert seen["refused"]["code"] == 1
    assert seen["refused"]["err"].splitlines()[-1].endswith("run it with YES=1")
    assert seen["untouched"] == seen["before"]


def test_up_after_a_harness_killed_half_way_gives_a_healthy_cluster(seen: dict[str, Any]) -> None:
    """SIGKILL of `up` while components start: the next `up` takes it from there."""
    assert seen["half"]["code"] == 1, "it was not healthy yet"
    assert seen["up"]["code"] == 0, seen["up"]["err"]
    assert seen["status"]["code"] == 0, seen["status"]["out"]
    assert seen["pod"]["code"] == 0, seen["pod"]["err"]


def test_up_on_a_healthy_cluster_starts_nothing(seen: dict[str, Any]) -> None:
    """Every process is the one it was."""
    assert seen["again"]["code"] == 0
    assert "already up" in seen["again"]["err"]
    assert seen["again_same_pids"]


def test_status_names_what_is_broken_and_up_repairs_just_that(seen: dict[str, Any]) -> None:
    """Three components are killed, and the pid of one belongs to another process now: it must not be taken for ours."""
    assert seen["broken"]["code"] == 1
    broken = {line.split()[0] for line in seen["broken"]["out"].splitlines() if line.endswith("not running")}
    assert broken >= {"etcd", "kubelet", "containerd"}
    assert seen["repair"]["code"] == 0, seen["repair"]["err"]
    assert seen["repaired"]["code"] == 0, seen["repaired"]["out"]
    assert not set(seen["kept"]) & {"etcd", "kubelet", "containerd"}


def test_a_running_pod_survives_the_repair(seen: dict[str, Any]) -> None:
    """containerd and the kubelet come back and find it; its container was not restarted."""
    assert seen["pod_after_repair"]["out"] == "Running 0"


def test_single_components_can_be_frozen_and_thawed(seen: dict[str, Any]) -> None:
    """For tests of failures."""
    assert (seen["frozen"]["code"], seen["thawed"]["code"]) == (0, 0)


def test_after_a_restart_of_the_machine_the_cluster_starts_empty(seen: dict[str, Any]) -> None:
    """Stale pid files, mounts and cgroups are cleared away; the reader is told."""
    assert seen["after_restart"]["code"] == 0, seen["after_restart"]["err"]
    assert "the machine was restarted" in seen["after_restart"]["err"]
    assert seen["pods_after_restart"]["out"] == ""


@pytest.mark.parametrize(
    "what", ["iptables", "ip6tables", "links", "mounts", "processes", "cgroups", "files", "switches"]
)
def test_after_down_the_host_is_as_before(seen: dict[str, Any], what: str) -> None:
    """Somebody's own rule is still there, nothing of ours is; `during` shows that there was something to take back."""
    assert seen["down"]["code"] == 0, seen["down"]["err"]
    if what == "iptables":
        assert seen["after"]["rules"] == seen["before"]["rules"]
        assert "-j SOMEBODY" in seen["after"]["rules"]
    elif what == "ip6tables":
        assert seen["after"][what] == seen["before"][what]
    else:
        assert seen["after"][what] == seen["before"][what]
    if what != "switches":  # the nested host may have inherited them
        assert seen["during"][what] != seen["before"][what]


def test_down_twice_and_purge_are_fine(seen: dict[str, Any]) -> None:
    """Plain `down` keeps images and certificates, `--purge` keeps nothing."""
    assert seen["down_again"]["code"] == 0
    assert seen["purge"]["code"] == 0
    assert not seen["state_exists"]
