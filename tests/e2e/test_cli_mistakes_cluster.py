"""The mistakes of tests/cli on a real cluster: the API server's own refusals, and what the operator really made."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
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

# Here no Service is missing, the operator answers, the clock goes on, runs may have started, another app is `shop`.
NOT_HERE = {
    "verify billing",
    "plan billing",
    "reconcile billing --wait --timeout 1s",
    "backfill billing/settle-invoices/0 2026-11-25T02:00",
    "logs billing --run 0193",
    "resume shop",
}
LINES = [mistake for mistake in MISTAKES if not mistake[1] and mistake[0] not in NOT_HERE]
RIGHTS = {  # of a person, less the one that a mistake is about
    "cronixapps": ("cronix.dev", ["get", "list", "patch"]),
    "cronjobs": ("batch", ["get", "list"]),
    "jobs": ("batch", ["get", "list", "create"]),
    "pods": ("", ["get", "list"]),
}
WITHOUT = [
    mistake for mistake in MISTAKES if mistake[1] and mistake[1][0].split()[-1] in RIGHTS and mistake[0] not in NOT_HERE
]
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
def place(kubectl: Kubectl, operator: None) -> Iterator[Place]:
    """A namespace with the two apps, as the operator made them."""
    place = Place(kubectl, make_namespace(kubectl))
    place.secret("puppet-cron", current="0" * 64)
    for name, jobs in (("billing", JOBS), ("shipping", JOBS[1:2])):
        body = cronix_app(name, {"inline": manifest(name, *jobs)})
        body["metadata"]["annotations"] = {"cronix.dev/suspended-jobs": "report"}
        place.apply(body)
    wait_until(lambda: len(place.names("cronjobs")) == 6, PATIENCE_SECONDS, "the CronJobs of both")
    yield place
    kubectl("delete", "namespace", place.namespace, "--wait=false")


@pytest.fixture
def config_of(place: Place, kubeconfig: Path, tmp_path: Path) -> Callable[[str], str]:
    """The path of a kubeconfig with this namespace; with a token it is that account's."""

    def make(token: str = "") -> str:
        document: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        for context in document["contexts"]:
            context["context"]["namespace"] = place.namespace
        if token:
            for user in document["users"]:
                user["user"] = {"token": token}
        path = tmp_path / f"kubeconfig-{len(list(tmp_path.iterdir()))}"
        path.write_text(yaml.safe_dump(document))
        return str(path)

    return make


def token_without(place: Place, verb: str, plural: str) -> str:
    """A token of an account that may do all that the commands need but this."""
    name = f"no-{verb}-{plural}"
    rules = [
        {"apiGroups": [group], "resources": [kind], "verbs": [v for v in verbs if (v, kind) != (verb, plural)]}
        for kind, (group, verbs) in RIGHTS.items()
    ]
    api, role = "rbac.authorization.k8s.io", {"kind": "Role", "name": name}
    place.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": api, **role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": place.namespace}],
        },
    )  # fmt: skip
    return str(place.kubectl("create", "token", name)).strip()


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


def faults(config: str, mistakes: Sequence[tuple[str, Any, int, tuple[str, ...]]]) -> list[str]:
    """The calls whose answer is another one than on the server in memory."""
    found = []
    for line, _, code, words in mistakes:
        given, text = said(config, line)
        if given != code or any(word not in text for word in words):
            found.append(f"$ kubectl cronix {line}\n{text}exit {given}; expected {code} and {words}")
    return found


def test_a_mistake_is_answered_on_a_real_cluster_with_what_to_type_instead(config_of: Callable[..., str]) -> None:
    """All of them are tried before the test fails."""
    wrong = faults(config_of(), LINES)
    assert wrong == [], "\n\n".join(wrong)
    assert len(LINES) > 40


def test_a_right_that_is_missing_is_named(place: Place, config_of: Callable[..., str]) -> None:
    """The API server's own 403, and nothing was changed."""
    wrong = []
    for mistake in WITHOUT:
        verb, plural = mistake[1][0].split()
        wrong += faults(config_of(token_without(place, verb, plural)), [mistake])
    assert wrong == [], "\n\n".join(wrong)
    assert len(WITHOUT) >= 3
