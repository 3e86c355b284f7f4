"""Everything that may happen to the local cluster, one after the other, on a nested host; prints what it saw as JSON.

Run by test_cluster_lifecycle.py through cluster_nested.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cronix_cluster import iptables, processes
from cronix_cluster.paths import Paths

PATHS = Paths()
# Not part of the promise: counters of the kernel, and what this very scenario does.
_HARNESS = [sys.executable, "-m", "cronix_cluster"]


def harness(*arguments: str) -> dict[str, Any]:
    started = time.monotonic()
    done = subprocess.run([*_HARNESS, *arguments], capture_output=True, text=True, check=False)
    return {
        "code": done.returncode,
        "out": done.stdout,
        "err": done.stderr,
        "seconds": round(time.monotonic() - started, 1),
    }


def kubectl(*arguments: str) -> dict[str, Any]:
    command = [str(PATHS.bin / "kubectl"), "--kubeconfig", str(PATHS.kubeconfig), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _saved(command: str) -> list[str]:
    """Tables as they are, without the comments (they hold the time) and the packet counters."""
    lines = (line for line in _output(command).splitlines() if not line.startswith("#"))
    return [re.sub(r"\[\d+:\d+\]", "", line).strip() for line in lines]


def host() -> dict[str, Any]:
    """The host as `down` promises to give it back; the cluster's own folder and lock file stay by design."""
    files = _output("find", "/run", "/var/lib", "/var/log", "/etc/cni", "/opt", "-not", "-path", f"{PATHS.state}*")
    switches = ("net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "vm/overcommit_memory", "kernel/panic")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "iptables": _saved("iptables-save"),
        "ip6tables": _saved("ip6tables-save"),
        "rules": iptables.normalised(_output("iptables-save")),
        "links": [line.split(":", 2)[1:] for line in _output("ip", "-o", "link").splitlines()],
        "mounts": sorted(line.split()[4] for line in mounts),
        "processes": sorted(_output("ps", "-e", "-o", "comm=").split()),
        "cgroups": sorted(_output("find", "/sys/fs/cgroup", "-type", "d").splitlines()),
        "files": sorted(set(files.splitlines()) - {str(PATHS.lock)}),
        "switches": {name: Path("/proc/sys", name).read_text() for name in switches},
    }


def pids() -> dict[str, int]:
    return {file.name: json.loads(file.read_text())["pid"] for file in PATHS.pids.iterdir()}


def up_killed_half_way(until: Path) -> None:
    """SIGKILL the harness as soon as a file is there."""
    process = subprocess.Popen([*_HARNESS, "up"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not until.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()


def restart_the_machine() -> None:
    """As far as a test can: every process gone at once, /run empty, another boot id on record."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in {1, os.getpid()}:
            with suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
    time.sleep(0.5)
    (PATHS.state / "boot-id").write_text("another boot")


def scenario() -> dict[str, Any]:
    seen: dict[str, Any] = {}
    subprocess.run(["iptables", "-N", "SOMEBODY"], check=True)
    subprocess.run(["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "9", "-j", "SOMEBODY"], check=True)
    seen["before"] = host()
    seen["refused"] = harness("up")
    seen["untouched"] = host()
    os.environ["YES"] = "1"
    up_killed_half_way(until=PATHS.pids / "kcm")
    seen["half"] = harness("status")
    seen["up"] = harness("up")
    seen["status"] = harness("status")
    first = pids()
    seen["again"] = harness("up")
    seen["again_same_pids"] = pids() == first
    run = ("run", "box", "--image", "cronix.local/busybox:local", "--image-pull-policy=Never", "--", "sleep", "3600")
    kubectl(*run)
    seen["pod"] = kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=180s")
    # Parts die; one's pid is given to somebody else (this scenario).
    for name in ("etcd", "kubelet", "containerd"):
        os.kill(first[name], signal.SIGKILL)
    while any(processes.start_ticks(first[name]) is not None for name in ("etcd", "kubelet", "containerd")):
        time.sleep(0.05)
    stale = json.loads((PATHS.pids / "kubelet").read_text())
    (PATHS.pids / "kubelet").write_text(json.dumps({**stale, "pid": os.getpid()}))
    seen["broken"] = harness("status")
    seen["repair"] = harness("up")
    seen["repaired"] = harness("status")
    seen["kept"] = sorted(name for name, pid in pids().items() if first[name] == pid)
    seen["pod_after_repair"] = kubectl(
        "get", "pod", "box", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].restartCount}"
    )
    seen["frozen"] = harness("component", "freeze", "scheduler")
    seen["thawed"] = harness("component", "thaw", "scheduler")
    restart_the_machine()
    seen["after_restart"] = harness("up")
    seen["pods_after_restart"] = kubectl("get", "pods", "-A", "-o", "name")
    kubectl(*run)
    kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=180s")
    seen["during"] = host()
    seen["down"] = harness("down")
    seen["after"] = host()
    seen["down_again"] = harness("down")
    seen["purge"] = harness("down", "--purge")
    seen["state_exists"] = PATHS.state.exists()
    return seen


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(scenario(), indent=1))
