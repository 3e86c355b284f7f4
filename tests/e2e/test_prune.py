"""What the manifest no longer names goes when that is certain and nothing runs; everything else stays."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cronix_cluster.audit import AuditMark
from e2e.e2e_helpers import PATIENCE_SECONDS, Place, Puppet, cronix_app, job, manifest, wait_until

OPERATOR = "system:serviceaccount:cronix-system:cronix-cronix-operator"
RUN_SECONDS = 150
SEED = int(os.environ.get("CRONIX_TEST_SEED") or time.time_ns())
GOOD = ("a", "b", "c")


def _inline(app: str, *jobs: Mapping[str, Any]) -> dict[str, Any]:
    return cronix_app(app, {"inline": manifest(app, *jobs)})


def _writes(mark: AuditMark, place: Place, name: str) -> list[str]:
    found = mark.writes(resource="cronjobs", namespace=place.namespace, user=OPERATOR, name=name)
    return [entry.verb for entry in found if entry.status < 400]


def test_a_run_in_flight_ends_before_its_cron_job_goes(
    place: Place, puppet: Puppet, audit: Callable[[], AuditMark]
) -> None:
    """A job taken out of the manifest in mid-run: suspended first, the run ends well, then the CronJob is deleted."""
    puppet.manage(held=["slow"])
    place.apply(_inline("shop", job("slow", policy={"timeout_seconds": 300}), job("stays", "0 3 1 1 *")))
    place.wait_ready("shop")
    wait_until(lambda: puppet.triggers("slow"), RUN_SECONDS, "a run in flight")
    run = place.items("jobs", "cronix.dev/job=slow")[0]["metadata"]["name"]

    mark = audit()
    place.apply(_inline("shop", job("stays", "0 3 1 1 *")))
    wait_until(lambda: place.get("cronjob", "cronix-shop-slow-0")["spec"]["suspend"], 60, "suspended")
    assert "answered" not in puppet.triggers("slow")[-1], "the run was to be in flight when its job was removed"
    wait_until(lambda: place.get("cxa", "shop")["status"]["summary"]["pendingPrune"] == 1, 60, "told in status")
    puppet.manage(held=[])
    wait_until(lambda: "answered" in puppet.triggers("slow")[-1], 60, "the run ends")
    finished = wait_until(
        lambda: _complete(place, run), PATIENCE_SECONDS, "the Job is complete, or gone with its CronJob"
    )

    wait_until(lambda: place.names("cronjobs") == {"cronix-shop-stays-0"}, PATIENCE_SECONDS, "its CronJob goes")
    assert finished
    assert _writes(mark, place, "cronix-shop-slow-0") == ["update", "delete"]
    assert _writes(mark, place, "cronix-shop-stays-0") == []
    assert len(puppet.triggers("slow")) == 1, "one request, not cut off and not repeated"


def _complete(place: Place, run: str) -> bool:
    jobs = [item for item in place.items("jobs") if item["metadata"]["name"] == run]
    return not jobs or bool(jobs[0]["status"].get("succeeded"))


def test_renaming_an_apps_only_job_adds_the_new_one_at_once_and_removes_the_old_one_after_a_second_look(
    place: Place, puppet: Puppet, audit: Callable[[], AuditMark]
) -> None:
    """100 % of the app's CronJobs at once, and still no approval needed: one is few; but not on one fetch's word."""
    puppet.serve(manifest("shop", job("before", "0 3 1 1 *")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")

    mark, served = audit(), time.time()
    puppet.serve(manifest("shop", job("after", "0 3 1 1 *")))
    place.reconcile_now("shop")
    wait_until(lambda: "cronix-shop-after-0" in place.names("cronjobs"), 60, "the new one")
    assert "cronix-shop-before-0" in place.names("cronjobs")
    wait_until(lambda: place.names("cronjobs") == {"cronix-shop-after-0"}, 150, "the old one goes")
    # By the app's clock and the API server's, so that it does not matter when this test has looked.
    looks = [r["time"] for r in puppet.requests("/.well-known/cron-manifest") if r["ok"] and r["time"] >= served]
    found = mark.writes(verb="delete", resource="cronjobs", namespace=place.namespace, user=OPERATOR)
    (deletion,) = [entry for entry in found if entry.status < 400]
    gone = datetime.fromisoformat(deletion.received).timestamp()
    assert gone - looks[0] > 29, "not before the second look at 30 s"


def _answers() -> dict[str, Callable[[Puppet], None]]:
    """Everything that a broken or half-deployed app may answer, by what it is."""
    short = manifest("shop", job("a", "0 3 1 1 *"))

    def serve(document: object, status: int = 200) -> Callable[[Puppet], None]:
        def act(puppet: Puppet) -> None:
            puppet.manage(manifest_status=status)
            puppet.serve(document)

        return act

    return {
        "good": serve(manifest("shop", *(job(name, "0 3 1 1 *") for name in GOOD))),
        "short": serve(short),
        "none": serve(manifest("shop")),
        "empty": serve(b""),
        "5xx": serve(short, 503),
        "204": serve(b"", 204),
        "404": serve(short, 404),
        "HTML": serve(b"<!doctype html><title>log in</title>"),
        "cut off": serve(b'{"version":1,"app":"shop","jobs":[{"name":"a"'),
        "another app": serve(manifest("other", job("a", "0 3 1 1 *"))),
    }


def test_no_sequence_of_bad_answers_deletes_a_cron_job(
    place: Place, puppet: Puppet, audit: Callable[[], AuditMark]
) -> None:
    """Promise 2, K4: short, empty, 5xx, HTML in random order, each asked for at once: nothing goes, not for a moment.

    The short one comes up in every round, a good one ends it: no two short ones agree over 30 s.
    """
    answers = _answers()
    answers["good"](puppet)
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    uids = {item["metadata"]["name"]: item["metadata"]["uid"] for item in place.items("cronjobs")}
    assert len(uids) == len(GOOD)

    mark, draw = audit(), random.Random(SEED)
    # Not "short" once more in a round: two that agree, more than 30 s apart, are a good reason to prune.
    bad = [name for name in answers if name not in {"good", "short"}]
    for _ in range(4):
        for name in ["short", *draw.sample(bad, 4), "good"]:
            answers[name](puppet)
            fetched = len(puppet.requests("/.well-known/cron-manifest"))
            place.reconcile_now("shop")
            wait_until(lambda n=fetched: len(puppet.requests("/.well-known/cron-manifest")) > n, 60, f"a fetch: {name}")  # type: ignore[misc]  # bound now
    place.wait_ready("shop")
    now = {item["metadata"]["name"]: item["metadata"]["uid"] for item in place.items("cronjobs")}
    assert now == uids, f"CRONIX_TEST_SEED={SEED}"
    verbs = [entry.verb for entry in mark.writes(resource="cronjobs", namespace=place.namespace)]
    assert verbs == [], f"CRONIX_TEST_SEED={SEED}"
