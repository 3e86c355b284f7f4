"""Helm on the cluster under test, and what it renders."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from crd.crd_helpers import ROOT, load_all
from cronix_cluster.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

CHART = ROOT / "charts" / "cronix-operator"


class Helm:
    """Calls helm on the cluster under test."""

    def __init__(self, kubeconfig: Path) -> None:
        local = Paths().bin / "helm"
        program = str(local) if local.exists() else shutil.which("helm")
        if program is None:
            pytest.fail("no helm: run `make cluster-up`, or put helm on the PATH", pytrace=False)
        self.command = [program, "--kubeconfig", str(kubeconfig)]

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        given = ["--values", "-"] if values is not None else []
        return subprocess.run(
            [*self.command, *arguments, *given],
            input=yaml.safe_dump(values) if values is not None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def render(self, namespace: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        arguments = ("template", "cx", str(CHART), "--namespace", namespace, "--kube-version", "1.34.0")
        done = self.run(*arguments, values=values)
        assert done.returncode == 0, done.stderr
        return load_all(done.stdout)


def pick(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]
