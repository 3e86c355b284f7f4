"""The audit log is read as it is written: finished requests only, half a line never."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from cronix_cluster import configs
from cronix_cluster.audit import AuditMark, parse_entry, read_audit

if TYPE_CHECKING:
    from pathlib import Path


def line(verb: str = "update", stage: str = "ResponseComplete", **ref: str) -> bytes:
    entry = {
        "kind": "Event",
        "level": "Metadata",
        "stage": stage,
        "verb": verb,
        "user": {"username": "system:serviceaccount:cronix:operator"},
        "userAgent": "cronix",
        "objectRef": {"resource": "cronjobs", "namespace": "shop", "name": "billing", "apiGroup": "batch", **ref},
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
    }
    return json.dumps(entry).encode() + b"\n"


def test_a_finished_request_is_read_with_its_object_and_user() -> None:
    """Every field that a test filters by."""
    entry = parse_entry(line(subresource="status"), 7)
    assert entry is not None
    assert (entry.verb, entry.resource, entry.subresource, entry.namespace, entry.name) == (
        "update", "cronjobs", "status", "shop", "billing",
    )  # fmt: skip
    assert (entry.user, entry.status, entry.api_group) == ("system:serviceaccount:cronix:operator", 200, "batch")
    assert entry.is_write
    assert entry.offset == 7


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"not json\n",
        b"[]\n",
        b"{}\n",
        b'{"stage": "ResponseComplete"}\n',
        line(stage="ResponseStarted"),
        line(stage="RequestReceived"),
        line(stage="Panic"),
    ],
)
def test_other_stages_and_other_lines_are_no_entries(raw: bytes) -> None:
    """A watch's start must not be counted beside its end, and noise must not stop the reading."""
    assert parse_entry(raw, 0) is None


@pytest.mark.parametrize("verb", ["get", "list", "watch"])
def test_reading_is_no_write(verb: str) -> None:
    """Counting writes must not count the operator's watches."""
    entry = parse_entry(line(verb), 0)
    assert entry is not None
    assert not entry.is_write


def test_a_line_being_written_is_read_the_next_time(tmp_path: Path) -> None:
    """The offset of the last entry is where to go on: nothing twice, nothing lost."""
    log = tmp_path / "audit.log"
    first, second = line(name="a"), line(name="b")
    log.write_bytes(first + second[:40])
    (entry,) = read_audit(0, log)
    assert entry.offset == len(first)
    log.write_bytes(first + second)
    assert [e.name for e in read_audit(entry.offset, log)] == ["b"]


def test_a_mark_sees_only_what_comes_after_it(tmp_path: Path) -> None:
    """And filters by verb, resource with subresource, user, name and namespace."""
    log = tmp_path / "audit.log"
    log.write_bytes(line("create", name="before"))
    mark = AuditMark(log, settle_seconds=0)
    with log.open("ab") as file:
        file.write(line("create", name="a") + line("update", name="a", subresource="status") + line("get", name="a"))
        file.write(line("delete", name="b", namespace="other"))
    assert [e.name for e in mark.writes(verb="create")] == ["a"]
    assert [e.verb for e in mark.writes(resource="cronjobs/status")] == ["update"]
    assert [e.verb for e in mark.entries(name="a", resource="cronjobs")] == ["create", "get"]
    assert mark.writes(user="somebody else") == []
    assert [e.name for e in mark.writes(namespace="other")] == ["b"]
    assert mark.count_writes() == Counter(
        {("create", "cronjobs"): 1, ("update", "cronjobs/status"): 1, ("delete", "cronjobs"): 1}
    )


def test_the_policy_never_logs_an_object() -> None:
    """Level Request or RequestResponse would write every Secret's value into the log (the e2e searches for it)."""
    policy: dict[str, Any] = json.loads(configs.audit_policy())
    assert {rule["level"] for rule in policy["rules"]} == {"None", "Metadata"}
    assert policy["rules"][-1] == {"level": "Metadata"}, "everything that no rule leaves out is logged"


def test_no_write_is_left_out_of_the_log_but_the_machinerys_leases() -> None:
    """A test that counts writes must see them all."""
    policy: dict[str, Any] = json.loads(configs.audit_policy())
    for rule in policy["rules"][:-1]:
        reads_only = set(rule.get("verbs", [])) <= {"get", "list", "watch"} and rule.get("verbs")
        leases = rule.get("namespaces") == ["kube-system", "kube-node-lease"]
        assert reads_only or leases or "nonResourceURLs" in rule, rule
