"""A host inside the host: a program runs with its own processes, mounts, network, cgroups, /run, /var/lib and /var/log.

So the harness can be tried out from nothing, killed and taken down while the cluster that everybody uses stays up.
Run as `python cluster_nested.py FOLDER PROGRAM…`; FOLDER takes what the program writes to /var.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
_INSIDE = "--inside"


def _mounted_cgroups() -> list[tuple[Path, str, str]]:
    rows = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [(Path(row[1]), row[2], row[3]) for row in rows if row[2] in {"cgroup", "cgroup2"}]


def _own_cgroups() -> dict[str, str]:
    """Controllers (or name=…, or '' for v2) to this process's cgroup in that hierarchy."""
    rows = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    return {controllers: path for _, controllers, path in rows}


def _controllers(kind: str, mount_options: str) -> str:
    """The part of a v1 hierarchy's mount options that names it, as /proc/self/cgroup writes it."""
    if kind == "cgroup2":
        return ""
    known = set(_own_cgroups()) - {""}
    words = mount_options.split(",")
    return next(name for name in known if all(part in words for part in name.split(",")))


def _enter_child_cgroups(name: str) -> list[Path]:
    """Move this process one level down in every hierarchy: the root of the namespace that it makes next."""
    made = []
    for mount, kind, options in _mounted_cgroups():
        own = mount / _own_cgroups()[_controllers(kind, options)].lstrip("/")
        child = own / name
        child.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if kind == "cgroup" and (child / setting).exists():
                (child / setting).write_text((own / setting).read_text())
        (child / "cgroup.procs").write_text(str(os.getpid()))
        made.append(child)
    return made


def _outside(folder: Path, program: list[str]) -> int:
    before = [
        (mount / _own_cgroups()[_controllers(kind, options)].lstrip("/")) for mount, kind, options in _mounted_cgroups()
    ]
    made = _enter_child_cgroups(f"nested-{os.getpid()}")
    namespaces = ["--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "--mount-proc", "--kill-child"]
    try:
        command = ["unshare", *namespaces, sys.executable, __file__, _INSIDE, str(folder), *program]
        return subprocess.run(command, check=False).returncode
    finally:
        for home in before:
            with suppress(OSError):
                (home / "cgroup.procs").write_text(str(os.getpid()))
        for child in made:
            for path in sorted((p for p in child.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
                with suppress(OSError):
                    path.rmdir()
            with suppress(OSError):
                child.rmdir()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _remount_cgroups() -> None:
    """Mount the hierarchies again: a mount made before the namespace still shows everything."""
    hierarchies = [(mount, kind, _controllers(kind, options)) for mount, kind, options in _mounted_cgroups()]
    subprocess.run(["umount", "--recursive", "--lazy", "/sys"], check=True)
    _mount("-t", "sysfs", "sysfs", "/sys")  # of the new network namespace
    if not any(mount == CGROUPS for mount, _, _ in hierarchies):
        _mount("-t", "tmpfs", "tmpfs", str(CGROUPS))
    for mount, kind, controllers in hierarchies:
        mount.mkdir(exist_ok=True)
        if kind == "cgroup2":
            _mount("-t", "cgroup2", "cgroup2", str(mount))
            leaf = mount / "init"  # v2: a cgroup with processes of its own cannot hand controllers down
            leaf.mkdir(exist_ok=True)
            for pid in (mount / "cgroup.procs").read_text().split():
                with suppress(OSError):
                    (leaf / "cgroup.procs").write_text(pid)
        else:
            options = f"none,{controllers}" if controllers.startswith("name=") else controllers
            _mount("-t", "cgroup", "-o", options, "cgroup", str(mount))


def _drop_mounts_of_the_real_cluster() -> None:
    """They are this namespace's own copies by now: the real cluster keeps its mounts."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in reversed(points):
        if point.startswith(("/var/lib/", "/run/")):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def _inside(folder: Path, program: list[str]) -> int:
    _drop_mounts_of_the_real_cluster()
    for name in ("/var/lib", "/var/log"):
        private = folder / name.strip("/").replace("/", "-")
        private.mkdir(parents=True)
        _mount("--bind", str(private), name)
    _mount("-t", "tmpfs", "tmpfs", "/run")
    _remount_cgroups()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return _as_init(subprocess.Popen(program).pid)


def _as_init(program: int) -> int:
    """Process 1 buries the orphans, until its own program ends."""
    while True:
        pid, status = os.wait()
        if pid == program:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    if sys.argv[1] == _INSIDE:
        sys.exit(_inside(Path(sys.argv[2]), sys.argv[3:]))
    sys.exit(_outside(Path(sys.argv[1]), sys.argv[2:]))
