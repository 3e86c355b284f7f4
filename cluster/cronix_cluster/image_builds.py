"""Builds the project's images with buildah and loads them into the local cluster, or into one that the user has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster import images, own_cluster
from cronix_cluster.console import Stopwatch, progress, say
from cronix_cluster.errors import ClusterError
from cronix_cluster.host import snapshotter
from cronix_cluster.image_inputs import ImageSource, content_tag, find_sources, stage_context
from cronix_cluster.paths import REPOSITORY, cache_folder, write_atomically
from cronix_cluster.supervise import tail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cronix_cluster.paths import Paths

_KEPT_TAGS_PER_IMAGE = 5
_STORAGE_LIMIT_BYTES = 8 * 2**30


def build_and_deliver(paths: Paths, names: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    """Build what changed and bring it to the cluster; returns {image name: reference}."""
    sources = find_sources(REPOSITORY, names)
    if own_cluster.is_wanted(paths, env):
        return {source.name: own_cluster.deliver(source, env) for source in sources}
    if not paths.containerd_socket.exists():
        raise ClusterError("the local cluster is not up: run `make cluster-up` first")
    references = {}
    watch = Stopwatch()
    there = images.listed(paths)
    for source in sources:
        reference = f"{images.REPOSITORY_PREFIX}/{source.name}:{content_tag(source)}"
        if reference in there:
            say(f"  {reference} is there")
        else:
            with watch.step(f"{reference} built and loaded"):
                _build(paths, source, reference, env)
        references[source.name] = reference
    _prune(paths, references)
    return references


class Buildah:
    """buildah with a storage of its own; no daemon, no registry, no kernel feature beyond chroot."""

    def __init__(self, paths: Paths) -> None:
        driver = {"overlayfs": "overlay", "native": "vfs"}[snapshotter(paths.state)]
        root = [
            "--root",
            str(paths.buildah / driver),
            "--runroot",
            str(paths.buildah / "run"),
            "--storage-driver",
            driver,
        ]
        self._base = ["buildah", *root]
        self._environment = {**os.environ, "TMPDIR": str(paths.buildah / "tmp"), "BUILDAH_ISOLATION": "chroot"}
        (paths.buildah / "tmp").mkdir(parents=True, exist_ok=True)

    def __call__(self, *arguments: str, log: Path | None = None) -> str:
        """Run one command; with `log` its output goes there and an error quotes the end of it."""
        command = [*self._base, *arguments]
        if log is None:
            done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise ClusterError(f"`buildah {' '.join(arguments)}` failed: {done.stderr.strip()[-800:]}")
            return done.stdout
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            code = subprocess.run(
                command, env=self._environment, stdout=output, stderr=subprocess.STDOUT, check=False
            ).returncode
        if code != 0:
            raise ClusterError(f"`buildah {arguments[0]}` failed; the last lines of {log}:\n{tail(log)}")
        return ""

    def has(self, reference: str) -> bool:
        """Whether an image of that name is in the storage."""
        with suppress(ClusterError):
            self("inspect", "--type", "image", "--format", "{{.FromImageID}}", reference)
            return True
        return False


def _build(paths: Paths, source: ImageSource, reference: str, env: Mapping[str, str]) -> None:
    buildah = Buildah(paths)
    for suite in source.debian_suites():
        _ensure_base(buildah, suite, env)
    log = paths.logs / f"build-{source.name}.log"
    with tempfile.TemporaryDirectory(dir=paths.buildah / "tmp") as scratch:
        context, archive = Path(scratch) / "context", Path(scratch) / "image.tar"
        stage_context(source, context)
        with progress(lambda seconds: f"building {source.name}, {seconds:.0f} s; {_last_line(log)}"):
            buildah(
                "bud",
                "--isolation",
                "chroot",
                "--network",
                "host",
                "--layers",
                "--pull=never",
                *host_arguments(source.dockerfile.read_text(), env),
                "--file",
                str(context / "images" / source.name / "Dockerfile"),
                "--tag",
                reference,
                str(context),
                log=log,
            )
            # A docker archive holds layers as they are; an OCI archive is compressed and decompressed (25 s).
            buildah("push", "--quiet", reference, f"docker-archive:{archive}:{reference}")
            images.load(paths, archive)


def _last_line(log: Path) -> str:
    return tail(log, 1)[:100]


def host_arguments(dockerfile: str, env: Mapping[str, str]) -> list[str]:
    """Proxies, and pip's settings that the Dockerfile declares (`ARG PIP_INDEX_URL`): only for the build."""
    names = [f"{name}_PROXY" for name in ("HTTP", "HTTPS", "NO")]
    names += [name.lower() for name in names]
    names += re.findall(r"^\s*ARG\s+(PIP_[A-Z_]+)\s*$", dockerfile, re.MULTILINE)
    return [part for name in names if env.get(name) for part in ("--build-arg", f"{name}={env[name]}")]


def _ensure_base(buildah: Buildah, suite: str, env: Mapping[str, str]) -> None:
    """Make the Debian base image under its name in the public registry, so that Dockerfiles build with either."""
    reference = f"docker.io/library/debian:{suite}-slim"
    if buildah.has(reference):
        return
    archive = cache_folder() / f"debian-{suite}-{images.architecture()}.tar"
    if not archive.exists():
        _bootstrap(suite, archive, env)
    with tempfile.TemporaryDirectory() as context:
        (Path(context) / "Dockerfile").write_text('FROM scratch\nADD base.tar /\nCMD ["bash"]\n')
        try:
            (Path(context) / "base.tar").hardlink_to(archive)
        except OSError:  # another file system
            shutil.copyfile(archive, Path(context) / "base.tar")
        buildah("bud", "--isolation", "chroot", "--tag", reference, context)


def _bootstrap(suite: str, archive: Path, env: Mapping[str, str]) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    fresh = archive.with_name(f".{os.getpid()}-{archive.name}")
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "doc", "locale", "info")]
    keep = "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    command = ["mmdebstrap", "--variant=minbase", *excludes, keep, suite, str(fresh)]
    if env.get("DEBIAN_MIRROR"):
        command.append(env["DEBIAN_MIRROR"])
    try:
        with progress(lambda seconds: f"making the Debian {suite} base with mmdebstrap (once), {seconds:.0f} s"):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"mmdebstrap {suite} failed:\n{done.stderr[-1500:]}")
        fresh.replace(archive)
    finally:
        fresh.unlink(missing_ok=True)


def _prune(paths: Paths, current: Mapping[str, str]) -> None:
    """Keep the last few tags of each image: an older one may still be named by a CronJob, the oldest are only disk."""
    record = paths.containerd_root / "built-images.json"
    history: dict[str, list[str]] = {}
    with suppress(OSError, ValueError):
        history = json.loads(record.read_text())
    for name, reference in current.items():
        tags = [reference, *(old for old in history.get(name, []) if old != reference)]
        history[name] = tags[:_KEPT_TAGS_PER_IMAGE]
        for old in tags[_KEPT_TAGS_PER_IMAGE:]:
            with suppress(ClusterError):
                images.ctr(paths, "images", "remove", old)
            with suppress(ClusterError):
                Buildah(paths)("rmi", old)
    write_atomically(record, json.dumps(history, indent=2))
    if (
        _size(paths.buildah) > _STORAGE_LIMIT_BYTES
    ):  # cached layers of builds long gone; the cluster has its own copy of the images
        say("  buildah's storage has outgrown 8 GB and is emptied; the next build makes its layers again")
        Buildah(paths)("rmi", "--all", "--force")


def _size(folder: Path) -> int:
    done = subprocess.run(["du", "-sxb", str(folder)], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) if done.stdout else 0
