"""Shared by the tests of the local cluster's harness; none of them needs a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronix_cluster.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path


def paths_below(folder: Path) -> Paths:
    """A cluster's folders inside a test's own folder."""
    return Paths(state=folder / "state", run=folder / "run", lock=folder / "lock")
