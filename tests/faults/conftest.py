"""Where tests of faults play: an API server of their own, the operator's rights in it, and the table at the end."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronix_cluster.audit import AuditMark
from e2e.bulk import Bulk
from e2e.chart_helpers import Helm
from e2e.conftest import kubectl, namespace
from e2e.e2e_helpers import Kubectl, Place
from faults.bare_server import BareServer
from faults.fault_proxy import FaultProxy
from faults.faults_helpers import ACCOUNT, HOME, WHOLE, Figures, MakeStage, Operator, Stage
from faults.faults_table import collected, keep_round, table

__all__ = ["kubectl", "namespace"]

CRD = "cronixapps.cronix.dev"
RIGHTS = {"CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareServer]:
    """An API server that belongs to these tests."""
    found = BareServer(tmp_path_factory.mktemp("server") / "state")
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def kubeconfig(server: BareServer) -> Path:
    """The admin's, in the place of the shared cluster's."""
    return server.kubeconfig


@pytest.fixture
def audit(server: BareServer) -> Callable[[], AuditMark]:
    """`audit()` marks this moment in the audit log of that server."""
    return lambda: AuditMark(server.audit_log)


@pytest.fixture(scope="session")
def install(kubectl: Kubectl, kubeconfig: Path) -> Callable[[], None]:
    """A function that brings the CRD and the operator's account with its rights, as the chart would."""

    def run() -> None:
        rendered = [body for body in Helm(kubeconfig).render(HOME, {}) if body["kind"] in RIGHTS]
        apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        kubectl(*apply, stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}})
        kubectl(*apply, stdin={"apiVersion": "v1", "kind": "List", "items": rendered})
        kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=60s")

    return run


@pytest.fixture(scope="session")
def token(kubectl: Kubectl, install: Callable[[], None]) -> str:
    """With the operator's rights."""
    install()
    return str(kubectl("-n", HOME, "create", "token", ACCOUNT, "--duration=4h")).strip()


@pytest.fixture(scope="session")
def proxy(kubeconfig: Path) -> Iterator[FaultProxy]:
    """In front of the API server."""
    cluster = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]
    found = FaultProxy(cluster["server"], base64.b64decode(cluster["certificate-authority-data"]).decode())
    yield found
    found.close()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Takes what is measured."""
    return Figures(request.node)


@pytest.fixture
def stages(
    token: str,
    kubectl: Kubectl,
    namespace: str,
    kubeconfig: Path,
    proxy: FaultProxy,
    audit: Callable[[], AuditMark],
) -> Iterator[MakeStage]:
    """A function that gives a stage with its operator running and everything in step."""
    with tempfile.TemporaryDirectory() as folder:
        proxy.reset()
        operators: list[Operator] = []

        def make(*, everywhere: bool = False, program: str = "", **env: str) -> Stage:
            watched = "" if everywhere else namespace
            name = f"operator-{len(operators)}"
            server = f"http://127.0.0.1:{proxy.port}"
            operator = Operator(server, token, Path(folder), name=name, CRONIX_WATCH_NAMESPACES=watched, **env)
            if program:
                operator.command = [sys.executable, program]
            operators.append(operator)
            found = Stage(Place(kubectl, namespace), Bulk(kubeconfig), operator, proxy, audit)
            operator.start()
            found.wait_in_step()
            return found

        try:
            yield make
        finally:
            proxy.reset()
            for operator in operators:
                operator.kill()


@pytest.fixture
def stage(stages: MakeStage) -> Stage:
    """A stage whose operator watches this namespace alone."""
    return stages()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of what each fault cost; a whole run that is green is kept."""
    figures = collected(terminalreporter.stats)
    if not figures or "PYTEST_XDIST_WORKER" in os.environ:  # each worker comes here with its part of a round
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(table(figures))
    if WHOLE and not {"failed", "error", "deselected"} & terminalreporter.stats.keys():
        keep_round(figures)
