"""What goes into an image: the files its inputs.txt names, their hash as its tag, a build context of nothing else."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronix_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BASE = re.compile(
    r"^\s*FROM\s+(?:--platform=\S+\s+)?docker\.io/library/debian:([a-z]+)-slim\b", re.MULTILINE | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A folder images/<name> with Dockerfile and inputs.txt, and the repository that its inputs are relative to."""

    name: str
    folder: Path
    repository: Path

    @property
    def dockerfile(self) -> Path:
        return self.folder / "Dockerfile"

    def debian_suites(self) -> list[str]:
        """Suites of the Debian base images that the Dockerfile starts from, e.g. trixie."""
        return sorted(set(_BASE.findall(self.dockerfile.read_text())))


def find_sources(repository: Path, names: Sequence[str]) -> list[ImageSource]:
    """The named images, or all of them; ClusterError for a name that has no Dockerfile."""
    folder = repository / "images"
    there = sorted(path.parent.name for path in folder.glob("*/Dockerfile"))
    unknown = sorted(set(names) - set(there))
    if unknown:
        raise ClusterError(f"no images/{unknown[0]}/Dockerfile; there are: {', '.join(there) or 'none'}")
    return [ImageSource(name, folder / name, repository) for name in (names or there)]


def _is_input(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts


def input_files(source: ImageSource) -> list[Path]:
    """All files the image is made of, relative to the repository, sorted; a pattern without match is an error."""
    listing = source.folder / "inputs.txt"
    if not listing.exists():
        raise ClusterError(f"images/{source.name}/inputs.txt is missing: one file, folder or glob per line")
    found = {source.dockerfile}
    for line in listing.read_text().splitlines():
        pattern = line.strip().rstrip("/")
        if not pattern or pattern.startswith("#"):
            continue
        matches = list(source.repository.glob(pattern))
        if not matches:
            raise ClusterError(
                f"images/{source.name}/inputs.txt names {pattern}, which does not exist (made by a make target?)"
            )
        for match in matches:
            found.update(path for path in (match.rglob("*") if match.is_dir() else [match]) if _is_input(path))
    return sorted(path.relative_to(source.repository) for path in found)


def content_tag(source: ImageSource) -> str:
    """12 hex digits over name, executable bit and content of every input: another tag when an input differs."""
    digest = hashlib.sha256()
    for relative in input_files(source):
        path = source.repository / relative
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{relative}\0{executable}\0{content}\n".encode())
    return digest.hexdigest()[:12]


def stage_context(source: ImageSource, target: Path) -> None:
    """Copy the inputs and nothing else into `target`: a file that inputs.txt forgot fails the build."""
    for relative in input_files(source):
        destination = target / relative
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.repository / relative, destination)
