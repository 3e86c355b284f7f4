"""Fixtures for tests on a real cluster; they fail with what to do where there is none, they never skip."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from cronix_cluster.audit import AuditMark
from cronix_cluster.images import BUSYBOX_REFERENCE
from cronix_cluster.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Kubectl(Protocol):
    """Calls kubectl."""

    def __call__(self, *arguments: str, stdin: object = None, timeout_seconds: float = 60) -> Any:
        """Run `kubectl <arguments>`; JSON output is decoded (`-o json` among the arguments), other output is text.

        `stdin` that is no text is sent as JSON. Raises AssertionError with kubectl's words when it fails.
        """


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The cluster under test: CRONIX_KUBECONFIG, else the local one."""
    path = Path(os.environ.get("CRONIX_KUBECONFIG") or Paths().kubeconfig)
    if not path.exists():
        pytest.fail(
            f"no cluster: {path} does not exist; run `make cluster-up`, or set CRONIX_KUBECONFIG", pytrace=False
        )
    return path


def _kubectl_program() -> str:
    local = Paths().bin / "kubectl"
    return str(local) if local.exists() else "kubectl"


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    """kubectl on the cluster under test."""

    def call(*arguments: str, stdin: object = None, timeout_seconds: float = 60) -> Any:
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        command = [_kubectl_program(), "--kubeconfig", str(kubeconfig), *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=timeout_seconds)
        if done.returncode != 0:
            raise AssertionError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip()}")
        wants_json = "json" in arguments or "-ojson" in arguments or "--output=json" in arguments
        return json.loads(done.stdout) if wants_json else done.stdout

    return call


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A fresh namespace in which Pod Security *restricted* is enforced; deleted (without waiting) at the end."""
    name = f"e2e-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl(
        "create",
        "-f",
        "-",
        stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
    )
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def audit(kubeconfig: Path) -> Callable[[], AuditMark]:
    """`audit()` marks this moment in the API server's audit log."""
    if kubeconfig != Paths().kubeconfig:
        pytest.fail("this test counts API writes in the local cluster's audit log; run it there", pytrace=False)
    return AuditMark


@pytest.fixture(scope="session")
def busybox_image() -> str:
    """An image with a shell that the local cluster has from the start."""
    return os.environ.get("CRONIX_BUSYBOX_IMAGE", BUSYBOX_REFERENCE)
