"""Fixtures for tests on a real cluster; they fail with what to do where there is none, they never skip."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # xdist has no types

from cronix_cluster.audit import AuditMark
from cronix_cluster.images import BUSYBOX_REFERENCE
from cronix_cluster.paths import Paths
from e2e.e2e_helpers import PATIENCE_SECONDS, Place, Puppet, make_namespace, wait_for_account, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Each test goes to the next free worker; those of a file that sets something up once stay on one.

    xdist's own `loadgroup` does that by a mark, but no longer with pytest 9.2: it appends the group to a private
    attribute that is gone, so each worker set up for itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if _sets_up_once(path) else nodeid


@functools.cache
def _sets_up_once(path: str) -> bool:
    return "\npytestmark = pytest.mark.sets_up_once\n" in (Path(__file__).parents[2] / path).read_text()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Called by xdist where there are several workers."""
    return Together(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests have measured and do not judge; xdist's workers hand it over with their reports."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    found = [(name, text) for report in reports for name, text in getattr(report, "user_properties", ())]
    for title in dict.fromkeys(name for name, _ in found):
        terminalreporter.section(title)
        for text in dict.fromkeys(text for name, text in found if name == title):
            terminalreporter.write_line(str(text))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that waits for the next minute beside three others, and installs the operator first, may take long."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))


class Kubectl(Protocol):
    """Calls kubectl."""

    def __call__(self, *arguments: str, stdin: object = None, timeout_seconds: float = 180) -> Any:
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

    def call(*arguments: str, stdin: object = None, timeout_seconds: float = 180) -> Any:
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
    name = make_namespace(kubectl)
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


SYSTEM_NAMESPACE = "cronix-system"


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """References of the images under test, as `make images` has written them."""
    path = Path(__file__).parents[2] / "build/images.json"
    if not path.exists():
        pytest.fail(f"{path} does not exist; run `make images`", pytrace=False)
    references: dict[str, str] = json.loads(path.read_text())
    return references


class Helm(Protocol):
    """Calls helm."""

    def __call__(self, *arguments: str) -> str:
        """Run helm; raises AssertionError with its words when it fails."""


@pytest.fixture(scope="session")
def helm(kubeconfig: Path) -> Helm:
    """Helm on the cluster under test."""
    local = Paths().bin / "helm"
    program = str(local) if local.exists() else "helm"

    def call(*arguments: str) -> str:
        command = [program, "--kubeconfig", str(kubeconfig), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            raise AssertionError(f"`helm {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout

    return call


@pytest.fixture(scope="session")
def install_operator(helm: Helm, images: dict[str, str]) -> Callable[[], None]:
    """A function that installs (or upgrades to) the operator under test, for the whole cluster, and waits for it."""

    def install() -> None:
        operator, signer = (images[name].rsplit(":", 1) for name in ("cronix-operator", "cronix-signer"))
        helm(
            "upgrade", "--install", "cronix", str(Path(__file__).parents[2] / "charts/cronix-operator"),
            "--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--take-ownership", "--wait", "--timeout", "180s",
            "--set-string", f"image.repository={operator[0]},image.tag={operator[1]}",
            "--set-string", f"signer.image.repository={signer[0]},signer.image.tag={signer[1]}",
        )  # fmt: skip

    return install


@pytest.fixture(scope="session")
def operator(install_operator: Callable[[], None], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The operator is installed; the first of several parallel workers does it, the others wait."""
    # xdist gives each worker its own base folder below one common to the run. Without it the base folder is the run's,
    # and the one above it common to all runs: a marker there would spare the next run its own operator.
    base = tmp_path_factory.getbasetemp()
    common = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (common / "operator.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker = common / "operator.installed"
        if not marker.exists():
            install_operator()
            marker.touch()


@pytest.fixture(scope="module")
def quiet(kubectl: Kubectl, install_operator: Callable[[], None]) -> Iterator[None]:
    """For disruptive tests: the operator of the whole cluster is away, so what happens is the doing of another."""
    install_operator()
    scale = ("-n", SYSTEM_NAMESPACE, "scale", "deployment/cronix-cronix-operator")
    kubectl(*scale, "--replicas=0")
    pods = ("-n", SYSTEM_NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=cronix-operator", "-o", "json")
    wait_until(lambda: not kubectl(*pods)["items"], PATIENCE_SECONDS, "the operator is gone")
    yield
    kubectl(*scale, "--replicas=1")
    kubectl("-n", SYSTEM_NAMESPACE, "rollout", "status", "deployment/cronix-cronix-operator", "--timeout=150s")


@pytest.fixture
def place(kubectl: Kubectl, namespace: str, operator: None) -> Place:
    """A fresh restricted namespace in a cluster with the operator."""
    wait_for_account(kubectl, namespace)
    return Place(kubectl, namespace)


@pytest.fixture
def puppet(place: Place, images: dict[str, str]) -> Puppet:
    """An app on strings in the test's namespace; its key is in Secret `puppet-cron`."""
    return Puppet(place, images["cronix-example"], key=secrets.token_hex(32))
