"""Receivers made after the founding documents take runs that Kubernetes fired; foreign and changed ones they refuse."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from cronix_protocol.outcome import parse_outcome
from e2e.conftest import Kubectl
from e2e.e2e_helpers import Place, Puppet, make_namespace, manifest, wait_until

# One namespace and one minute for all tests of this file: they stay on one of the parallel workers.
pytestmark = pytest.mark.sets_up_once

RUN_SECONDS = 150
KEYS = {name: secrets.token_hex(32) for name in ("github", "qstash-current", "qstash-next", "lambda")}
ACCEPTED = 200
DOCUMENTS = {"qstash": 400, "github": 403, "generate-monthly-report": 403, "reconcile": 401}
"""The job that calls each document's receiver, and what that answers when it does not believe the call."""


def jobs(suffix: str) -> list[dict[str, Any]]:
    """A job for each document, every minute, tried once."""
    body = '{"hello": "world", "é": "€"}'
    requests = {
        "qstash": {"url": "https://fn.example", "body": body, "headers": {"Content-Type": "application/json"}},
        "github": {"url": "http://hooks.example/github", "body": body, "headers": {"X-GitHub-Event": "push"}},
        "generate-monthly-report": {"url": "http://rails.example/webhooks/generate-monthly-report?a=%20b"},
        "reconcile": {"url": "http://app.example/api/v1/scheduled/reconcile?a=%20b", "body": body},
    }
    return [
        {"name": name + suffix, "schedule": "* * * * *", "request": request, "policy": {"retries": {"max_attempts": 1}}}
        for name, request in requests.items()
    ]


def app(name: str, secret: str, *listed: dict[str, Any], **keys: str) -> dict[str, Any]:
    """A CronixApp whose jobs go to the receivers' Service and carry what each document's receiver looks for."""
    schemes = [
        {"type": "QStash", "jobs": ["qstash*"]} | ref(secret, keys.get("qstash", "qstash-next")),
        {"type": "GitHub", "jobs": ["github*"], "sha1": True} | ref(secret, "github"),
        {"type": "SignedForm", "jobs": ["generate-*"]} | ref(secret, "lambda"),
    ]
    return {
        "apiVersion": "cronix.dev/v1alpha1",
        "kind": "CronixApp",
        "metadata": {"name": name},
        "spec": {
            "source": {"inline": manifest(name, *listed)},
            "signing": {"secretRef": {"name": secret}, "extraSchemes": schemes},
            "targets": {"rewriteBaseURL": "http://puppet:8080"},
        },
    }


def ref(secret: str, key: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": secret, "key": key}}


@pytest.fixture(scope="module")
def receivers(kubectl: Kubectl, operator: None, images: dict[str, str]) -> Iterator[Puppet]:
    """The receivers' pod, and three CronixApps: with the right keys, with wrong ones, and with one that is missing."""
    namespace = make_namespace(kubectl)
    try:
        place = Place(kubectl, namespace)
        own = secrets.token_hex(32)
        puppet = Puppet(place, images["cronix-example"], own, program="founding_receivers.py", more_keys=KEYS)
        place.secret("wrong", current=secrets.token_hex(32), **{name: secrets.token_hex(32) for name in KEYS})
        place.secret("half", current=own, **{name: key for name, key in KEYS.items() if name != "github"})
        with_body = jobs("-with-body")[2]
        with_body["request"]["body"] = "a=b"
        place.apply(
            app("right", "puppet-cron", *jobs("")),
            app("wrong", "wrong", *jobs("-wrong")),
            app("half", "half", jobs("-half")[1], with_body),
        )
        yield puppet
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


def call_of(receivers: Puppet, job: str) -> dict[str, Any]:
    """The first call of a job that came to the receivers."""
    return wait_until(lambda: calls_of(receivers, job), RUN_SECONDS, f"a call of {job}")[0]


def calls_of(receivers: Puppet, job: str) -> list[dict[str, Any]]:
    return [call for call in receivers.requests() if call["headers"]["x-cron-schedule-name"] == job]


def fresh_call_of(receivers: Puppet, job: str) -> dict[str, Any]:
    """The last call of a job that was taken: a signature is good for minutes only, and the first may be older."""

    def found() -> list[dict[str, Any]]:
        return [call for call in calls_of(receivers, job) if call["status"] == ACCEPTED]

    return wait_until(found, RUN_SECONDS, f"a call of {job} that was taken")[-1]


def ended_pod(place: Place, cron_job: str) -> dict[str, Any]:
    """The ended container of a run that Kubernetes' own controller made."""

    def ended() -> dict[str, Any] | None:
        for pod in place.items("pods", "batch.kubernetes.io/job-name"):
            owner = place.get("job", pod["metadata"]["labels"]["batch.kubernetes.io/job-name"])["metadata"]
            if [o["name"] for o in owner.get("ownerReferences", [])] != [cron_job]:
                continue
            assert owner["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
            terminated = pod["status"]["containerStatuses"][0]["state"].get("terminated")
            if terminated:
                return dict(terminated)
        return None

    return wait_until(ended, RUN_SECONDS, f"a run of {cron_job} has ended")


@pytest.mark.parametrize("job", DOCUMENTS)
def test_a_receiver_of_a_founding_document_takes_a_run(receivers: Puppet, job: str) -> None:
    """Unchanged in behaviour: the QStash one knows our key as its *next* one, the GitHub one SHA-1 only."""
    assert call_of(receivers, job)["status"] == ACCEPTED
    assert ended_pod(receivers.place, f"cronix-right-{job}-0")["exitCode"] == 0


@pytest.mark.parametrize("job", DOCUMENTS)
def test_a_run_with_another_key_is_refused_and_reported(receivers: Puppet, job: str) -> None:
    """The same job, signed with keys that the receivers do not have: their refusal is the run's outcome."""
    assert call_of(receivers, f"{job}-wrong")["status"] == DOCUMENTS[job]
    ended = ended_pod(receivers.place, f"cronix-wrong-{job}-wrong-0")
    outcome = parse_outcome(ended["message"])
    assert outcome is not None
    assert (ended["exitCode"], outcome.outcome, outcome.http_status) == (1, "AppRejected", DOCUMENTS[job])


def again(receivers: Puppet, call: dict[str, Any], **changes: str) -> int:
    """The answer to a call that is sent once more, with one thing changed."""
    connection = http.client.HTTPConnection(receivers.address, 8080, timeout=10)
    headers = {**call["headers"], "host": changes.get("host", call["headers"]["host"])}
    body = changes.get("body", call["body"]).encode()
    headers |= {name: value for name, value in changes.items() if name in headers and name != "host"}
    headers["content-length"] = str(len(body))
    connection.request("POST", changes.get("path", call["path"]), body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    ("job", "part"),
    [
        ("qstash", "body"),
        ("qstash", "upstash-signature"),
        ("github", "body"),
        ("github", "x-hub-signature"),
        ("generate-monthly-report", "body"),
        ("generate-monthly-report", "path"),
        ("reconcile", "body"),
        ("reconcile", "path"),
        ("reconcile", "x-cron-signature"),
    ],
)
def test_a_run_that_was_changed_on_its_way_is_refused(receivers: Puppet, job: str, part: str) -> None:
    """A3: one character of what the scheme covers; the same call unchanged is still taken, so the refusal means it."""
    call = fresh_call_of(receivers, job)
    given: str = call[part] if part in call else call["headers"][part]
    place = len(given) // 2
    changed = given[:place] + ("0" if given[place] != "0" else "1") + given[place + 1 :]
    assert again(receivers, call) == ACCEPTED
    assert again(receivers, call, **{part: changed}) == DOCUMENTS[job]


def test_a_run_whose_further_key_is_missing_is_not_sent(receivers: Puppet) -> None:
    """Never with one signature less than was asked for: exit 3, and the message names scheme and file."""
    ended = ended_pod(receivers.place, "cronix-half-github-half-0")
    outcome = parse_outcome(ended["message"])
    assert outcome is not None
    assert (ended["exitCode"], outcome.outcome, outcome.attempts) == (3, "NoKey", 0)
    assert "GitHub: no key to sign with: /var/run/cronix/schemes/GitHub" in outcome.message
    assert "github-half" not in {call["headers"]["x-cron-schedule-name"] for call in receivers.requests()}


def test_a_job_with_a_body_that_is_to_be_a_form_is_invalid_and_told(receivers: Puppet) -> None:
    """With the reason and what to do, in the status; the other job of that CronixApp has its CronJob."""
    place = receivers.place
    message = place.wait_condition("half", "False", "JobsInvalid")
    assert "SignedForm sends its signature as the body" in message
    (invalid,) = place.get("cxa", "half")["status"]["invalidJobs"]
    assert (invalid["name"], invalid["reason"]) == ("generate-monthly-report-with-body", "SchemeNotPossible")
    assert "cronix-half-github-half-0" in place.names("cronjobs")


def _last_ended(place: Place, prefix: str) -> list[str]:
    """The last pod of each CronJob that has run to its end: older ones may go at any moment (history limits)."""
    ended = [pod["metadata"] for pod in place.items("pods") if pod["status"]["phase"] in {"Succeeded", "Failed"}]
    newest = sorted((meta for meta in ended if meta["name"].startswith(prefix)), key=lambda m: m["creationTimestamp"])
    return list({meta["labels"]["cronix.dev/job"]: meta["name"] for meta in newest}.values())


def test_a_key_is_nowhere_but_in_the_secrets_and_the_signers_files(receivers: Puppet) -> None:
    """C5: no CronJob, pod, Event, status or log holds one of them; a pod mounts the keys of its own schemes only."""
    place = receivers.place
    call_of(receivers, "qstash")
    objects = place.kubectl("get", "cxa,cronjobs,jobs,pods,events", "-o", "yaml")
    logs = "".join(place.kubectl("logs", name) for name in _last_ended(place, "cronix-right"))
    assert "trigger: success" in logs
    for key in KEYS.values():
        assert key not in objects + logs
    pod_spec = place.get("cronjob", "cronix-right-qstash-0")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod_spec["volumes"] if volume["name"] == "schemes"]
    items = [item for source in volume["projected"]["sources"] for item in source["secret"]["items"]]
    assert json.dumps(items) == '[{"key": "qstash-next", "path": "QStash"}]'
