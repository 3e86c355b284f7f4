"""What the host must be and have: checks, Debian packages, and the question before anything is changed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster.console import ask, progress, say
from cronix_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OWN_CLUSTER = "use a cluster of your own with `KUBECONFIG=… IMAGE_REGISTRY=kind|k3d|registry.example.com/x make demo`"
CNI_FOLDERS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))


@dataclass(frozen=True, slots=True)
class Need:
    """A program (or file) and the Debian package that brings it."""

    package: str
    program: str


NEEDS = (
    Need("containerd", "containerd"),
    Need("runc", "runc"),
    Need("iptables", "iptables-save"),
    Need("nftables", "nft"),
    Need("conntrack", "conntrack"),
    Need("iproute2", "ip"),
    Need("kmod", "modprobe"),
    Need("procps", "sysctl"),
    Need("socat", "socat"),
    Need("openssl", "openssl"),
    Need("buildah", "buildah"),
    Need("mmdebstrap", "mmdebstrap"),
    Need("busybox-static", "busybox"),
    Need("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    Need("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
)


def require_linux_root(platform: str, effective_uid: int) -> None:
    """Raise ClusterError with one line that says what to do instead, unless this is Linux and root."""
    if platform != "linux":
        raise ClusterError(f"the local cluster needs Linux, this is {platform}; {OWN_CLUSTER}")
    if effective_uid != 0:
        raise ClusterError(f"the local cluster needs root (it runs a kubelet); run it with sudo -E, or {OWN_CLUSTER}")


def find_program(name: str) -> str | None:
    """A program by name, also in the sbin folders that a plain user's PATH leaves out; or a file by its path."""
    if name.startswith("/"):
        return name if Path(name).exists() else None
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")


def cni_folder() -> Path | None:
    """The folder that has the CNI plugins this cluster uses."""
    wanted = ("bridge", "host-local", "portmap", "loopback")
    return next((f for f in CNI_FOLDERS if all((f / plugin).exists() for plugin in wanted)), None)


def missing_packages(*, need_python_venv: bool, find: Callable[[str], str | None] = find_program) -> list[str]:
    """Debian packages to install, in a stable order; empty when nothing is missing."""
    missing = [need.package for need in NEEDS if find(need.program) is None]
    if cni_folder() is None:
        missing.append("containernetworking-plugins")
    if need_python_venv and importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    return missing


def changes(packages: list[str], *, binaries_built: bool, bridge: str, network: str) -> str:
    """What `up` will do to this host, for a person to agree to."""
    build = (
        ""
        if binaries_built
        else "\n  build:      Kubernetes from Go modules, once: about 12 minutes on 2 cores, 5 GB of Go caches"
    )
    install = f"\n  packages:   apt-get install {' '.join(packages)} (they stay after `down`)" if packages else ""
    return (
        "This starts a real Kubernetes on this host. It will change:"
        f"{install}{build}"
        f"\n  network:    a bridge {bridge} ({network}), iptables chains KUBE-* and CNI-*, ip_forward=1"
        "\n  folders:    /var/lib/cronix-cluster (about 4 GB with images), /run/cronix-cluster"
        "\n  processes:  etcd, kube-apiserver, controller-manager, scheduler, kubelet, kube-proxy, CoreDNS, containerd"
        "\n`make cluster-down` takes network, iptables, mounts and processes back; `down --purge` the folders too."
    )


def agree(text: str, env: Mapping[str, str], *, terminal: bool) -> None:
    """Go on only with consent: YES=1 or CI in the environment, or a yes on the terminal; else ClusterError."""
    say(text)
    if env.get("YES") in {"1", "y", "yes", "true"} or env.get("CI"):
        return
    if not terminal:
        raise ClusterError("nothing was changed: to agree without a terminal, run it with YES=1")
    if not ask("Go on?"):
        raise ClusterError("nothing was changed")


def install(packages: list[str]) -> None:
    """apt-get update and install. A containerd service that dpkg starts with the package is stopped: it is not ours."""
    if find_program("apt-get") is None:
        raise ClusterError(f"these are missing and this is no Debian (no apt-get): {' '.join(packages)}; {OWN_CLUSTER}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with progress(lambda seconds: f"installing Debian packages, {seconds:.0f} s"):
        _apt(["update"], env)
        _apt(["install", "--yes", "--no-install-recommends", *packages], env)
    if "containerd" in packages and Path("/run/systemd/system").exists():
        say("    the package's own containerd service is switched off again (this cluster runs its own)")
        subprocess.run(["systemctl", "disable", "--now", "containerd"], check=False, capture_output=True)


def _apt(arguments: list[str], env: Mapping[str, str]) -> None:
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments]
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise ClusterError(f"`{' '.join(command)}` failed:\n{last}")


def load_kernel_modules() -> None:
    """Ask for what may be a module; where it is built in or forbidden, the checks after it decide."""
    modprobe = find_program("modprobe")
    if modprobe:
        subprocess.run([modprobe, "-q", "-a", "overlay", "br_netfilter"], check=False, capture_output=True)


def snapshotter(state: Path) -> str:
    """`overlayfs` where it works; `native` (plain copies) on a host whose root is itself an overlay or has none."""
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "native"
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    below = [m for m in mounts if str(state).startswith(m[1].rstrip("/") + "/") or m[1] == "/"]
    return "native" if max(below, key=lambda m: len(m[1]))[2] == "overlay" else "overlayfs"


def this_process_may() -> None:
    """`require_linux_root` for the process that runs."""
    require_linux_root(sys.platform, os.geteuid() if hasattr(os, "geteuid") else -1)
