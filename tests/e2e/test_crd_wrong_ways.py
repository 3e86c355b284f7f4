"""What a new user gets wrong, and what the API server answers; on a real one, for only it runs CEL and strict decoding.

The CRD is installed under a group of its own, so that neither the operator nor other tests meet these objects.
"""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from crd.crd_helpers import CRD_FILE, load_crd, page_examples
from e2e.e2e_helpers import changed, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.conftest import Kubectl

# What this file sets up once must be set up once: its tests stay on one of the parallel workers.
pytestmark = pytest.mark.sets_up_once

SHORTEST: dict[str, Any] = {
    "kind": "CronixApp",
    "metadata": {"name": "billing"},
    "spec": {"source": {"service": {"name": "billing"}}, "signing": {"secretRef": {"name": "billing-cron"}}},
}
WRONG_WAYS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("crd_wrong_ways.yaml").read_text("utf-8"))


def written(changes: dict[str, Any]) -> dict[str, Any]:
    """The shortest CronixApp with these changes; None removes a field."""
    return changed(SHORTEST, changes)


class Apps:
    """Writes CronixApps of a private API group."""

    def __init__(self, kubectl: Kubectl, group: str, namespace: str) -> None:
        self.kubectl, self.group, self.namespace = kubectl, group, namespace

    def create(self, app: dict[str, Any], *, dry_run: bool = True) -> dict[str, Any]:
        """Create it and return what the API server made of it; AssertionError with its words when it refuses."""
        body = {**app, "apiVersion": f"{self.group}/v1alpha1"}
        mode = "--dry-run=server" if dry_run else "--dry-run=none"
        arguments = ("-n", self.namespace, "create", mode, "--validate=strict", "-o", "json", "-f", "-")
        answer = self.kubectl(*arguments, stdin=body)
        assert isinstance(answer, dict)
        return answer

    def refused(self, app: dict[str, Any]) -> str:
        with pytest.raises(AssertionError) as caught:
            self.create(app)
        return str(caught.value)


def _is_established(kubectl: Kubectl, name: str) -> bool:
    # Not `kubectl wait`: it fails outright while the object has no conditions yet.
    conditions = kubectl("get", "crd", name, "-o", "json").get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


@pytest.fixture(scope="module")
def group(kubectl: Kubectl) -> Iterator[str]:
    """A copy of the CRD, established, under a group that nobody watches."""
    name = f"wrong-ways-{secrets.token_hex(4)}.cronix.test"
    text = CRD_FILE.read_text("utf-8").replace("cronixapps.cronix.dev", f"cronixapps.{name}")
    text = text.replace("  group: cronix.dev\n", f"  group: {name}\n").replace("- cxa\n", f"- cxa{name[11:15]}\n")
    kubectl("create", "-f", "-", stdin=text)
    try:
        wait_until(lambda: _is_established(kubectl, f"cronixapps.{name}"), 60, "the CRD is established")
        yield name
    finally:
        kubectl("delete", "crd", f"cronixapps.{name}", "--wait=false")


@pytest.fixture(scope="module")
def apps(kubectl: Kubectl, group: str) -> Iterator[Apps]:
    """One namespace for all cases: nearly all of them are dry runs."""
    name = f"e2e-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        made = Apps(kubectl, group, name)
        until_served(made)
        yield made
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def until_served(apps: Apps) -> None:
    """An API server may say Established a moment before it serves the new kind, and explains it later still."""
    wait_until(lambda: apps.create(SHORTEST), 60, "the new kind is served")
    explain = ("explain", "cronixapps.spec", f"--api-version={apps.group}/v1alpha1")
    wait_until(lambda: apps.kubectl(*explain), 60, "the new kind is explained")


def test_the_true_crd_is_accepted(kubectl: Kubectl) -> None:
    """Costs of the CEL rules included: the API server counts them when the CRD is written."""
    answer = kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(CRD_FILE))
    assert "cronixapps.cronix.dev serverside-applied" in answer


@pytest.mark.parametrize("case", WRONG_WAYS, ids=lambda case: str(case["situation"]).replace(" ", "-"))
def test_what_a_new_user_gets_wrong_is_answered_with_what_to_write(apps: Apps, case: dict[str, Any]) -> None:
    answer = apps.refused(written(case["write"]))
    assert case["says"] in answer
    assert case["at"] in answer


def test_there_are_at_least_twenty_wrong_ways() -> None:
    assert len({case["situation"] for case in WRONG_WAYS}) == len(WRONG_WAYS) >= 20


@pytest.mark.parametrize("example", page_examples(), ids=lambda example: str(example["metadata"]["name"]))
def test_every_example_of_the_reference_page_is_accepted(apps: Apps, example: dict[str, Any]) -> None:
    apps.create(example)


RIGHT: dict[str, dict[str, Any]] = {
    "a-port-by-number": {"spec.source.service.port": 8080},
    "a-port-by-name": {"spec.source.service.port": "http-web1"},
    "a-URL-without-a-path": {"spec.source": {"url": "https://billing.example.com"}},
    "a-Service-by-its-short-name": {"spec.source": {"url": "http://billing:8080/cron"}},
    "a-Service-by-its-full-name": {"spec.source": {"url": "http://billing.shop.svc.cluster.local/cron?x=a@b"}},
    "http-with-permission": {"spec.source": {"url": "http://billing.example.com"}, "spec.allowInsecureHTTP": True},
    "an-app-id-beside-a-name-with-a-dot": {"metadata.name": "billing.v2", "spec.app": "billing"},
    "hosts": {"spec.targets": {"allowedHosts": ["api.example.com", "*.example.com", "a.shop.svc:8080", "10.1.2.3"]}},
    "a-base-URL-inside": {"spec.targets": {"rewriteBaseURL": "http://billing.shop.svc:8080"}},
    "a-base-URL-with-a-slash": {"spec.targets": {"rewriteBaseURL": "https://gateway.example.com/"}},
    "durations": {"spec.source.interval": "1h30m", "spec.source.timeout": "60s"},
    "the-longest-interval": {"spec.source.interval": "24h"},
    "quantities": {"spec.jobDefaults.pod": {"resources": {"requests": {"cpu": 1, "memory": "32Mi"}}}},
    "an-affinity": {
        "spec.jobDefaults.pod": {
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
        }
    },
    "every-extra-scheme": {
        "spec.signing.extraSchemes": [
            {"type": kind, "secretKeyRef": {"name": "s", "key": "k"}}
            for kind in ("StandardWebhooks", "GitHub", "Stripe", "QStash", "SignedForm")
        ]
    },
    "an-empty-header": {"spec.connection": {"headers": [{"name": "X-A", "value": ""}]}},
}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT.keys())
def test_what_is_legal_is_accepted(apps: Apps, changes: dict[str, Any]) -> None:
    """The rules refuse nonsense only; what needs the namespace or a look at the cluster is the operator's to judge."""
    apps.create(written(changes))


def test_a_cronixapp_as_large_as_the_bounds_allow_is_accepted(apps: Apps) -> None:
    """J8: every list at its limit at once; the rules' costs at run time are within what the API server grants, too."""
    headers = [{"name": f"X-{i:02}-{'a' * 120}", "value": "v" * 4096} for i in range(16)]
    hosts = [f"{i:02}{'a' * 60}.{'b' * 63}.{'c' * 63}.example.com:8080" for i in range(32)]
    keys = [{"name": f"K{i}" + "k" * 120, "secretKeyRef": {"name": "s" * 253, "key": "k" * 253}} for i in range(8)]
    labels = {f"example.com/label-{i}": "v" * 63 for i in range(32)}
    overrides = [
        {"jobs": [f"{i:02}-{j:02}-{'x' * 50}*" for j in range(32)], "jitterSeconds": 600, "pod": {"labels": labels}}
        for i in range(64)
    ]
    ref = {"name": "s" * 253, "key": "k" * 253}
    globs = [f"{j:02}-{'x' * 59}*" for j in range(32)]
    schemes = [{"type": "GitHub", "sha1": True, "secretKeyRef": ref, "nextSecretKeyRef": ref, "jobs": globs}] * 16
    changes = {
        "spec.signing": {"keys": keys, "extraSchemes": schemes},
        "spec.connection": {"headers": headers},
        "spec.targets": {"allowedHosts": hosts},
        "spec.overrides": overrides,
    }
    answer = apps.create(written(changes))
    assert len(json.dumps(answer)) > 300_000


def test_one_more_than_the_bounds_allow_is_refused(apps: Apps) -> None:
    override = {"jobs": ["a"], "jitterSeconds": 1}
    assert "must have at most 64 items" in apps.refused(written({"spec.overrides": [override] * 65}))


def test_the_defaults_are_visible_in_the_object(apps: Apps) -> None:
    """Who reads the object sees what is in force; an upgrade of the CRD does not change it under a running app."""
    spec = apps.create(SHORTEST)["spec"]
    assert spec == {
        "allowInsecureHTTP": False,
        "suspend": False,
        "source": {
            "interval": "5m",
            "timeout": "10s",
            "service": {"name": "billing", "path": "/.well-known/cron-manifest"},
        },
        "signing": {"secretRef": {"name": "billing-cron"}},
        "prune": {"maxDeletePercent": 50},
        "jobDefaults": {
            "startingDeadlineSeconds": 300,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
            "jitterSeconds": 0,
            "honorRetryAfter": False,
            "previousSuccessTime": False,
        },
    }


def test_an_app_id_can_be_corrected(apps: Apps, kubectl: Kubectl) -> None:
    """The condition of a manifest that is another app's says `write spec.app`; that must then be possible."""
    apps.create(written({"metadata.name": "corrected", "spec.app": "bilding"}), dry_run=False)
    name = f"cronixapps.{apps.group}/corrected"
    patched = kubectl(
        "-n", apps.namespace, "patch", name, "--type=merge", "-p", '{"spec":{"app":"billing"}}', "-o", "json"
    )
    assert patched["spec"]["app"] == "billing"


def test_kubectl_shows_the_columns_and_finds_suspended_apps(apps: Apps, kubectl: Kubectl) -> None:
    apps.create(written({"metadata.name": "shown", "spec.suspend": True}), dry_run=False)
    plural = f"cronixapps.{apps.group}"
    status = {
        "observedGeneration": 1,
        "summary": {"jobs": 9},
        "nextRun": {"time": "2126-11-22T05:15:00Z", "job": "nightly/0"},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Suspended",
                "message": "9 CronJobs in step",
                "lastTransitionTime": "2026-11-22T05:00:00Z",
                "observedGeneration": 1,
            }
        ],
    }
    assert apps.create(written({"metadata.name": "unseen"}))["status"] == {"observedGeneration": -1}
    patch = json.dumps({"status": status})
    kubectl("-n", apps.namespace, "patch", plural, "shown", "--subresource=status", "--type=merge", "-p", patch)

    head, row = kubectl(
        "-n", apps.namespace, "get", plural, "--field-selector", "spec.suspend=true", "-o", "wide"
    ).splitlines()

    columns = load_crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    assert re.split(r" {2,}", head.strip()) == ["NAME", *(column["name"].upper() for column in columns)]
    assert re.split(r" {2,}", row)[-1].strip() == "9 CronJobs in step"
    assert {"shown", "9", "True", "Suspended", "2126-11-22T05:15:00Z"} <= set(row.split())
    waited = kubectl("-n", apps.namespace, "wait", f"{plural}/shown", "--for=condition=Ready", "--timeout=60s")
    assert "condition met" in waited


def test_kubectl_explains_every_top_level_field(apps: Apps, kubectl: Kubectl) -> None:
    text = kubectl("explain", "cronixapps.spec", f"--api-version={apps.group}/v1alpha1")
    for field in ("source", "signing", "connection", "targets", "prune", "jobDefaults", "overrides"):
        assert field in text
    assert "no description" not in text.lower()
