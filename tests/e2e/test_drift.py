"""What someone else changes on a CronJob of ours is put back within moments, and told."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from e2e.e2e_helpers import PATIENCE_SECONDS, Place, Puppet, cronix_app, job, manifest, wait_until

NAME = "cronix-shop-keep-0"


def _app(place: Place, puppet: Puppet) -> dict[str, Any]:
    puppet.serve(manifest("shop", job("keep", "0 3 * * *"), job("more", "0 3 * * *")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    found: dict[str, Any] = place.get("cronjob", NAME)
    return found


def _patch(place: Place, patch: object, kind: str = "json", name: str = NAME) -> None:
    place.kubectl("patch", "cronjob", name, f"--type={kind}", "-p", json.dumps(patch))


POD = "/spec/jobTemplate/spec/template/spec"
# The field that the Event names, and the JSON patch of somebody else. Two lists, for two CronJobs: more than five
# repairs a minute of one object are damped on purpose.
CHANGES: dict[str, dict[str, dict[str, object]]] = {
    NAME: {
        "spec.suspend": {"op": "replace", "path": "/spec/suspend", "value": True},
        "hostNetwork": {"op": "add", "path": f"{POD}/hostNetwork", "value": True},
        "containers[1]": {"op": "add", "path": f"{POD}/containers/-", "value": {"name": "x", "image": "x"}},
        "startingDeadlineSeconds": {"op": "remove", "path": "/spec/startingDeadlineSeconds"},
        "metadata.finalizers": {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"]},
    },
    "cronix-shop-more-0": {
        "spec.schedule": {"op": "replace", "path": "/spec/schedule", "value": "5 5 * * *"},
        "serviceAccount": {"op": "add", "path": f"{POD}/serviceAccountName", "value": "default"},
        "volumes[1]": {"op": "add", "path": f"{POD}/volumes/-", "value": {"name": "x", "emptyDir": {}}},
        "metadata.labels[cronix.dev/job]": {"op": "remove", "path": "/metadata/labels/cronix.dev~1job"},
        "containers[0].image": {"op": "replace", "path": f"{POD}/containers/0/image", "value": "example.com/evil"},
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_kind_of_foreign_change_is_put_back_and_told(place: Place, puppet: Puppet, name: str) -> None:
    """Promise 5, K3: edits, additions, removals, labels, finalizer: repaired in place, other tools' notes are kept."""
    _app(place, puppet)
    good = place.get("cronjob", name)
    _patch(place, {"metadata": {"annotations": {"example.com/tool": "keeps this"}}}, "merge", name)
    for field, change in CHANGES[name].items():
        _patch(place, [change], "json", name)
        wait_until(functools.partial(_is_good, place, name, good), 60, f"{field} is put back")
        wait_until(functools.partial(_told, place, field), 60, f"an Event on {field}")

    now = place.get("cronjob", name)["metadata"]
    assert now["uid"] == good["metadata"]["uid"]
    assert now["annotations"]["example.com/tool"] == "keeps this"


def _told(place: Place, field: str) -> bool:
    return any(field in message for message in place.events("DriftRepaired"))


def _is_good(place: Place, name: str, good: dict[str, Any]) -> bool:
    return _same(place.get("cronjob", name), good)


def _same(live: dict[str, Any], good: dict[str, Any]) -> bool:
    kept = [(m["labels"], m["ownerReferences"], m.get("finalizers")) for m in (live["metadata"], good["metadata"])]
    return live["spec"] == good["spec"] and kept[0] == kept[1]


def test_a_deleted_a_relabelled_and_an_orphaned_cron_job_come_back(place: Place, puppet: Puppet) -> None:
    """Deleted → made anew; labels gone (the watch calls that DELETED) → put back in place; owner gone → taken back."""
    good = _app(place, puppet)
    uid = good["metadata"]["uid"]
    _patch(place, [{"op": "remove", "path": "/metadata/labels"}])
    wait_until(lambda: _same(place.get("cronjob", NAME), good), 60, "the labels are back")
    _patch(place, [{"op": "remove", "path": "/metadata/ownerReferences"}])
    wait_until(lambda: _same(place.get("cronjob", NAME), good), 60, "the owner is back")
    assert place.get("cronjob", NAME)["metadata"]["uid"] == uid

    place.kubectl("delete", "cronjob", NAME)
    wait_until(lambda: place.get("cronjob", NAME)["metadata"]["uid"] != uid, 60, "a new one")
    wait_until(functools.partial(_told, place, "deleted by someone else"), 60, "an Event on the deletion")


def test_a_contested_field_damps_instead_of_looping(place: Place, puppet: Puppet) -> None:
    """More than five repairs a minute of one object end in DriftContested, not in an endless fight."""
    _app(place, puppet)

    def fight() -> str | None:
        _patch(place, {"spec": {"suspend": True}}, "merge")
        return str(place.condition("shop", "DriftContested").get("message") or "") or None

    message = wait_until(fight, PATIENCE_SECONDS, "DriftContested")
    assert "spec.suspend" in message


def test_a_name_that_belongs_to_someone_else_is_told_and_left_alone(place: Place, puppet: Puppet) -> None:
    """T3, T5: an object with our name, even with our labels, that we do not own is never touched."""
    body = _app(place, puppet)
    template = body["spec"]["jobTemplate"]
    theirs = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "cronix-shop-new-0", "labels": {**body["metadata"]["labels"], "cronix.dev/job": "new"}},
        "spec": {"schedule": "1 1 1 1 *", "jobTemplate": template},
    }
    place.apply(theirs)
    before = place.get("cronjob", "cronix-shop-new-0")

    puppet.serve(manifest("shop", job("keep", "0 3 * * *"), job("more", "0 3 * * *"), job("new", "0 4 * * *")))
    place.reconcile_now("shop")
    message = place.wait_condition("shop", "False", "JobsInvalid")

    assert "already exists" in message
    assert place.get("cronjob", "cronix-shop-new-0") == before
    assert [row["name"] for row in place.get("cxa", "shop")["status"]["jobs"]] == ["keep", "more"]
