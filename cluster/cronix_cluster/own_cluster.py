"""Images for a cluster that the user has: pushed to a registry, or loaded into kind or k3d."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster.console import say
from cronix_cluster.errors import ClusterError
from cronix_cluster.image_inputs import ImageSource, content_tag, stage_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cronix_cluster.paths import Paths

_SIDE_LOADERS: dict[str, Callable[[str, str], list[str]]] = {
    "kind": lambda archive, cluster: ["kind", "load", "image-archive", archive, "--name", cluster or "kind"],
    "k3d": lambda archive, cluster: ["k3d", "image", "import", archive, "--cluster", cluster or "k3s-default"],
}


def is_wanted(paths: Paths, env: Mapping[str, str]) -> bool:
    """Whether the images go to a cluster of the user's; ClusterError when it is told which one but not how."""
    if env.get("IMAGE_REGISTRY"):
        return True
    kubeconfig = env.get("KUBECONFIG")
    if kubeconfig and kubeconfig != str(paths.kubeconfig):
        raise ClusterError(
            f"KUBECONFIG={kubeconfig} is a cluster of yours: say how images get there with "
            "IMAGE_REGISTRY=registry.example.com/x, kind[:NAME] or k3d[:NAME]; unset KUBECONFIG for the local cluster"
        )
    return False


def builder(find: Callable[[str], str | None] = shutil.which) -> str:
    """docker or buildah, whichever is there."""
    for program in ("docker", "buildah"):
        if find(program):
            return program
    raise ClusterError("images for your cluster need docker or buildah on this machine, and neither is installed")


def deliver(source: ImageSource, env: Mapping[str, str], find: Callable[[str], str | None] = shutil.which) -> str:
    """Build one image and bring it where `IMAGE_REGISTRY` says; returns the reference that pods use."""
    registry = env["IMAGE_REGISTRY"].rstrip("/")
    loader, _, cluster = registry.partition(":")
    program = builder(find)
    tag = content_tag(source)
    if loader not in _SIDE_LOADERS:
        reference = f"{registry}/{source.name}:{tag}"
        _build(program, source, reference)
        _run([program, "push", reference])
        return reference
    if not find(loader):
        raise ClusterError(f"IMAGE_REGISTRY={registry} loads images with `{loader}`, which is not installed")
    reference = f"cronix.local/{source.name}:{tag}"
    _build(program, source, reference)
    with tempfile.TemporaryDirectory() as folder:
        archive = str(Path(folder) / "image.tar")
        save = ["docker", "save", "--output", archive, reference]
        if program == "buildah":
            save = ["buildah", "push", "--quiet", reference, f"docker-archive:{archive}:{reference}"]
        _run(save)
        _run(_SIDE_LOADERS[loader](archive, cluster))
    return reference


def _build(program: str, source: ImageSource, reference: str) -> None:
    with tempfile.TemporaryDirectory() as context:
        stage_context(source, Path(context))
        dockerfile = str(Path(context) / "images" / source.name / "Dockerfile")
        verb = {"docker": "build", "buildah": "bud"}[program]
        _run([program, verb, "--tag", reference, "--file", dockerfile, context])


def _run(command: list[str]) -> None:
    say(f"  {' '.join(command)}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
        raise ClusterError(f"`{' '.join(command)}` failed:\n{last}")
