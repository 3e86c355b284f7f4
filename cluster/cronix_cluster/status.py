"""What runs, since when, and whether it is well; changes nothing."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING

from cronix_cluster import health, images, lifecycle, supervise
from cronix_cluster.errors import ClusterError
from cronix_cluster.paths import BINARIES_MODULE
from cronix_cluster.toolchain import module_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronix_cluster.components import Component
    from cronix_cluster.paths import Paths


def _version(component: Component) -> str:
    if component.version_of != "containerd":
        return module_version(component.version_of, (BINARIES_MODULE / "go.mod").read_text())
    done = subprocess.run([component.argv[0], "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return f"v{found.group()}" if found else "?"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as left-aligned columns; the last one is not padded."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def report(paths: Paths) -> tuple[str, bool]:
    """The table for a person, and whether everything is healthy."""
    table = lifecycle.table(paths)
    rows = [("COMPONENT", "PID", "SINCE", "VERSION", "HEALTH")]
    well = True
    for component in table:
        process = supervise.running(paths, component.name)
        fault = component.fault() if process else "not running"
        since = time.strftime("%H:%M:%S", time.localtime(process.since)) if process else "-"
        rows.append(
            (component.name, str(process.pid) if process else "-", since, _version(component), fault or "healthy")
        )
        well &= fault is None
    node = lifecycle.node_fault(paths) if well else "unknown"
    dns = health.dns_fault() if well else "unknown"
    etcd = next(c for c in table if c.name == "etcd")
    durable = "no (--unsafe-no-fsync; ETCD_FSYNC=1 for durable)" if "--unsafe-no-fsync" in etcd.argv else "yes"
    facts = [
        ("node", "Ready" if node is None else node),
        ("DNS", "answers" if dns is None else dns),
        ("etcd fsync", durable),
        *_images(paths),
        ("kubeconfig", str(paths.kubeconfig)),
    ]
    return f"{columns(rows)}\n\n{columns(facts)}", well and node is None and dns is None


def _images(paths: Paths) -> list[tuple[str, str]]:
    try:
        names = images.listed(paths)
    except ClusterError:
        names = []
    return [("images" if index == 0 else "", name) for index, name in enumerate(names or ["none"])]
