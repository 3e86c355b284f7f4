"""Images in containerd: the pause image made by hand, archives loaded, what is there listed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster.errors import ClusterError
from cronix_cluster.host import find_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronix_cluster.paths import Paths

REPOSITORY_PREFIX = "cronix.local"
NAMESPACE = "k8s.io"
# Also the image of the plain CronJob that proves the cluster: it has a shell.
BUSYBOX_REFERENCE = f"{REPOSITORY_PREFIX}/busybox:local"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """This machine in the words of image specifications."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def ctr(paths: Paths, *arguments: str) -> str:
    """containerd's own client on our containerd, in the kubelet's namespace."""
    program = find_program("ctr")
    if program is None:
        raise ClusterError("ctr is missing; it belongs to the package containerd")
    command = [program, "--address", str(paths.containerd_socket), "--namespace", NAMESPACE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`ctr {' '.join(arguments[:3])} …` failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def listed(paths: Paths) -> list[str]:
    """References of the project's images in containerd."""
    names = ctr(paths, "images", "list", "--quiet").split()
    return sorted(name for name in names if name.startswith(f"{REPOSITORY_PREFIX}/"))


def load(paths: Paths, archive: Path) -> None:
    """Import an OCI or docker archive."""
    ctr(paths, "images", "import", "--snapshotter", snapshotter_of(paths), str(archive))


def snapshotter_of(paths: Paths) -> str:
    """The snapshotter that containerd's configuration names: unpacking with another one would do the work twice."""
    config = (paths.config / "containerd.toml").read_text()
    return "native" if 'snapshotter = "native"' in config else "overlayfs"


def _busybox() -> Path:
    program = find_program("busybox")
    if program is None:
        raise ClusterError("busybox is missing; it belongs to the package busybox-static")
    return Path(program)


def pause_reference() -> str:
    """The sandbox image's name, which changes when its content would."""
    return f"{REPOSITORY_PREFIX}/pause:{hashlib.sha256(_busybox().read_bytes() + b'1').hexdigest()[:12]}"


def _layer() -> bytes:
    """One layer: static busybox, and a link for each of its applets."""
    binary = _busybox().read_bytes()
    applets = subprocess.run([str(_busybox()), "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("tmp", 0o1777), ("etc", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(binary), 0o755
        tar.addfile(entry, io.BytesIO(binary))
        for applet in sorted(set(applets) - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()


def pause_archive() -> bytes:
    """A docker archive with one image under two names; PATH and a sleep that never ends as its command."""
    layer = _layer()
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "infinity"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [pause_reference(), BUSYBOX_REFERENCE], "Layers": ["layer.tar"]}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        files = {"layer.tar": layer, "config.json": config, "manifest.json": json.dumps(manifest).encode()}
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def prepare_runtime(paths: Paths, *, fresh: bool) -> None:
    """Before the kubelet starts: the sandbox image is there, and containers of a former cluster are not."""
    if fresh:
        remove_containers(paths)
    if pause_reference() not in listed(paths):
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            archive.write(pause_archive())
            archive.flush()
            load(paths, Path(archive.name))


def remove_containers(paths: Paths) -> None:
    """Forget all containers (their processes are gone): the next cluster's kubelet would find and mourn them."""
    _in_batches(paths, ("tasks", "delete", "--force"), ctr(paths, "tasks", "list", "--quiet").split())
    _in_batches(paths, ("containers", "delete"), ctr(paths, "containers", "list", "--quiet").split())


def _in_batches(paths: Paths, command: Sequence[str], names: Sequence[str], size: int = 100) -> None:
    for start in range(0, len(names), size):
        ctr(paths, *command, *names[start : start + size])
