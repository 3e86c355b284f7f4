"""Takes back what a cluster left on the host: processes, mounts, sockets, folders. Never by a name alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster import cgroups, network, processes
from cronix_cluster.configs import CGROUP, CNI_NETWORK
from cronix_cluster.console import say
from cronix_cluster.errors import ClusterError
from cronix_cluster.paths import write_atomically

if TYPE_CHECKING:
    from cronix_cluster.paths import Paths


def take_snapshot(paths: Paths) -> None:
    """Remember the host as it is before the first change; kept until `down` has put it back."""
    if not paths.host_snapshot.exists():
        write_atomically(paths.host_snapshot, json.dumps(network.snapshot()), mode=0o600)


def mount_points(text: str, folders: tuple[Path, ...]) -> list[str]:
    """Mount points below `folders` in the text of /proc/self/mountinfo, the last mounted first."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in text.splitlines()]
    return [p for p in reversed(points) if any(p == str(f) or p.startswith(f"{f}/") for f in folders)]


def _ours(paths: Paths) -> list[str]:
    return mount_points(Path("/proc/self/mountinfo").read_text(), (paths.state, paths.run))


def unmount(paths: Paths) -> list[str]:
    """Unmount everything below our folders (network namespaces too, so their links go); returns what would not."""
    for point in _ours(paths):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    return _ours(paths)


def kill_leftovers(paths: Paths) -> list[int]:
    """SIGKILL pods' processes, then containerd's shims and components that no pid file knows."""
    known = known_pids(paths)
    found = {pid: name for pid, name in processes.marked_processes(f"/{CGROUP}/").items() if pid not in known}
    pods = [pid for pid, name in found.items() if name == "pod"]
    _remove_shim_sockets(paths)
    return processes.kill_all(pods) + processes.kill_all(pid for pid in found if pid not in pods)


def _remove_shim_sockets(paths: Paths) -> None:
    """containerd's shims listen below /run/containerd/s whatever its configuration; each bundle names its socket."""
    for address in paths.containerd_state.glob("io.containerd.runtime.v2.task/*/*/address"):
        with suppress(OSError):
            socket = Path(address.read_text().strip().removeprefix("unix://"))
            if socket.parent == Path("/run/containerd/s"):
                socket.unlink(missing_ok=True)


def known_pids(paths: Paths) -> set[int]:
    """The components that run and have a pid file."""
    boot = processes.boot_id()
    records = (processes.read_pid_file(file) for file in paths.pids.glob("*"))
    return {record.pid for record in records if record and processes.is_alive(record, boot=boot)}


def kill_orphans(paths: Paths) -> list[int]:
    """Components that were started but whose pid file was not written, because the harness died in between."""
    known = known_pids(paths)
    found = processes.marked_processes(f"/{CGROUP}/")
    return processes.kill_all(
        pid for pid, name in found.items() if name != "pod" and pid not in known and _is_leader(pid)
    )


def _is_leader(pid: int) -> bool:
    """Components lead a session of their own; containerd's shims carry its mark but stay in its session."""
    with suppress(ProcessLookupError):
        return os.getsid(pid) == pid
    return False


def delete_run_state(paths: Paths) -> None:
    """Delete etcd's data, pods' folders and runtime state; images, certificates and the components' logs stay."""
    remaining = _ours(paths)
    if remaining:  # deleting through a bind mount would delete somebody's files
        raise ClusterError(f"still mounted, so nothing was deleted: {', '.join(remaining[:5])}")
    for folder in (paths.run, paths.etcd_data, paths.kubelet_root, paths.pod_logs):
        shutil.rmtree(folder, ignore_errors=True)


def restore_host(paths: Paths) -> list[str]:
    """Links, iptables, switches, cgroups and stray folders as they were; returns what could not be put back."""
    before = json.loads(paths.host_snapshot.read_text()) if paths.host_snapshot.exists() else {}
    network.remove_links()
    for difference in network.restore_iptables(before.get("iptables", {})):
        say(f"  note: {difference}")
    network.restore_sysctls(before.get("sysctls", {}))
    remaining = [f"cgroup {name} is still in use" for name in cgroups.remove()]
    _remove_strays(paths, set(before.get("folders", [])))
    paths.host_snapshot.unlink(missing_ok=True)
    return remaining


def _remove_strays(paths: Paths, before: set[str]) -> None:
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{paths.pod_logs}/"):
            link.unlink()
    results = Path("/var/lib/cni/results")
    for result in results.glob(f"{CNI_NETWORK}-*-eth0"):
        sandbox = result.name.removeprefix(f"{CNI_NETWORK}-").removesuffix("-eth0")
        (results / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
        result.unlink()
    for name in ("kubelet.sock", "DEPRECATION"):
        socket = Path("/var/lib/kubelet/device-plugins") / name
        if str(socket.parent.parent) not in before:
            socket.unlink(missing_ok=True)
    for folder in network.LEFT_BY_OTHERS:
        if str(folder) not in before and folder.exists():
            _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    """Remove a folder and the folders in it as far as they are empty: a file in there is somebody's."""
    if folder.is_file() and folder.stat().st_size == 0:
        folder.unlink()
        return
    for path in sorted(folder.rglob("*"), key=lambda p: len(p.parts), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):
                path.rmdir()
    with suppress(OSError):
        folder.rmdir()
