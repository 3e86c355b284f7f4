"""The CronixApp's other fields, each seen at work: where runs go, what their pods look like, what is suspended.

One namespace and one app for all; each test has a CronixApp of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from cronix_operator.core.naming import cron_job_name
from e2e.doors_helpers import Doors, cronix_app, doors_open, go
from e2e.e2e_helpers import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from e2e.conftest import Kubectl

# What this file sets up once must be set up once: its tests stay on one of the parallel workers.
pytestmark = pytest.mark.sets_up_once


@pytest.fixture(scope="module")
def doors(kubectl: Kubectl, operator: None, images: dict[str, str]) -> Iterator[Doors]:
    with doors_open(kubectl, images["cronix-example"]) as doors:
        yield doors


def inline(app: str, *jobs: dict[str, Any]) -> dict[str, Any]:
    return {"inline": {"version": 1, "app": app, "jobs": list(jobs)}}


def faults(doors: Doors, app: str) -> dict[str, str]:
    return {row["name"]: row["reason"] for row in doors.place.get("cxa", app)["status"].get("invalidJobs", [])}


def spec_of(doors: Doors, app: str, job: str) -> dict[str, Any]:
    spec: dict[str, Any] = doors.place.get("cronjob", cron_job_name(app, job, 0))["spec"]
    return spec


def test_runs_go_to_the_rewritten_base_with_path_query_and_host_of_the_url(doors: Doors) -> None:
    """`targets.rewriteBaseURL`; without it the same job goes to its own host, which does not exist."""
    job = go("https://billing.example.invalid/run/rewrite?a=%20b")
    base = f"http://{doors.host}:8090"
    doors.place.apply(
        cronix_app("rewrite", inline("rewrite", job), targets={"rewriteBaseURL": base}),
        cronix_app("astray", inline("astray", job)),
    )
    for app in ("rewrite", "astray"):
        doors.place.wait_ready(app)
        doors.fire(app)

    assert doors.ended("rewrite")[0] == "Complete"
    (run,) = doors.requests("/run/rewrite")
    assert (run["port"], run["path"], run["ok"]) == (8090, "/run/rewrite?a=%20b", True)
    assert run["headers"]["Host"] == "billing.example.invalid"
    ended, log = doors.ended("astray")
    assert (ended, "billing.example.invalid" in log) == ("Failed", True)


def test_a_host_that_is_not_the_sources_is_called_only_when_it_is_allowed(doors: Doors) -> None:
    """S8, `targets.allowedHosts`: without it a URL source's job is refused, a Service source's goes to the Service."""
    ports = [{"name": "http", "port": 80, "targetPort": 8090}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "elsewhere"}}
    doors.place.apply({**service, "spec": {"selector": {"app": "doors"}, "ports": ports}})
    elsewhere = f"elsewhere.{doors.place.namespace}.svc"
    for app in ("hosts", "hostservice"):
        doors.serve(app, go(f"http://{elsewhere}/run/{app}"), go(f"http://{doors.host}:8080/run/{app}home", "home"))
    url = {"url": f"http://{doors.host}:8080/manifest/hosts"}
    own = {"service": {"name": "doors", "port": 8080, "path": "/manifest/hostservice"}}
    doors.place.apply(cronix_app("hosts", url), cronix_app("hostservice", own))

    message = doors.place.wait_condition("hosts", "False", "JobsInvalid")
    assert f'write spec.targets.allowedHosts: ["{elsewhere}"]' in message
    assert faults(doors, "hosts") == {"go": "HostNotAllowed"}
    doors.place.wait_ready("hostservice")
    doors.fire("hostservice")
    assert doors.ended("hostservice")[0] == "Complete"
    assert [run["port"] for run in doors.requests("/run/hostservice")] == [8080]

    targets = {"allowedHosts": [elsewhere]}
    doors.place.apply(cronix_app("hosts", url, targets=targets), cronix_app("hostservice", own, targets=targets))
    names = ("hosts", "hostservice")
    wait_until(
        lambda: all(f"http://{elsewhere}/run/{app}" in str(spec_of(doors, app, "go")) for app in names), 60, "allowed"
    )
    assert '"target_base_url"' not in str(spec_of(doors, "hostservice", "go"))
    doors.fire("hosts")
    doors.place.kubectl("create", "job", "hostservice-again", f"--from=cronjob/{cron_job_name('hostservice', 'go', 0)}")
    wait_until(
        lambda: all(doors.requests(f"/run/{app}")[-1]["port"] == 8090 for app in names), 150, "they came elsewhere"
    )


def test_plain_http_beyond_the_own_services_is_used_only_with_permission(doors: Doors) -> None:
    """`allowInsecureHTTP`: for a job's URL and for the manifest; a pod's address is no Service of this namespace."""
    origin = f"http://{doors.address}:8080"
    doors.serve("insecure", go(f"{origin}/run/insecure"))
    doors.place.apply(
        cronix_app("secure", inline("secure", go(f"{origin}/run/secure"))),
        cronix_app("insecure", {"url": f"{origin}/manifest/insecure"}, allowInsecureHTTP=True),
    )
    doors.place.wait_condition("secure", "False", "JobsInvalid")
    assert faults(doors, "secure") == {"go": "InsecureURL"}
    assert cron_job_name("secure", "go", 0) not in doors.place.names("cronjobs")

    doors.place.wait_ready("insecure")
    doors.fire("insecure")
    assert doors.ended("insecure")[0] == "Complete"


@pytest.fixture
def priority_class(kubectl: Kubectl) -> Iterator[str]:
    name = f"e2e-{secrets.token_hex(4)}"
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 7}
    kubectl("create", "-f", "-", stdin=body)
    yield name
    kubectl("delete", "priorityclass", name, "--wait=false")


def test_what_has_not_changed_is_not_sent_again(doors: Doors) -> None:
    """ETag: the second reading asks with If-None-Match; the app answers 304 to nothing else."""
    asked = "/manifest/etag"
    doors.serve("etag", go(f"http://{doors.host}:8080/run/etag"), etag='"v1"')
    source = {"service": {"name": "doors", "port": 8080, "path": asked}, "interval": "15s"}
    doors.place.apply(cronix_app("etag", source))
    doors.place.wait_ready("etag")

    def signed() -> list[int | None]:
        return [r.get("status") for r in doors.requests(asked) if r["ok"]]  # all but the one with a random key

    wait_until(lambda: signed()[0] == 200 and 304 in signed(), PATIENCE_SECONDS, "a reading that says no change")
    asking = [request["headers"] for request in doors.requests(asked) if request.get("status") == 304]
    assert {value for headers in asking for name, value in headers.items() if name.lower() == "if-none-match"} == {
        '"v1"'
    }
    assert doors.place.condition("etag", "Ready")["status"] == "True"
    assert doors.place.names("cronjobs") >= {cron_job_name("etag", "go", 0)}

    doors.serve("etag", go(f"http://{doors.host}:8080/run/etag", name="anew"), etag='"v2"')
    wait_until(
        lambda: cron_job_name("etag", "anew", 0) in doors.place.names("cronjobs"),
        PATIENCE_SECONDS,
        "the new manifest's job",
    )
    wait_until(
        lambda: doors.place.get("cxa", "etag")["status"]["manifest"].get("etag") == '"v2"', PATIENCE_SECONDS, "its ETag"
    )


def test_what_is_said_about_pods_stands_in_the_pod_that_ran(doors: Doors, priority_class: str) -> None:
    """`jobDefaults.pod`, every field of it, as the API server and the kubelet made it; and the signer still works."""
    linux = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    pod = {
        "labels": {"team": "payments"},
        "annotations": {"sidecar.istio.io/inject": "false"},
        "resources": {"requests": {"cpu": "11m", "memory": "33Mi"}, "limits": {"memory": "66Mi"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [linux]}}
        },
        "priorityClassName": priority_class,
        "imagePullSecrets": [{"name": "pull-secret"}],
    }
    job = go(f"http://{doors.host}:8080/run/pods")
    doors.place.apply(cronix_app("pods", inline("pods", job), jobDefaults={"pod": pod}))
    doors.place.wait_ready("pods")
    doors.fire("pods")
    assert doors.ended("pods")[0] == "Complete"

    (ran,) = doors.place.items("pods", "cronix.dev/app=pods")
    assert ran["metadata"]["labels"]["team"] == "payments"
    assert ran["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
    assert ran["spec"]["containers"][0]["resources"] == pod["resources"]
    for field in ("nodeSelector", "affinity", "priorityClassName", "imagePullSecrets"):
        assert ran["spec"][field] == pod[field]
    assert pod["tolerations"][0] in ran["spec"]["tolerations"]  # type: ignore[index]  # a list, by the literal above
    assert ran["spec"]["priority"] == 7


def test_defaults_and_overrides_shape_the_cron_jobs_and_the_signers_attempts(doors: Doors) -> None:
    """`jobDefaults` and `overrides` by glob: limits and deadlines in the CronJob, `retryOn` in what the signer does."""
    retried = {"retries": {"max_attempts": 3, "min_seconds": 1, "max_seconds": 1}, "timeout_seconds": 10}
    jobs = [go(f"http://{doors.host}:8080/run/{name}", name, policy=retried) for name in ("settle-a", "ping")]
    busy = [{"status": 429, "headers": {"Retry-After": "1"}}, {"status": 200}]
    doors.answer({"/run/settle-a": busy, "/run/ping": busy})
    defaults = {
        "startingDeadlineSeconds": 120, "successfulJobsHistoryLimit": 7, "failedJobsHistoryLimit": 2,
        "ttlSecondsAfterFinished": 3600,
    }  # fmt: skip
    override = {"jobs": ["settle-*"], "retryOn": [429], "honorRetryAfter": True, "startingDeadlineSeconds": 3600}
    doors.place.apply(
        cronix_app(
            "shapes", inline("shapes", *jobs), jobDefaults=defaults, overrides=[{**override, "jitterSeconds": 1}]
        )
    )
    doors.place.wait_ready("shapes")
    for name, deadline in (("settle-a", 3600), ("ping", 120)):
        spec = spec_of(doors, "shapes", name)
        expected = {**defaults, "startingDeadlineSeconds": deadline}
        del expected["ttlSecondsAfterFinished"]
        assert {field: spec[field] for field in expected} == expected
        assert spec["jobTemplate"]["spec"]["ttlSecondsAfterFinished"] == 3600
        doors.fire("shapes", name)

    assert doors.ended("shapes", "settle-a")[0] == "Complete"
    assert [run["status"] for run in doors.requests("/run/settle-a")] == [429, 200]
    assert doors.ended("shapes", "ping")[0] == "Failed"
    assert [run["status"] for run in doors.requests("/run/ping")] == [429]


def test_an_app_and_single_jobs_are_suspended_and_resumed(doors: Doors) -> None:
    """`suspend` holds all, the annotation `cronix.dev/suspended-jobs` those it names; both are told in status."""
    jobs = [go(f"http://{doors.host}:8080/run/{name}", name) for name in ("one", "two")]
    doors.place.apply(cronix_app("calm", inline("calm", *jobs)))
    doors.place.wait_ready("calm")

    def held() -> list[str]:
        rows = doors.place.get("cxa", "calm")["status"]["jobs"]
        found = [name for name in ("one", "two") if spec_of(doors, "calm", name)["suspend"]]
        return found if found == [row["name"] for row in rows if row["suspended"]] else ["status and CronJobs differ"]

    def until_held(*names: str) -> None:
        wait_until(lambda: held() == list(names), PATIENCE_SECONDS, f"{names} are suspended")

    until_held()
    doors.place.kubectl("annotate", "cxa", "calm", "cronix.dev/suspended-jobs=two")
    until_held("two")
    doors.place.kubectl("patch", "cxa", "calm", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    until_held("one", "two")
    doors.place.wait_condition("calm", "True", "Suspended")
    doors.place.kubectl("patch", "cxa", "calm", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    until_held("two")
    doors.place.kubectl("annotate", "cxa", "calm", "cronix.dev/suspended-jobs-")
    until_held()
