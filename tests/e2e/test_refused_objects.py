"""What the API server refuses fails alone: the other jobs are in step, and the condition says what to do."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from e2e.bulk import Bulk, Call, cron_jobs
from e2e.e2e_helpers import Kubectl, Place, cronix_app, job, manifest, wait_until

POLICY = "admissionregistration.k8s.io/v1"


def _inline(app: str, *jobs: dict[str, Any]) -> dict[str, Any]:
    return cronix_app(app, {"inline": manifest(app, *jobs)})


def _only(namespace: str) -> dict[str, Any]:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


@pytest.fixture
def denying_policy(kubectl: Kubectl, namespace: str, kubeconfig: Path) -> Iterator[None]:
    """A real ValidatingAdmissionPolicy that denies CronJobs whose name has `denied` in it, in force."""
    match = {"resourceRules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"]}]}
    match["resourceRules"][0]["resources"] = ["cronjobs"]
    rule = {"expression": "!object.metadata.name.contains('denied')", "message": "no CronJob of this name here"}
    policy = {
        "apiVersion": POLICY,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {"matchConstraints": match, "validations": [rule]},
    }
    binding = {
        "apiVersion": POLICY,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {
            "policyName": namespace,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": _only(namespace)},
        },
    }
    kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": [policy, binding]})
    bulk = Bulk(kubeconfig)
    wait_until(lambda: not _can_make(bulk, namespace, "denied"), 60, "the policy is in force")
    yield
    kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", namespace)


def _can_make(bulk: Bulk, namespace: str, name: str) -> bool:
    pod = {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}
    spec = {"schedule": "@yearly", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}
    return bulk.one(Call("POST", cron_jobs(namespace), body, query={"dryRun": "All"})).ok


def test_a_denied_job_and_a_bad_time_zone_fail_alone_and_a_long_name_is_no_fault(
    place: Place, denying_policy: None
) -> None:
    """Issue of one job, told with its cure; the job of 63 characters gets a name that fits."""
    long_name = "j" * 63
    jobs = [job("good", "0 3 * * *"), job("denied", "0 3 * * *"), job(long_name, "0 3 * * *")]
    place.apply(_inline("shop", *jobs, job("zone", "0 3 * * *", timezone="Mars/Olympus")))

    message = place.wait_condition("shop", "False", "ApplyFailed")
    assert "no CronJob of this name here" in message
    assert "have the policy let this CronJob through" in message
    status = place.get("cxa", "shop")["status"]
    assert {row["name"]: row["reason"] for row in status["invalidJobs"]} == {
        "denied": "ApplyFailed",
        "zone": "UnknownTimeZone",
    }
    assert [row["name"] for row in status["jobs"]] == ["good", long_name]
    names = place.names("cronjobs")
    assert len(names) == 2
    assert all(len(name) <= 52 for name in names)


def test_a_quota_lets_in_what_fits_and_the_rest_follows_when_it_is_raised(place: Place) -> None:
    """A ResourceQuota on CronJobs: as many as fit are made, the rest is told, and made without anybody's doing."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
    place.apply(quota | {"spec": {"hard": {"count/cronjobs.batch": "2"}}})
    wait_until(lambda: place.get("quota", "few")["status"].get("used"), 60, "the quota is in force")
    place.apply(_inline("shop", *(job(f"j{n}", "0 3 * * *") for n in range(4))))

    message = place.wait_condition("shop", "False", "ApplyFailed")
    assert "exceeded quota: few" in message
    assert "raise that ResourceQuota" in message
    assert len(place.names("cronjobs")) == 2

    place.apply(quota | {"spec": {"hard": {"count/cronjobs.batch": "9"}}})
    place.wait_ready("shop", 180)
    assert len(place.names("cronjobs")) == 4


class Webhook:
    """A mutating webhook on loopback that runs `patch` on every CronJob and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.patch: Callable[[int], list[dict[str, Any]]] = lambda call: []
        authority = trustme.CA()
        self.bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.calls += 1
                patch = base64.b64encode(json.dumps(webhook.patch(webhook.calls)).encode()).decode()
                answer = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
                body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer})
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler

    def configuration(self, namespace: str) -> dict[str, Any]:
        rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["cronjobs"]}
        hook = {
            "name": "mutate.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self.server.server_port}/", "caBundle": self.bundle},
            "rules": [rule | {"operations": ["CREATE", "UPDATE"]}],
            "namespaceSelector": _only(namespace),
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        }
        metadata = {"name": namespace}
        return {"apiVersion": POLICY, "kind": "MutatingWebhookConfiguration", "metadata": metadata, "webhooks": [hook]}


@pytest.fixture
def webhook(kubectl: Kubectl, namespace: str) -> Iterator[Webhook]:
    """Registered with the API server for this namespace only (which runs on this host, so loopback reaches us)."""
    hook = Webhook()
    kubectl("apply", "-f", "-", stdin=hook.configuration(namespace))
    yield hook
    kubectl("delete", "mutatingwebhookconfiguration", namespace)
    hook.server.shutdown()
    hook.server.server_close()


POD = "/spec/jobTemplate/spec/template/spec"
ALIASES = [{"op": "add", "path": f"{POD}/hostAliases", "value": [{"ip": "10.9.8.7", "hostnames": ["mesh"]}]}]


def _restless(call: int) -> list[dict[str, Any]]:
    """Another value on every write."""
    value = [{"ip": f"10.9.8.{call % 250}", "hostnames": ["mesh"]}]
    return [{"op": "add", "path": f"{POD}/hostAliases", "value": value}]


@pytest.mark.parametrize("kind", ["steady", "restless"])
def test_what_the_cluster_itself_writes_into_every_cron_job_is_no_drift(
    place: Place, webhook: Webhook, kind: str
) -> None:
    """A mutating webhook, even one that writes another value each time, makes no loop: drift, changes, resyncs go on.

    (MutatingAdmissionPolicy is beta and off by default in Kubernetes 1.34; to the operator both look the same.)
    """
    place.apply(_inline("shop", job("keep", "0 3 * * *")))
    place.wait_ready("shop")
    webhook.patch = _restless if kind == "restless" else lambda call: ALIASES

    def patched(**spec: Any) -> None:
        place.kubectl("patch", "cronjob", "cronix-shop-keep-0", "--type=merge", "-p", json.dumps({"spec": spec}))

    wait_until(lambda: _mutated(place, patched), 60, "the webhook is in force")
    for suspended in (True, True):
        patched(suspend=suspended)
        wait_until(lambda: not place.get("cronjob", "cronix-shop-keep-0")["spec"]["suspend"], 60, "drift is put back")
    place.apply(_inline("shop", job("keep", "0 4 * * *")))
    wait_until(lambda: place.get("cronjob", "cronix-shop-keep-0")["spec"]["schedule"] == "0 4 * * *", 60, "a change")
    place.wait_ready("shop")
    wait_until(lambda: _is_quiet(webhook), 60, "nobody writes when nothing happens")
    assert _mutated(place, lambda: None), "what the webhook wrote is left alone"


def _is_quiet(webhook: Webhook) -> bool:
    """No write for eight seconds; the last answer to what has happened may still be on its way before."""
    calls = webhook.calls
    time.sleep(8)
    return webhook.calls == calls


def _mutated(place: Place, touch: Callable[[], None]) -> bool:
    touch()
    spec = place.get("cronjob", "cronix-shop-keep-0")["spec"]
    return "hostAliases" in spec["jobTemplate"]["spec"]["template"]["spec"]
