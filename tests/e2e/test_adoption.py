"""Moving over from awbx/cronix: its CronJob of our name is taken over in place, when it is asked for and not before."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from e2e.e2e_helpers import PATIENCE_SECONDS, Place, cronix_app, job, manifest, wait_until

NAME = "cronix-shop-keep-0"
HASH = "0123456789abcdef"
LABELS = {
    "cronix.dev/managed": "true", "cronix.dev/app": "shop", "cronix.dev/job": "keep", "cronix.dev/hash": HASH,
    "cronix.dev/index": "0",
}  # fmt: skip
SPEC_FILE = {"app": "shop", "job": {"name": "keep", "schedule": "0 3 1 1 *"}, "secretRefs": ["raw:secret"]}


def _peers_objects(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """CronJob and ConfigMap as v0.12.0 of the peer makes them."""
    pod = {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "cronix",
                "image": "ghcr.io/awbx/cronix:0.12.0",
                "args": ["trigger", "shop.keep"],
                "env": [
                    {"name": "CRONIX_JOB_SPEC_DIR", "value": "/etc/cronix/jobs"},
                    {"name": "CRONIX_RUN_FROM_KUBERNETES", "value": "true"},
                ],
                "volumeMounts": [{"name": "spec", "mountPath": "/etc/cronix/jobs", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "spec", "configMap": {"name": f"{NAME}-spec"}}],
    }
    job_template = {
        "metadata": {"labels": LABELS},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": LABELS}, "spec": pod}},
    }
    spec = {
        "schedule": "0 3 1 1 *",
        "timeZone": "UTC",
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": job_template,
    }
    metadata = {"name": NAME, "namespace": namespace, "labels": LABELS}
    cron_job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "name": f"{NAME}-spec"},
        "data": {"shop.keep.json": json.dumps(SPEC_FILE)},
    }
    return cron_job, config_map


def _finished_run(cron_job: dict[str, Any]) -> dict[str, Any]:
    """A Job of the CronJob that is complete at once (nothing to complete), as history to keep."""
    meta = cron_job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": NAME, "uid": meta["uid"], "controller": True}
    template = cron_job["spec"]["jobTemplate"]["spec"]["template"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{NAME}-29000000", "labels": LABELS, "ownerReferences": [owner]},
        "spec": {"completions": 0, "parallelism": 0, "template": template},
    }


def test_the_peers_cron_job_is_taken_over_in_place_once_the_annotation_asks_for_it(place: Place) -> None:
    """T5, T10: without `cronix.dev/adopt` a NameConflict that says so; with it: same UID, history kept, mark removed.

    The ConfigMap is the peer's and stays as it is: the operator has no right to write one.
    """
    place.apply(*_peers_objects(place.namespace))
    before = place.get("cronjob", NAME)
    place.apply(_finished_run(before))
    # Kubernetes writes that into the CronJob's status, a moment later: what is compared below is what comes after.
    wait_until(lambda: place.get("cronjob", NAME)["status"].get("lastSuccessfulTime"), PATIENCE_SECONDS, "its success")
    fired = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251  # a run of just now
    status = json.dumps({"status": {"lastScheduleTime": fired}})
    place.kubectl("patch", "cronjob", NAME, "--subresource=status", "--type=merge", "-p", status)
    before = place.get("cronjob", NAME)
    config_map = place.get("configmap", f"{NAME}-spec")

    jobs = [job("keep", "0 3 1 1 *"), job("new", "0 4 * * *")]
    place.apply(cronix_app("shop", {"inline": manifest("shop", *jobs)}))
    message = place.wait_condition("shop", "False", "JobsInvalid")
    assert "already exists" in message
    assert "cronix.dev/adopt=true" in message
    assert place.condition("shop", "JobsInvalid")["reason"] == "NameConflict"
    assert place.get("cronjob", NAME)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert "cronix-shop-new-0" in place.names("cronjobs"), "the other job is not held up"

    place.kubectl("annotate", "cxa", "shop", "cronix.dev/adopt=true")
    place.wait_ready("shop")
    after = place.get("cronjob", NAME)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["ownerReferences"][0]["name"] == "shop"
    assert not {"cronix.dev/managed", "cronix.dev/hash"} & after["metadata"]["labels"].keys()
    assert after["status"]["lastScheduleTime"] == fired
    (container,) = after["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "signer"
    assert place.items("cronjobs", "cronix.dev/managed=true") == [], "the peer's prune finds nothing of ours"
    assert place.names("jobs") == {f"{NAME}-29000000"}
    assert place.get("configmap", f"{NAME}-spec") == config_map
    told = wait_until(
        lambda: [m for m in place.events("ManifestApplied") if "taken over" in m], PATIENCE_SECONDS, "an Event"
    )
    assert NAME in told[0]


def test_adopt_takes_nobodys_child_and_nothing_without_a_mark_of_cronix(place: Place) -> None:
    """T3, T5: a CronJob that has an owner, or that never came from cronix, is told and left alone all the same."""
    cron_job, _ = _peers_objects(place.namespace)
    root_ca = place.get("configmap", "kube-root-ca.crt")["metadata"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": root_ca["name"], "uid": root_ca["uid"]}
    owned = {**cron_job, "metadata": {**cron_job["metadata"], "ownerReferences": [owner]}}
    unmarked = {**cron_job, "metadata": {"name": "cronix-shop-new-0", "namespace": place.namespace}}
    place.apply(owned, unmarked)
    before = {name: place.get("cronjob", name) for name in (NAME, "cronix-shop-new-0")}

    app = cronix_app("shop", {"inline": manifest("shop", job("keep", "0 3 1 1 *"), job("new", "0 4 * * *"))})
    app["metadata"]["annotations"] = {"cronix.dev/adopt": "true"}
    place.apply(app)
    place.wait_condition("shop", "False", "JobsInvalid")
    assert {name: place.get("cronjob", name) for name in before} == before
