"""What the operator writes into status fits the CRD's schema at its worst, and is all that the schema offers.

A status that breaks one bound is refused as a whole by the API server, and the CronixApp would then say nothing at all.
"""

from __future__ import annotations

import copy
import dataclasses
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest

from crd.crd_helpers import ROOT, Schema, closed, fields, root_schema, status_fields
from cronix_operator.core.app import parse_app
from cronix_operator.core.conditional import usable_etag
from cronix_operator.core.errors import ReconcileError, Stalled, Waiting
from cronix_operator.core.history import History, record
from cronix_operator.core.memory import Good, Known, Memory
from cronix_operator.core.model import DesiredCronJob, JobFault
from cronix_operator.core.outcome import Outcome
from cronix_operator.core.previous import config_map_name
from cronix_operator.core.rotation import KeyRecord, Rotation
from cronix_operator.core.runlog import Log
from cronix_operator.core.runs import Run, Trouble
from cronix_operator.core.slots import Slots
from cronix_operator.core.status import summarize
from cronix_protocol.manifest import Manifest

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
LONG = "long " * 2000
JOB = "j" * 63
APP: dict[str, Any] = {
    "metadata": {"namespace": "n" * 63, "name": "a" * 63, "uid": "u" * 36, "generation": 7},
    "spec": {"source": {"service": {"name": "s"}}, "signing": {"secretRef": {"name": "k"}}},
}


def status_validator() -> jsonschema.Draft202012Validator:
    schema = closed(root_schema())["properties"]["status"]
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def row(number: int) -> tuple[DesiredCronJob, dict[str, Any]]:
    name = f"{'c' * 48}{number:04}"
    want = DesiredCronJob(
        name=name,
        job=JOB,
        index=number % 64,
        schedule="*/5 * * * *" + " " * 200,
        time_zone="America/Argentina/ComodRivadavia",
        body={},
        spec_hash="f" * 16,
        job_hash="e" * 16,
    )
    live = {
        "metadata": {"uid": "u" * 36, "name": name, "creationTimestamp": "2026-11-01T00:00:00Z"},
        "spec": {"suspend": False},
        "status": {"lastScheduleTime": "2026-11-22T04:55:00Z", "lastSuccessfulTime": "2026-11-22T04:55:03Z"},
    }
    return want, live


def worst(rows: int = 300, faults: int = 300) -> tuple[Memory, Outcome]:
    in_step = tuple(row(number) for number in range(rows))
    pairs = {want.name: Known(uid="u" * 36, rendered="f" * 16, live="f" * 16) for want, _ in in_step}
    etag = f'W/"{"x" * 250}"'
    assert usable_etag(etag)
    assert not usable_etag(f"x{etag}")
    good = Good(Manifest(1, "a" * 63, ()), "sha256:" + "0" * 64, None, fetched_at=NOW, changed_at=NOW, etag=etag)
    broken = tuple(JobFault(JOB, number % 64, "UnknownTimeZone", LONG) for number in range(faults))
    outcome = Outcome(
        digest=good.digest,
        manifest_changed=True,
        source_fault=Waiting("FetchFailed", LONG),
        job_names=(JOB,) * 256,
        in_step=in_step,
        faults=broken,
        refused=(JobFault(JOB, 63, "ApplyFailed", LONG),),
        done=(),
        warnings={"PruneBlocked": ("PruneBlocked", LONG), "DriftContested": ("DriftContested", LONG)},
        pending_prune=9,
        retry_after_seconds=None,
        success_config_map=config_map_name("a" * 253),
    )
    names = tuple(f"{'k' * 251}{number:02}" for number in range(20))
    records = tuple(KeyRecord(name, "accepted", proven=True, probed_at=NOW) for name in names)
    rotation = Rotation(groups=(names,), records=records, enforced=False, control_at=NOW)
    fault = Waiting("NoKeyAccepted", LONG)
    memory = Memory(good=good, consecutive_failures=10**9, pairs=pairs, source_fault=fault, rotation=rotation)
    return dataclasses.replace(memory, probe_signature="p" * 262144), outcome


def worst_log() -> Log:
    """A CronJob in every kind of trouble, with texts as long as a signer or a kubelet can make them."""
    history = History("u")
    for number in range(100):
        failed = Run(
            cron_job="c" * 52,
            job=JOB,
            index=63,
            job_name="n" * 63,
            job_uid=f"u-{number}",
            run_id="r" * 64,
            slot=NOW,
            manual=False,
            created=NOW,
            started=NOW,
            finished=NOW,
            outcome="RetriesExhausted",
            http_status=503,
            attempts=1000,
            message="m" * 256,
            excerpt="e" * 400,
        )
        history = record(history, failed)
    active = dataclasses.replace(failed, finished=None, outcome="", http_status=None, attempts=0)
    slots = Slots(missed=2**31 - 1, last_missed=NOW)
    return Log(history, slots, active=active, trouble=Trouble("NeverStarted", LONG), under_way=1000)


LOGS = {"u" * 36: worst_log()}


def test_the_largest_status_is_within_every_bound() -> None:
    memory, outcome = worst()
    status = summarize(parse_app(APP), memory, outcome, {}, NOW, LOGS)
    status_validator().validate(status)
    assert (len(status["jobs"]), len(status["invalidJobs"]), len(status["keys"])) == (256, 256, 16)


@pytest.mark.parametrize(
    "error", [Stalled("InvalidSpec", LONG), Waiting("FetchFailed", LONG)], ids=["stalled", "waiting"]
)
def test_the_status_of_a_walk_that_failed_is_within_every_bound(error: ReconcileError) -> None:
    status_validator().validate(summarize(parse_app(APP), Memory(), error, {}, NOW))


def test_a_long_reconcile_at_does_not_silence_the_status() -> None:
    """Anybody who may annotate the CronixApp writes this value, up to 256 KiB of it."""
    body = copy.deepcopy(APP)
    body["metadata"]["annotations"] = {"cronix.dev/reconcile-at": "x" * 260_000}
    memory, outcome = worst(rows=1, faults=0)
    status_validator().validate(summarize(parse_app(body), memory, outcome, {}, NOW))


def written(node: Any, schema: Schema, path: str) -> set[str]:
    """The schema's paths that this value fills."""
    found = set()
    for name, child in schema.get("properties", {}).items():
        if name in node:
            found |= {f"{path}.{name}"} | written(node[name], child, f"{path}.{name}")
            for item in node[name] if "items" in child else ():
                found |= written(item, child["items"], f"{path}.{name}[]")
    return found


def test_the_crd_offers_no_status_that_the_operator_never_writes() -> None:
    """A field that does not work is not in the CRD (NOT_YET in scripts/generate_crd.py)."""
    body = copy.deepcopy(APP)
    body["metadata"]["annotations"] = {"cronix.dev/reconcile-at": "2026-11-22T05:00:00Z"}
    memory, outcome = worst()
    status = summarize(parse_app(body), memory, outcome, {}, NOW, LOGS)
    filled = written(status, root_schema()["properties"]["status"], ".status")
    assert set(status_fields()) - filled == set()


def test_the_crd_offers_no_spec_that_the_operator_never_reads() -> None:
    """Each field's name stands in the operator's parser or in the place that copies the pod's fields."""
    core = ROOT / "operator" / "cronix_operator" / "core"
    text = "\n".join((core / name).read_text("utf-8") for name in ("app.py", "knobs.py", "schemes.py"))
    spec = root_schema()["properties"]["spec"]
    # What is handed on as it is: its inner fields are Kubernetes' own.
    handed_on = ("resources.", "tolerations[]", "affinity.", "imagePullSecrets[]")
    names = {path.rpartition(".")[2] for path, _, _ in fields(spec, "") if not any(part in path for part in handed_on)}
    assert {name for name in names if f'"{name}"' not in text} == set()
