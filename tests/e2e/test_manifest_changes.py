"""The CronJobs follow the app's manifest, in place; what the app breaks changes nothing but conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cronix_cluster.audit import AuditMark
from e2e.e2e_helpers import PATIENCE_SECONDS, Place, Puppet, cronix_app, job, manifest, wait_until

OPERATOR = "system:serviceaccount:cronix-system:cronix-cronix-operator"
RUN_SECONDS = 150


def test_a_schedule_change_is_one_update_in_place_and_leaves_the_running_job_alone(
    place: Place, puppet: Puppet, audit: Callable[[], AuditMark]
) -> None:
    """Promise 4: same UID, one write for the one changed CronJob, none for the other; the run in flight ends well."""
    patient: dict[str, Any] = {"policy": {"timeout_seconds": 300}}
    puppet.serve(manifest("shop", job("slow", **patient), job("other", "0 3 * * *")))
    puppet.manage(held=["slow"])
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    uid = place.get("cronjob", "cronix-shop-slow-0")["metadata"]["uid"]
    wait_until(lambda: puppet.triggers("slow"), RUN_SECONDS, "a run in flight")
    running = place.items("jobs", "cronix.dev/job=slow")[0]["metadata"]["name"]

    mark = audit()
    puppet.serve(manifest("shop", job("slow", "30 4 * * *", **patient), job("other", "0 3 * * *")))
    place.reconcile_now("shop")
    wait_until(lambda: place.get("cronjob", "cronix-shop-slow-0")["spec"]["schedule"] == "30 4 * * *", 60, "the change")

    assert place.get("cronjob", "cronix-shop-slow-0")["metadata"]["uid"] == uid
    assert "answered" not in puppet.triggers("slow")[-1], "the run was to be in flight during the change"
    puppet.manage(held=[])
    wait_until(lambda: place.get("job", running)["status"].get("succeeded"), 60, "the run ends well")
    found = mark.writes(resource="cronjobs", namespace=place.namespace, user=OPERATOR)
    # A conflict with the CronJob controller has changed nothing and is tried again.
    # A write to the status subresource is the fence against firing a past slot, counted apart (design: slots).
    writes = [(entry.verb, entry.name) for entry in found if not entry.subresource and entry.status != 409]
    assert writes == [("update", "cronix-shop-slow-0")]


def test_a_resync_without_a_change_writes_nothing(place: Place, puppet: Puppet, audit: Callable[[], AuditMark]) -> None:
    """Promise 4: two more fetches of the same manifest cost no write of any kind, not even of the status."""
    puppet.serve(manifest("calm", job("yearly", "0 0 1 1 *"), job("weekly", "@weekly")))
    place.apply(cronix_app("calm"))
    place.wait_ready("calm")
    wait_until(lambda: place.events("ManifestApplied"), PATIENCE_SECONDS, "the last that is written: the Event")
    fetched = len(puppet.requests("/.well-known/cron-manifest"))

    mark = audit()
    wait_until(lambda: len(puppet.requests("/.well-known/cron-manifest")) >= fetched + 2, 120, "two more fetches")
    assert mark.writes(user=OPERATOR, namespace=place.namespace) == []


def _delete(kind: str, name: str) -> Callable[[Puppet], object]:
    return lambda puppet: puppet.place.kubectl("delete", kind, name, "--grace-period=0")


def _serve(document: object) -> Callable[[Puppet], object]:
    return lambda puppet: puppet.serve(document)


def _another_key(puppet: Puppet) -> None:
    puppet.manage(keys=[puppet.key])  # its own file would follow the Secret, sooner or later
    puppet.place.secret("puppet-cron", current="someone else's")


# What breaks → how, the word in the condition, and the cure that its message names.
FAULTS: dict[str, tuple[Callable[[Puppet], object], str, str]] = {
    "the app is down": (_delete("pod", "puppet"), "FetchFailed", "is the app running"),
    "the app answers 500": (lambda p: p.manage(manifest_status=500), "FetchFailed", "answered 500"),
    "the body is no JSON": (_serve(b"<html>log in</html>"), "ManifestInvalid", "not valid"),
    "the manifest is empty": (_serve(manifest("shop")), "ManifestInvalid", "jobs"),
    "a schedule is bad": (_serve(manifest("shop", job("bad", "61 * * * *"))), "ManifestInvalid", "jobs/0/schedule"),
    "it is another app's": (_serve(manifest("other", job("keep"))), "AppMismatch", "spec.app: other"),
    "the Secret is gone": (_delete("secret", "puppet-cron"), "SecretNotFound", "create secret generic"),
    "the key is another": (_another_key, "NoKeyAccepted", "the app accepts no listed key"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_breaks_later_changes_conditions_only(place: Place, puppet: Puppet, fault: str) -> None:
    """Promises 2 and 3: the CronJob stays as it was, byte for byte in its spec; the condition says what to do."""
    puppet.serve(manifest("shop", job("keep", "0 3 * * *")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    before = place.get("cronjob", "cronix-shop-keep-0")
    break_it, reason, advice = FAULTS[fault]

    break_it(puppet)
    place.reconcile_now("shop")
    stalled = reason in {"ManifestInvalid", "AppMismatch"}
    place.wait_condition("shop", "False" if stalled else "True", reason, says=advice)

    after = place.get("cronjob", "cronix-shop-keep-0")
    assert _kept(after) == _kept(before)


def _kept(cron_job: dict[str, Any]) -> tuple[Any, ...]:
    meta = cron_job["metadata"]
    return (meta["uid"], meta["generation"], cron_job["spec"], meta["labels"], meta["annotations"])


def test_what_is_wrong_from_the_start_is_told_and_makes_no_cron_job(place: Place, puppet: Puppet) -> None:
    """Nothing is fired unsigned and nothing is made up: no good manifest, no CronJob, a condition with the cure."""
    puppet.serve(manifest("shop", job("keep", "0 3 * * *")))
    wrong: dict[str, tuple[dict[str, Any], str, str]] = {
        "no-secret": ({"signing": {"secretRef": {"name": "nobody"}}}, "SecretNotFound", "create secret generic nobody"),
        "no-service": ({"source": {"service": {"name": "nobody"}}}, "ServiceNotFound", "spec.source"),
        "wrong-port": ({"source": {"service": {"name": "puppet", "port": 81}}}, "PortNotFound", "8080 (http)"),
        "not-there": ({"source": {"url": "https://shop.invalid/m"}}, "FetchFailed", "does not resolve"),
        "metadata": ({"source": {"url": "https://169.254.169.254/m"}}, "ForbiddenHost", "never fetched"),
        "other-app": ({}, "AppMismatch", "spec.app: shop"),
    }
    for name, (spec, _, _) in wrong.items():
        place.apply(cronix_app(name, **spec))
    for name, (_, reason, advice) in wrong.items():
        place.wait_condition(name, "False", reason, says=advice)
    assert place.names("cronjobs") == set()
