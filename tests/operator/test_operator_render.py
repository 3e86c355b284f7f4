"""App and manifest in, CronJobs out: golden files reviewed by eye, and what holds for every one of them (T6, J6, J8).

`CRONIX_UPDATE_GOLDEN=1 pytest tests/operator/test_operator_render.py` writes the golden files anew: read the diff.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronix_operator.core import naming
from cronix_operator.core.errors import Stalled
from cronix_operator.core.kinds import knobs_for
from cronix_operator.core.model import App
from cronix_operator.core.render import render, spec_hash
from cronix_operator.core.settle import accept
from cronix_protocol.jobfile import parse_job_file
from operator_fakes.builders import ENDPOINT, LIMITS, ZONES, desired, document, job, make_app, manifest, one

GOLDEN = Path(__file__).parent / "golden"
EVERYTHING: dict[str, Any] = {
    "signing": {
        "keys": [
            {"name": "NEW", "secretKeyRef": {"name": "keys", "key": "new"}},
            {"name": "a/../b", "secretKeyRef": {"name": "keys", "key": "old"}},
        ],
        "extraSchemes": [
            {"type": "GitHub", "secretKeyRef": {"name": "hub", "key": "secret"}, "sha1": True},
            {"type": "QStash", "secretKeyRef": {"name": "stash", "key": "current"},
             "nextSecretKeyRef": {"name": "stash", "key": "next"}},
            {"type": "SignedForm", "secretKeyRef": {"name": "rails", "key": "secret"}, "jobs": ["generate-*"]},
        ],
    },
    "connection": {
        "headers": [
            {"name": "X-Tenant", "value": "blue"},
            {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "token"}}},
        ],
        "tls": {"caConfigMapKeyRef": {"name": "ca"}, "clientCertSecretRef": {"name": "client"}},
    },
    "targets": {"rewriteBaseURL": "https://gate.example.com"},
    "jobDefaults": {
        "startingDeadlineSeconds": 60, "successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 2,
        "ttlSecondsAfterFinished": 600, "jitterSeconds": 30, "retryOn": [429, 503], "honorRetryAfter": True,
        "previousSuccessTime": True,
        "pod": {
            "labels": {"team": "red"},
            "annotations": {"sidecar.istio.io/inject": "false"},
            "resources": {"requests": {"cpu": "20m"}, "limits": {"memory": "64Mi"}},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "priorityClassName": "low",
            "imagePullSecrets": [{"name": "pull"}],
        },
    },
}  # fmt: skip
FULL_JOB = job(
    "settle",
    ["0 3 * * *", "@every5M"],
    timezone="America/New_York",
    request={"method": "PUT", "headers": {"X-A": "$(HOME) $$"}, "body": '{"pay": "$(CRONIX_JOB)"}\u0000é'},
    policy={
        "concurrency": "Replace",
        "timeout_seconds": 20,
        "retries": {"max_attempts": 2, "min_seconds": 5, "max_seconds": 9},
    },
    auth={"secret_refs": ["NEW", "a/../b"]},
)


@pytest.mark.parametrize(
    ("name", "app", "entry"),
    [("minimal", make_app(), job("sync")), ("everything", make_app(suspend=True, **EVERYTHING), FULL_JOB)],
)
def test_what_is_rendered_is_what_was_reviewed(name: str, app: App, entry: dict[str, Any]) -> None:
    bodies = [want.body for want in desired(app, entry).cron_jobs]
    text = json.dumps(bodies, indent=2) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("CRONIX_UPDATE_GOLDEN"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def job_file_of(body: Any) -> str:
    text: str = container_of(body)["env"][0]["value"]
    return text


def container_of(body: Any) -> dict[str, Any]:
    (container,) = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_the_job_file_reaches_the_signer_as_the_app_wrote_it() -> None:
    """No `$` leaves the renderer, for the kubelet would expand `$(NAME)`; the signer reads back every byte."""
    for want in desired(make_app(**EVERYTHING), FULL_JOB).cron_jobs:
        text = job_file_of(want.body)
        assert "$" not in text
        assert text.isascii()
        read = parse_job_file(text)
        assert read.body == FULL_JOB["request"]["body"].encode()
        assert read.headers[0].value == "$(HOME) $$"
        assert read.fire.cronjob == want.name
        assert read.fire.target is not None
        assert read.fire.target.host == "gate.example.com"


def test_a_key_with_a_path_in_its_name_is_mounted_under_a_hash() -> None:
    spec = one(make_app(**EVERYTHING), {**FULL_JOB, "schedules": ["0 3 * * *"]}).body["spec"]
    keys = spec["jobTemplate"]["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"]
    paths = [item["path"] for source in keys for item in source["secret"]["items"]]
    assert paths[0] == "NEW"
    assert paths[1].startswith("key-")
    assert all("/" not in path for path in paths)


@pytest.mark.parametrize(
    ("entry", "index", "reason"),
    [
        (job("big", request={"body": "x" * 66_000}), 0, "JobTooLarge"),
        (job("big", request={"body": "$" * 11_000}), 0, "JobTooLarge"),
        (job("zone", timezone="Local"), None, "UnknownTimeZone"),
        (job("slow",
             policy={"retries": {"max_attempts": 3, "max_seconds": 10**6, "min_seconds": 10**5}}), 0, "BudgetTooLong"),
        (job("host", request={"headers": {"Host": "x"}}), None, "ReservedHeader"),
        (job("keys", auth={"secret_refs": ["a/b"]}), 0, "KeyNotMapped"),
        (job("cron", "0 0 L * *"), None, "InvalidSchedule"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_fails_alone(entry: dict[str, Any], index: int | None, reason: str) -> None:
    """J8: sizes at their limits are a fault of that job; the others go on."""
    found = desired(make_app(), entry, "fine")
    assert [(fault.job, fault.index, fault.reason) for fault in found.faults] == [(entry["name"], index, reason)]
    assert [want.job for want in found.cron_jobs] == ["fine"]


FORM = {"type": "SignedForm", "secretKeyRef": {"name": "rails", "key": "secret"}}
SIGNING = {"secretRef": {"name": "keys"}}


@pytest.mark.parametrize(
    ("request_fields", "place"),
    [
        ({"body": "{}"}, "request.body"),
        ({"method": "GET"}, "request.method"),
        ({"headers": {"Content-Type": "application/json"}}, "request.headers/Content-Type"),
    ],
)
def test_a_job_that_cannot_be_a_signed_form_fails_alone(request_fields: dict[str, Any], place: str) -> None:
    """It is told why, and how to leave it out; the jobs without a body go on."""
    app = make_app(signing={**SIGNING, "extraSchemes": [FORM]})
    found = desired(app, job("report", request=request_fields), "fine")
    ((name, reason, message),) = [(fault.job, fault.reason, fault.message) for fault in found.faults]
    assert (name, reason) == ("report", "SchemeNotPossible")
    assert message.startswith(f"{place}: ")
    assert "spec.signing.extraSchemes[].jobs" in message
    assert [want.job for want in found.cron_jobs] == ["fine"]
    elsewhere = make_app(signing={**SIGNING, "extraSchemes": [{**FORM, "jobs": ["fi*"]}]})
    assert desired(elsewhere, job("report", request=request_fields), "fine").faults == ()


def test_a_job_gets_the_keys_of_its_own_schemes_and_no_others() -> None:
    """What a job does not use is not in its pod; of two entries of a type the first that names the job counts."""

    def hub(secret: str, *jobs: str) -> dict[str, Any]:
        return {
            "type": "GitHub",
            "secretKeyRef": {"name": secret, "key": "k"},
            **({"jobs": list(jobs)} if jobs else {}),
        }

    app = make_app(signing={**SIGNING, "extraSchemes": [hub("a", "sync-*"), {**FORM, "jobs": ["form"]}, hub("b")]})
    mounted = {}
    for want in desired(app, "sync-x", "form", "other").cron_jobs:
        volumes = want.body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
        sources = next(v for v in volumes if v["name"] == "schemes")["projected"]["sources"]
        mounted[want.job] = [source["secret"]["name"] for source in sources]
        told = [(s.kind, s.files) for s in parse_job_file(job_file_of(want.body)).fire.schemes]
        paths = [item["path"] for source in sources for item in source["secret"]["items"]]
        assert [f"/var/run/cronix/schemes/{path}" for path in paths] == [file for _, files in told for file in files]
    assert mounted == {"sync-x": ["a"], "form": ["rails", "b"], "other": ["b"]}


def test_without_extra_schemes_nothing_is_rendered_for_them() -> None:
    """An operator of this version must not rewrite the CronJobs of one before it."""
    body = one(make_app()).body
    assert "schemes" not in json.dumps(body)


def test_a_job_file_at_the_limit_is_rendered() -> None:
    """J8."""
    want = one(make_app(), job("big", request={"body": "x" * 64_000}))
    assert 64_000 < len(job_file_of(want.body)) <= 64 * 1024


def test_more_cron_jobs_than_allowed_are_refused_whole() -> None:
    """J6: 16,384 CronJobs from one legal manifest; nothing changes."""
    many = document(*(job(f"j{n}", ["0 * * * *"] * 64) for n in range(9)))
    with pytest.raises(Stalled) as caught:
        accept(make_app(), None, many, 512)
    assert caught.value.reason == "TooManyJobs"
    assert "576" in caught.value.message
    assert len(accept(make_app(), None, document("a", job("b", ["0 * * * *"] * 2)), 3).jobs) == 2


def test_the_first_override_that_says_a_field_wins() -> None:
    app = make_app(
        jobDefaults={"jitterSeconds": 1, "ttlSecondsAfterFinished": 100},
        overrides=[{"jobs": ["a*"], "jitterSeconds": 2}, {"jobs": ["ab"], "jitterSeconds": 3, "retryOn": [429]}],
    )
    knobs = knobs_for(app, "ab")
    assert (knobs.jitter_seconds, knobs.retry_on, knobs.ttl_seconds_after_finished) == (2, (429,), 100)
    assert knobs_for(app, "b").jitter_seconds == 1


@pytest.mark.parametrize(
    ("app", "suspended"),
    [
        (make_app(), False),
        (make_app(suspend=True), True),
        (make_app(annotations={"cronix.dev/suspended-jobs": "sync"}), True),
        (make_app(annotations={"cronix.dev/suspended-jobs": "other"}), False),
    ],
)
def test_suspend(app: App, suspended: bool) -> None:
    assert one(app).body["spec"]["suspend"] is suspended


TEXT = st.text("abc/-._=", max_size=6)
KNOBS = st.fixed_dictionaries(
    {},
    optional={
        "startingDeadlineSeconds": st.integers(10, 86400),
        "ttlSecondsAfterFinished": st.integers(60, 10**6),
        "jitterSeconds": st.integers(0, 600),
        "retryOn": st.lists(st.integers(400, 599), max_size=3, unique=True),
        "honorRetryAfter": st.booleans(),
        "previousSuccessTime": st.booleans(),
        "pod": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(TEXT, TEXT, max_size=2),
                "annotations": st.dictionaries(TEXT, TEXT, max_size=2),
                "nodeSelector": st.dictionaries(TEXT, TEXT, max_size=2),
                "tolerations": st.lists(st.fixed_dictionaries({"key": TEXT}), max_size=2),
                "affinity": st.fixed_dictionaries({}, optional={"nodeAffinity": st.dictionaries(TEXT, TEXT)}),
                "priorityClassName": TEXT,
                "resources": st.fixed_dictionaries({}, optional={"limits": st.dictionaries(TEXT, TEXT, max_size=2)}),
            },
        ),
    },
)
POD_SPEC = {
    "activeDeadlineSeconds", "automountServiceAccountToken", "containers", "dnsPolicy", "enableServiceLinks",
    "restartPolicy", "schedulerName", "securityContext", "terminationGracePeriodSeconds", "volumes", "nodeSelector",
    "tolerations", "affinity", "priorityClassName", "imagePullSecrets",
}  # fmt: skip


@pytest.mark.law
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(knobs=KNOBS, override=KNOBS, suspend=st.booleans())
def test_whatever_the_tenant_says_the_pod_keeps_its_shape(
    knobs: dict[str, Any], override: dict[str, Any], suspend: bool
) -> None:
    """T6, K1: fixed image, no token, no other volume, restricted; keys only as files of the app's own Secrets."""
    app = make_app(jobDefaults=knobs, overrides=[{"jobs": ["*"], **override}], suspend=suspend)
    want = one(app)
    template = want.body["spec"]["jobTemplate"]["spec"]["template"]
    pod, container = template["spec"], container_of(want.body)
    assert set(pod) <= POD_SPEC
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["image"] == LIMITS.signer_image
    assert container["securityContext"] == container_of(one(make_app()).body)["securityContext"]
    assert set(container) == set(container_of(one(make_app()).body))
    secrets = [volume["projected"]["sources"] for volume in pod["volumes"] if "projected" in volume]
    assert {secret["secret"]["name"] for sources in secrets for secret in sources} == {"keys"}
    others = [volume["configMap"] for volume in pod["volumes"] if "projected" not in volume]
    asks = override.get("previousSuccessTime", knobs.get("previousSuccessTime", False))
    assert [(c["name"], c["optional"]) for c in others] == [("cronix-billing-previous-success", True)] * asks
    assert naming.labels("billing", "sync", 0).items() <= template["metadata"]["labels"].items()
    assert want.spec_hash == spec_hash(json.loads(json.dumps(want.body["spec"])))
    assert want.body["spec"]["suspend"] is suspend


def test_an_upgraded_signer_changes_the_spec_and_nothing_else_does() -> None:
    """K2: the reference is rendered as it was given, digest and all; no tenant and no manifest has a say in it."""
    app, read = make_app(), manifest("sync")
    newer = dataclasses.replace(LIMITS, signer_image="registry.example.com/cronix-signer:2")
    hashes = {render(app, read, ENDPOINT, limits, ZONES).cron_jobs[0].spec_hash for limits in (LIMITS, LIMITS, newer)}
    assert len(hashes) == 2
    (container,) = one(app).body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == LIMITS.signer_image
    assert "@sha256:" in LIMITS.signer_image
