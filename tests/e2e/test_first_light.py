"""A CronixApp on a real cluster fires a signed request that a real app verifies; nothing here makes the Job itself."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable

import pytest

from cronix_cluster.audit import AuditMark
from cronix_cluster.paths import Paths
from cronix_protocol.outcome import parse_outcome
from cronix_protocol.runid import run_id
from e2e.e2e_helpers import Place, Puppet, cronix_app, job, manifest, wait_until

RUN_SECONDS = 150


def test_the_cron_job_controller_fires_a_run_that_the_app_verifies(
    place: Place, puppet: Puppet, audit: Callable[[], AuditMark]
) -> None:
    """Declared → CronJob → Job by Kubernetes → signed request → verified, with one true slot and run id all along.

    And the key's value is nowhere but in its Secret: not in any object, any log or the audit log (attack C5).
    """
    mark = audit()
    puppet.serve(
        manifest(
            "shop", job("count", request={"url": "http://shop.example/api/v1/scheduled/count?x=%20a", "body": "{}"})
        )
    )
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")

    path = "/api/v1/scheduled/count?x=%20a"
    request = wait_until(lambda: puppet.requests(path), RUN_SECONDS, "a trigger")[0]
    assert request["ok"], request["code"]
    assert request["headers"]["Host"] == "shop.example"
    slot = int(request["headers"]["X-Cron-Fire-Time"])
    uid = place.get("cxa", "shop")["metadata"]["uid"]
    assert slot % 60 == 0
    assert request["headers"]["X-Cron-Run-Id"] == run_id(uid, "count", 0, slot)

    name = f"cronix-shop-count-0-{slot // 60}"
    wait_until(lambda: place.get("job", name)["status"].get("succeeded"), 90, "the Job is complete")
    _owned_all_the_way_up(place, name, uid)
    makers = {
        entry.user for entry in mark.entries(resource="jobs", namespace=place.namespace) if entry.verb == "create"
    }
    assert makers == {"system:serviceaccount:kube-system:cronjob-controller"}

    pod = place.items("pods", f"batch.kubernetes.io/job-name={name}")[0]
    line = json.loads(place.kubectl("logs", pod["metadata"]["name"]).splitlines()[-1])
    told = {field: line[field] for field in ("msg", "app", "job", "run_id", "attempt", "status")}
    assert told == {
        "msg": "trigger: success", "app": "shop", "job": "count", "attempt": 1, "status": 200,
        "run_id": request["headers"]["X-Cron-Run-Id"],
    }  # fmt: skip
    outcome = parse_outcome(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])
    assert outcome is not None
    assert (outcome.outcome, outcome.scheduled_time) == ("Succeeded", slot)

    _assert_nowhere(place, puppet.key)


def _owned_all_the_way_up(place: Place, job_name: str, app_uid: str) -> None:
    owner = place.get("job", job_name)["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"]) == ("CronJob", True)
    cron_job = place.get("cronjob", owner["name"])
    assert cron_job["metadata"]["uid"] == owner["uid"]
    reference = cron_job["metadata"]["ownerReferences"]
    assert [(o["kind"], o["uid"], o["controller"]) for o in reference] == [("CronixApp", app_uid, True)]


def _assert_nowhere(place: Place, key: str) -> None:
    raw = key.encode()
    # Base64 of a text inside a longer one depends on where it starts: cut off what the neighbours decide.
    shifted = {base64.b64encode(b"x" * shift + raw)[4 + 4 * (shift > 0) : -4].decode() for shift in range(3)}
    forms = {key, raw.hex(), urllib.parse.quote(key), "".join(f"%{byte:02X}" for byte in raw), *shifted}
    kinds = place.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    # Other tests take these CRDs away while this one reads.
    passing = (".cronix.test", ".monitoring.coreos.com")
    everything = ",".join(kind for kind in kinds if kind != "secrets" and not kind.endswith(passing))
    texts = {
        "audit log": Paths().logs.joinpath("audit.log").read_text(errors="replace"),
        "objects": place.kubectl("get", everything, "-A", "-o", "yaml"),
        "log of the operator": place.kubectl(
            "-n", "cronix-system", "logs", "-l", "app.kubernetes.io/name=cronix-operator", "--tail=-1"
        ),
    }
    # A container that is still being made (the next minute's run) has no log to ask for.
    pods = [p["metadata"]["name"] for p in place.items("pods") if p["status"]["phase"] != "Pending"]
    texts |= {f"log of {pod}": place.kubectl("logs", pod) for pod in pods}
    for where, text in texts.items():
        for form in forms:
            assert form not in text, f"the key is in {where}"


def test_the_search_for_the_key_finds_it_where_it_is(place: Place, puppet: Puppet) -> None:
    """The test above can fail: put the key into a ConfigMap and the same search finds it, raw and in base64."""
    for value in (puppet.key, base64.b64encode(b"ab" + puppet.key.encode()).decode()):
        place.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "leak"}, "data": {"x": value}})
        with pytest.raises(AssertionError, match="the key is in objects"):
            _assert_nowhere(place, puppet.key)
