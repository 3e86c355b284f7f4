"""Where everything lives on this machine; the only module that knows file names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BINARIES_MODULE = REPOSITORY / "cluster" / "binaries"
IMAGES = REPOSITORY / "images"
GO_REQUIREMENTS = REPOSITORY / "requirements" / "go.txt"


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one cluster. `state` outlives a `down`, `run` does not outlive the machine's uptime."""

    state: Path = Path("/var/lib/cronix-cluster")
    run: Path = Path("/run/cronix-cluster")
    lock: Path = Path("/run/cronix-cluster.lock")

    @property
    def bin(self) -> Path:
        return self.state / "bin"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        return self.run / "pids"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def containerd_root(self) -> Path:
        return self.state / "containerd"

    @property
    def containerd_state(self) -> Path:
        return self.run / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def kubelet_root(self) -> Path:
        return self.state / "kubelet"

    @property
    def etcd_data(self) -> Path:
        return self.state / "etcd"

    @property
    def pod_logs(self) -> Path:
        return self.state / "pod-logs"

    @property
    def buildah(self) -> Path:
        return self.state / "buildah"

    @property
    def host_snapshot(self) -> Path:
        return self.state / "host-before.json"


def cache_folder() -> Path:
    """The user's cache for what is slow to make and safe to delete: `${XDG_CACHE_HOME:-~/.cache}/cronix`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cronix"


def write_atomically(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write then rename: a process that dies here leaves the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    data = content.encode() if isinstance(content, str) else content
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
    fresh.chmod(mode)
    fresh.replace(path)
