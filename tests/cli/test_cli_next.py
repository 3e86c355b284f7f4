"""`next`: every job's coming fires, soonest first, from a file or from the CronJobs of the cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.cli_helpers import Kube, assert_golden, call
from cli.cli_world import shop

MANIFEST = {
    "version": 1,
    "app": "billing",
    "jobs": [
        {"name": "sync", "schedule": "*/15 * * * *", "request": {"url": "http://b/x"}},
        {"name": "settle", "schedules": ["0 2 * * *", "30 14 * * 1-5"], "timezone": "Europe/Paris",
         "request": {"url": "http://b/x"}},
        {"name": "odd", "schedule": "0 0 L * *", "request": {"url": "http://b/x"}},
    ],
}  # fmt: skip


@pytest.fixture
def kube() -> Kube:
    return shop()


def _items(*arguments: str, kube: Kube | None = None) -> list[tuple[str, str]]:
    told = call("next", "-o", "json", *arguments, kube=kube)
    assert told.code == 0, told.err
    return [(i["time"], f"{i['app']}/{i['job']}/{i['index']}") for i in json.loads(told.out)["items"]]


def test_a_manifest_needs_no_cluster_and_leaves_out_what_the_operator_would(tmp_path: Path) -> None:
    """The job with a notation that Kubernetes does not have is not there; zones count."""
    path = tmp_path / "m.json"
    path.write_text(json.dumps(MANIFEST))
    assert _items("-f", str(path), "--count", "4") == [
        ("2026-11-24T10:15:00Z", "billing/sync/0"),
        ("2026-11-24T10:30:00Z", "billing/sync/0"),
        ("2026-11-24T10:45:00Z", "billing/sync/0"),
        ("2026-11-24T11:00:00Z", "billing/sync/0"),
    ]
    assert ("2026-11-24T13:30:00Z", "billing/settle/1") in _items("-f", str(path), "--within", "4h")


def test_the_cluster_is_asked_for_what_really_fires(kube: Kube) -> None:
    """A suspended CronJob fires never, `@every` counts from its last slot, another app's stays out when not meant."""
    found = _items("--within", "30m", kube=kube)
    assert ("2026-11-24T10:02:00Z", "billing/ping/0") in found  # @every 5m, last slot 09:57:00
    assert not [label for _, label in found if label.startswith("billing/report")]
    assert [label for _, label in _items("shipping", "--count", "1", kube=kube)] == ["shipping/sweep/0"]


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("output", ["table", "wide"])
def test_what_a_person_sees(kube: Kube, width: int, output: str) -> None:
    """Golden captures, looked at."""
    told = call("next", "--count", "8", "--tz", "Europe/Paris", "-o", output, kube=kube, width=width)
    assert_golden(f"next-{output}-{width}", told.out)


def test_names_alone_for_a_shell_loop(kube: Kube) -> None:
    """-o name gives what every other command takes as its argument."""
    assert call("next", "--count", "1", "-o", "name", kube=kube).out == "billing/ping/0\n"
