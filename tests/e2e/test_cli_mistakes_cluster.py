"""The mistakes of tests/cli on a real cluster: the API server's own refusals, and what the operator really made."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.cli_mistakes import MISTAKES
from cronix_cli.__main__ import main
from cronix_cli.screen import Screen
from cronix_cli.session import Session
from cronix_operator.edges.api import ApiServer
from e2e.conftest import Kubectl
from e2e.e2e_helpers import PATIENCE_SECONDS, Place, cronix_app, job, make_namespace, manifest, wait_until

pytestmark = pytest.mark.sets_up_once

# Here the Service is not missing, the operator answers, the clock goes on, and another run may have started.
NOT_HERE = {
    "verify billing",
    "plan billing",
    "reconcile billing --wait --timeout 1s",
    "backfill billing/settle-invoices/0 2026-11-25T02:00",
    "logs billing --run 0193",
}
LINES = [(line, code, words) for line, changes, code, words in MISTAKES if not changes and line not in NOT_HERE]
REQUEST = {"url": "http://puppet:8080/x"}
JOBS = (
    job("ping", "@every 9h"),
    job("reconcile-payments", "0 0 1 1 *"),
    job("report", "0 0 1 1 *"),
    {
        "name": "settle-invoices", "schedules": ["0 2 * * *", "30 14 * * 1-5"], "timezone": "Europe/Paris",
        "request": REQUEST,
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def config(
    kubectl: Kubectl, kubeconfig: Path, operator: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A kubeconfig whose context is a namespace with the two apps, as the operator made them."""
    place = Place(kubectl, make_namespace(kubectl))
    place.secret("puppet-cron", current="0" * 64)
    for name, jobs in (("billing", JOBS), ("shipping", JOBS[1:2])):
        body = cronix_app(name, {"inline": manifest(name, *jobs)})
        body["metadata"]["annotations"] = {"cronix.dev/suspended-jobs": "report"}
        place.apply(body)
    wait_until(lambda: len(place.names("cronjobs")) == 6, PATIENCE_SECONDS, "the CronJobs of both")
    document: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    for context in document["contexts"]:
        context["context"]["namespace"] = place.namespace
    path = tmp_path_factory.mktemp("config") / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    yield str(path)
    kubectl("delete", "namespace", place.namespace, "--wait=false")


def said(config: str, line: str) -> tuple[int, str]:
    """Exit code and all that one call said, in this process: the program itself starts in test_cli.py."""
    session = Session(
        now=lambda: datetime.now(UTC),  # noqa: TID251  # as the program's own door does
        connect=lambda _kubeconfig, _context: ApiServer(config),
        screen=Screen(None, color=False, ascii_only=False),
        sleep=asyncio.sleep,
        token=lambda: "x7k2p",
    )
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = main([word.replace("_", " ") for word in line.split()], session)
    return int(code), told.getvalue()


def test_a_mistake_is_answered_on_a_real_cluster_with_what_to_type_instead(config: str) -> None:
    """The same answers as on the server in memory; all of them are looked at before the test fails."""
    wrong = []
    for line, code, words in LINES:
        found, text = said(config, line)
        if found != code or any(word not in text for word in words):
            wrong.append(f"$ kubectl cronix {line}\n{text}exit {found}; expected {code} and {words}")
    assert wrong == [], "\n\n".join(wrong)
    assert len(LINES) > 40
