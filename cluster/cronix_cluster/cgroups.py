"""The one cgroup below which every pod of this cluster lives, on cgroup v1, v2 and the hybrid of both."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cronix_cluster.configs import CGROUP


def _mounts(mounts: str) -> list[tuple[Path, str]]:
    rows = (line.split() for line in mounts.splitlines())
    return [(Path(row[1]), row[2]) for row in rows if row[2] in {"cgroup", "cgroup2"}]


def _all_mounts() -> list[tuple[Path, str]]:
    return _mounts(Path("/proc/mounts").read_text())


def create() -> None:
    """Make our cgroup in every hierarchy; the kubelet refuses a cgroupRoot that does not exist."""
    for mount, kind in _all_mounts():
        ours = mount / CGROUP
        ours.mkdir(exist_ok=True)
        if kind == "cgroup2":
            _enable_controllers(mount, ours)
        for name in ("cpuset.cpus", "cpuset.mems"):  # v1: an empty cpuset takes no process
            parent, child = mount / name, ours / name
            if kind == "cgroup" and child.exists() and not child.read_text().strip():
                child.write_text(parent.read_text())


def _enable_controllers(mount: Path, ours: Path) -> None:
    controllers = (mount / "cgroup.controllers").read_text().split()
    for folder in (mount, ours):
        for controller in controllers:
            with suppress(OSError):  # one that cannot be delegated here; the kubelet names it if it needs it
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def remove() -> list[str]:
    """Delete our cgroup and all below it, deepest first; returns those that would not go."""
    remaining = []
    for mount, _ in _all_mounts():
        ours = mount / CGROUP
        folders = sorted((path for path in ours.rglob("*") if path.is_dir()), key=lambda p: len(p.parts), reverse=True)
        for folder in [*folders, ours]:
            with suppress(OSError):
                folder.rmdir()
        if ours.exists():
            remaining.append(str(ours))
    return remaining
