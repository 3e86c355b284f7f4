"""`run`, `backfill`, `suspend`, `resume`, `reconcile`: what they write, what they refuse before they write anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cli.cli_helpers import Kube, call
from cli.cli_world import busy_shop, run_of, shop
from cronix_cli.times import rfc3339
from operator_fakes.builders import APP_UID, NAMESPACE, START

SETTLE = "cronix-billing-settle-invoices-0"


@pytest.fixture
def kube() -> Kube:
    return busy_shop()


def _ends(word: str, **said: Any) -> Callable[[Kube], None]:
    """What the cluster does while the program waits: the Job that was created ends like this."""

    def act(kube: Kube) -> None:
        for (plural, _, name), body in list(kube.objects.items()):
            if plural == "jobs" and "x7k2p" in name and not body.get("status"):
                del kube.objects[plural, NAMESPACE, name]
                run_of(kube, body["metadata"]["ownerReferences"][0]["name"], rfc3339(START), word, name=name, **said)

    return act


def test_run_makes_the_job_that_kubectl_would_make(kube: Kube) -> None:
    """As `kubectl create job --from`: template, owner, the annotation that says by hand; no slot for the signer."""
    told = call("run", "billing/settle-invoices", kube=kube)
    assert told.code == 0, told.err
    body = kube.objects["jobs", NAMESPACE, f"{SETTLE}-x7k2p"]
    live = kube.objects["cronjobs", NAMESPACE, SETTLE]
    assert body["spec"] == live["spec"]["jobTemplate"]["spec"]
    assert body["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert body["metadata"]["labels"] == live["spec"]["jobTemplate"]["metadata"]["labels"]
    assert body["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": SETTLE,
            "uid": live["metadata"]["uid"],
            "controller": True,
        }
    ]
    assert "kubectl cronix logs billing/settle-invoices/0 --run" in told.out


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("Succeeded", 0),
        ("AppRejected", 1),
        ("RetriesExhausted", 2),
        ("NoKey", 3),
        ("LockContended", 4),
        ("Interrupted", 5),
    ],
)
def test_the_exit_code_of_a_run_that_is_waited_for_is_the_signers(kube: Kube, word: str, code: int) -> None:
    """Stable: a script may rely on it."""
    kube.on_sleep = _ends(word, http_status=503 if code else 200, attempts=3)
    told = call("run", "billing/settle-invoices", "--wait", kube=kube)
    assert told.code == code, told.err
    assert word in told.out


def test_backfill_gives_the_pod_its_scheduled_time_and_the_job_a_name_of_its_own(kube: Kube) -> None:
    """The annotation is on the pod, where the signer's downward API reads it; a slot has one name, so no two of it."""
    told = call("backfill", "billing/settle-invoices", "2026-11-22T02:00", kube=kube)
    assert told.code == 0, told.err
    (name,) = [key[2] for key in kube.objects if key[0] == "jobs" and "-b" in key[2].removeprefix("cronix-billing")]
    body = kube.objects["jobs", NAMESPACE, name]
    assert name == f"{SETTLE}-b29921820"
    assert body["spec"]["template"]["metadata"]["annotations"] == {"cronix.dev/scheduled-time": "2026-11-22T01:00:00Z"}
    assert (
        "annotations"
        not in kube.objects["cronjobs", NAMESPACE, SETTLE]["spec"]["jobTemplate"]["spec"]["template"]["metadata"]
    )
    assert call("backfill", "billing/settle-invoices", "2026-11-22T02:00", kube=kube).code == 73


def test_the_newest_slot_is_called_last(kube: Kube) -> None:
    """Nobody types minutes at night."""
    assert call("backfill", "billing/settle-invoices/0", "last", kube=kube).code == 0
    assert ("jobs", NAMESPACE, f"{SETTLE}-b29924700") in kube.objects


REFUSED = [
    ("run billing/report", "is suspended", "kubectl cronix resume billing/report"),
    ("run billing/reconcile-payments", "its policy is Forbid", "kubectl cronix logs billing/reconcile-payments/0 -f"),
    ("backfill billing/settle-invoices/1 2026-11-23T14:30", "has succeeded", "--force"),
    ("backfill billing/report last", "is suspended", "--force"),
]


@pytest.mark.parametrize(("line", "words", "hint"), REFUSED, ids=[line for line, _, _ in REFUSED])
def test_what_is_in_the_way_is_told_before_anything_is_created(kube: Kube, line: str, words: str, hint: str) -> None:
    """Exit 73, no write; --force does it all the same."""
    told = call(*line.split(), kube=kube)
    assert (told.code, words in told.err, hint in told.err) == (73, True, True), told.err
    assert kube.writes == []
    assert call(*line.split(), "--force", kube=kube).code == 0
    assert len(kube.writes) == 1


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("run billing/settle-invoices", ("create", "jobs")),
        ("backfill billing/settle-invoices last", ("list", "pods")),
        ("suspend billing", ("patch", "cronixapps")),
        ("resume billing/report", ("patch", "cronixapps")),
        ("reconcile billing", ("patch", "cronixapps")),
    ],
)
def test_a_missing_right_is_told_before_anything_is_written(kube: Kube, line: str, right: tuple[str, str]) -> None:
    """By SelfSubjectAccessReview, with the command that asks the same."""
    kube.denied.add(right)
    told = call(*line.split(), kube=kube)
    assert told.code == 77
    assert f"kubectl auth can-i {right[0]} {right[1]}" in told.err
    assert kube.writes == []


def test_a_suspended_app_is_told(kube: Kube) -> None:
    """Before the job's own state."""
    kube.objects["cronixapps", NAMESPACE, "billing"]["spec"]["suspend"] = True
    told = call("run", "billing/settle-invoices", kube=kube)
    assert (told.code, "app billing is suspended" in told.err) == (73, True)


def test_waiting_ends_with_a_job_that_is_deleted_or_takes_too_long(kube: Kube) -> None:
    """5 and 75; the second says how to go on."""
    late = call("run", "billing/settle-invoices", "--wait", "--timeout", "3s", kube=kube)
    assert (late.code, kube.sleeps) == (75, 3)
    assert "it goes on" in late.err
    kube = busy_shop()

    def delete(world: Kube) -> None:
        del world.objects["jobs", NAMESPACE, f"{SETTLE}-x7k2p"]

    kube.on_sleep = delete
    assert call("run", "billing/settle-invoices", "--wait", kube=kube).code == 5


def test_a_run_whose_pods_are_deleted_by_its_own_deadline_is_not_one_that_never_started(kube: Kube) -> None:
    """What was seen while it was waited for counts."""
    name = f"{SETTLE}-x7k2p"

    def passes(world: Kube) -> None:
        if world.sleeps == 1:
            run_of(world, SETTLE, "2026-11-24T10:00:00Z", took=None, name=name, by_hand=True)
        else:
            del world.objects["pods", NAMESPACE, f"{name}-pod"]
            failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}
            failed |= {"lastTransitionTime": "2026-11-24T10:01:00Z"}
            world.objects["jobs", NAMESPACE, name]["status"]["conditions"] = [failed]

    kube.on_sleep = passes
    told = call("run", "billing/settle-invoices", "--wait", kube=kube)
    assert (told.code, "DeadlineExceeded" in told.out) == (5, True), told.out + told.err


def _operator(kube: Kube) -> None:
    """The part of the operator that matters here: CronJobs follow what the CronixApp says."""
    for (plural, _, name), app in list(kube.objects.items()):
        if plural != "cronixapps":
            continue
        names = (app["metadata"].get("annotations") or {}).get("cronix.dev/suspended-jobs", "").split(",")
        for (kind, _, _), live in kube.objects.items():
            if kind == "cronjobs" and live["metadata"]["ownerReferences"][0]["name"] == name:
                job = live["metadata"]["annotations"]["cronix.dev/job-name"]
                live["spec"]["suspend"] = bool(app["spec"].get("suspend")) or job in names
        asked = (app["metadata"].get("annotations") or {}).get("cronix.dev/reconcile-at")
        if asked:
            app["status"]["lastHandledReconcileAt"] = asked


def test_suspending_a_job_writes_the_annotation_and_waits_for_the_operator(kube: Kube) -> None:
    """Beside what is suspended already; twice is no error and no write; resume takes away only its own."""
    kube.on_sleep = _operator
    told = call("suspend", "billing/settle-invoices", kube=kube)
    assert (told.code, "2 CronJobs in step" in told.out) == (0, True), told.err
    app = kube.objects["cronixapps", NAMESPACE, "billing"]
    assert app["metadata"]["annotations"]["cronix.dev/suspended-jobs"] == "report,settle-invoices"
    writes = len(kube.writes)
    assert call("suspend", "billing/settle-invoices", kube=kube).code == 0
    assert len(kube.writes) == writes
    assert call("resume", "billing/report", kube=kube).code == 0
    app = kube.objects["cronixapps", NAMESPACE, "billing"]
    assert app["metadata"]["annotations"]["cronix.dev/suspended-jobs"] == "settle-invoices"


def test_resuming_an_app_takes_the_field_away_and_names_what_stays_suspended(kube: Kube) -> None:
    """A field that is set to false would be one more thing for a GitOps tool to fight about."""
    kube.on_sleep = _operator
    assert call("suspend", "billing", kube=kube).code == 0
    assert kube.objects["cronixapps", NAMESPACE, "billing"]["spec"]["suspend"] is True
    told = call("resume", "billing", kube=kube)
    assert "suspend" not in kube.objects["cronixapps", NAMESPACE, "billing"]["spec"]
    assert "still suspended by themselves: billing/report" in told.out


def test_a_change_that_the_operator_does_not_make_is_no_success() -> None:
    """A person who suspends a job at night must know when it goes on running."""
    told = call("suspend", "billing", kube=shop())
    assert (told.code, "has not done it yet" in told.err) == (75, True)


def test_a_conflict_is_tried_again_on_what_is_there_then(kube: Kube) -> None:
    """Somebody else suspends another job between our read and our write: both stay suspended."""
    kube.on_sleep = _operator
    interfered: list[str] = []

    def interfere(method: str, path: str) -> None:
        if not interfered and path.endswith("/cronixapps/billing"):
            interfered.append(path)

    kube.before = interfere
    original = kube._patched

    def late(found: Any, body: Any) -> Any:
        if len(interfered) == 1:
            interfered.append("now")
            kube.touch(
                "cronixapps", NAMESPACE, "billing",
                lambda app: app["metadata"]["annotations"].update({"cronix.dev/suspended-jobs": "report,ping"}),
            )  # fmt: skip
        return original(found, body)

    kube._patched = late  # type: ignore[method-assign]  # the race, at its worst moment
    assert call("suspend", "billing/settle-invoices", kube=kube).code == 0
    app = kube.objects["cronixapps", NAMESPACE, "billing"]
    assert app["metadata"]["annotations"]["cronix.dev/suspended-jobs"] == "report,ping,settle-invoices"


def test_reconcile_waits_for_its_own_request_and_says_no_when_it_is_no(kube: Kube) -> None:
    """billing has an invalid job, shipping is fine; the value asked for is echoed, not any."""
    kube.on_sleep = _operator
    assert call("reconcile", "shipping", "--wait", kube=kube).code == 0
    told = call("reconcile", "billing", "--wait", kube=kube)
    assert (told.code, "JobsInvalid" in told.out) == (1, True)
    kube.on_sleep = None
    assert call("reconcile", "shipping", "--wait", "--timeout", "2s", kube=kube, now=START).code == 75


def test_a_run_as_json(kube: Kube) -> None:
    """What --wait gives a program."""
    kube.on_sleep = _ends("AppRejected", http_status=401, excerpt="SignatureMismatch")
    told = call("run", "billing/settle-invoices", "--wait", "-o", "json", kube=kube)
    found = json.loads(told.out)
    assert (told.code, found["kind"], found["httpStatus"], found["excerpt"]) == (1, "Run", 401, "SignatureMismatch")
    assert APP_UID not in found["runID"]


def test_waiting_tells_once_why_a_pod_does_not_start(kube: Kube) -> None:
    """Nobody waits ten minutes for an image that is not there without a word."""

    def stuck(world: Kube) -> None:
        name = f"{SETTLE}-x7k2p"
        body = world.objects["jobs", NAMESPACE, name]
        body["metadata"]["creationTimestamp"] = "2026-11-24T10:00:30Z"
        meta = {
            "labels": {"batch.kubernetes.io/job-name": name}, "creationTimestamp": "2026-11-24T10:00:30Z",
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": body["metadata"]["uid"],
                 "controller": True}
            ],
        }  # fmt: skip
        state = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
        world.put("pods", NAMESPACE, f"{name}-pod", status={"containerStatuses": [{"name": "signer", "state": state}]})
        world.objects["pods", NAMESPACE, f"{name}-pod"]["metadata"] |= meta

    kube.on_sleep = stuck
    told = call("run", "billing/settle-invoices", "--wait", "--timeout", "4s", kube=kube)
    assert (told.code, told.err.count("ErrImagePull")) == (75, 1), told.err
