"""A namespace `shop` with two apps, as an API server would show it; the jobs of the mock-ups."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

from cli.cli_helpers import Kube
from cronix_cli.times import rfc3339
from cronix_operator.core.model import App, DesiredCronJob
from cronix_protocol import runid
from cronix_protocol.outcome import EXIT_CODES, Outcome, dump_outcome
from operator_fakes.builders import NAMESPACE, app_body, desired, job, live_of, make_app

OTHER_UID = "7d9c2a1e-0000-4000-8000-00000000000b"
REQUEST = {"request": {"url": "http://billing:8080/x"}}


def shop() -> Kube:
    """billing with four jobs (one suspended, one invalid), shipping with one; nothing has run yet."""
    kube = Kube()
    billing = make_app(annotations={"cronix.dev/suspended-jobs": "report"})
    jobs = (
        job("ping", "@every 5m", **REQUEST),
        job("reconcile-payments", "*/15 * * * *", **REQUEST),
        job("report", "0 7 * * *", **REQUEST),
        job("settle-invoices", ["0 2 * * *", "30 14 * * 1-5"], timezone="Europe/Paris", **REQUEST),
        job("weird", "0 7 * * 7", **REQUEST),
    )
    _app(kube, billing, app_body(annotations={"cronix.dev/suspended-jobs": "report"}), *jobs)
    body = app_body("shipping")
    body["metadata"]["uid"] = OTHER_UID
    shipping = dataclasses.replace(make_app("shipping"), uid=OTHER_UID)
    _app(kube, shipping, body, job("sweep", "30 * * * *", **REQUEST))
    return kube


def run_of(
    kube: Kube,
    cron_job: str,
    slot: str,
    word: str = "Succeeded",
    *,
    took: float | None = 0.8,
    name: str = "",
    by_hand: bool = False,
    **said: Any,
) -> str:
    """Put one run into the cluster, as Job and pod; `took` None: it goes on. Returns the Job's name."""
    begin = datetime.fromisoformat(slot)
    minutes = int(begin.timestamp()) // 60
    name = name or f"{cron_job}-{minutes}"
    live = kube.objects["cronjobs", NAMESPACE, cron_job]
    start = begin + timedelta(seconds=1.3)
    end = start + timedelta(seconds=took or 0)
    failed = word != "Succeeded"
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": cron_job, "uid": live["metadata"]["uid"]}
    meta = {
        "creationTimestamp": rfc3339(begin),
        "uid": f"uid-{name}",
        "labels": live["metadata"]["labels"],
        "annotations": {"cronjob.kubernetes.io/instantiate": "manual"} if by_hand else {},
        "ownerReferences": [{**owner, "controller": True}],
    }
    condition = {"type": "Failed" if failed else "Complete", "status": "True", "lastTransitionTime": rfc3339(end)}
    condition |= {"reason": "PodFailurePolicy", "message": "exit code 2"} if failed else {}
    kube.put("jobs", NAMESPACE, name, status={"startTime": rfc3339(begin), "conditions": [condition] if took else []})
    kube.objects["jobs", NAMESPACE, name]["metadata"] |= meta
    app_uid = live["metadata"]["labels"]["cronix.dev/owner-uid"]
    outcome: dict[str, Any] = {
        "outcome": word, "run_id": runid.run_id(app_uid, cron_job, 0, minutes * 60),
        "scheduled_time": minutes * 60, "manual": by_hand, "start_time": start.timestamp(), "end_time": end.timestamp(),
        "attempts": 1, "http_status": 200, "message": "", "excerpt": "",
    } | said  # fmt: skip
    times = {"startedAt": rfc3339(start), "finishedAt": rfc3339(end)}
    ended = {"exitCode": EXIT_CODES[word], "message": dump_outcome(Outcome(**outcome)), **times}
    state = {"terminated": ended} if took else {"running": {"startedAt": rfc3339(start)}}
    kube.put("pods", NAMESPACE, f"{name}-pod", status={"containerStatuses": [{"name": "signer", "state": state}]})
    kube.objects["pods", NAMESPACE, f"{name}-pod"]["metadata"] |= {
        "creationTimestamp": rfc3339(begin),
        "labels": {**live["metadata"]["labels"], "batch.kubernetes.io/job-name": name},
        "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"uid-{name}", "controller": True}
        ],
    }
    return name


def busy_shop() -> Kube:
    """The shop after a night: good runs, an app that was down at two, a run under way, a slot that never started."""
    kube = shop()
    for slot in ("09:15", "09:30", "09:45"):
        run_of(kube, "cronix-billing-reconcile-payments-0", f"2026-11-24T{slot}:00Z")
    kube.objects["cronjobs", NAMESPACE, "cronix-billing-reconcile-payments-0"]["status"]["lastScheduleTime"] = (
        "2026-11-24T10:00:00Z"
    )
    run_of(kube, "cronix-billing-reconcile-payments-0", "2026-11-24T10:00:00Z", took=None)
    kube.objects["cronjobs", NAMESPACE, "cronix-billing-reconcile-payments-0"]["status"]["active"] = [{"name": "x"}]
    for day in ("23", "24"):
        run_of(
            kube, "cronix-billing-settle-invoices-0", f"2026-11-{day}T01:00:00Z", "RetriesExhausted", took=31.0,
            attempts=3, http_status=503, message="3 attempts failed; the last: answered 503", excerpt="maintenance",
        )  # fmt: skip
    run_of(kube, "cronix-billing-settle-invoices-1", "2026-11-23T13:30:00Z")
    run_of(
        kube, "cronix-shipping-sweep-0", "2026-11-24T09:50:00Z", "AppRejected", name="cronix-shipping-sweep-0-hand1",
        by_hand=True, http_status=401, message="answered 401", excerpt="SignatureMismatch", took=0.2,
    )  # fmt: skip
    kube.objects["cronjobs", NAMESPACE, "cronix-shipping-sweep-0"]["status"]["lastScheduleTime"] = (
        "2026-11-24T08:30:00Z"
    )
    return kube


def _app(kube: Kube, app: App, body: dict[str, Any], *jobs: dict[str, Any]) -> None:
    wanted = desired(app, *jobs)
    for want in wanted.cron_jobs:
        slot = "2026-11-24T09:57:00Z" if want.schedule.startswith("@every") else "2026-11-24T09:45:00Z"
        kube.objects["cronjobs", NAMESPACE, want.name] = live_of(want, lastScheduleTime=slot)
    rows = [_row(want) for want in wanted.cron_jobs]
    invalid = [{"name": f.job, "reason": f.reason, "message": f.message} for f in wanted.faults]
    body["status"] = {
        "observedGeneration": 1,
        "app": app.app,
        "conditions": [_ready(bool(invalid))],
        "manifest": {
            "hash": "sha256:ab12cd" + "0" * 58,
            "lastFetchTime": "2026-11-24T09:59:52Z",
            "lastChangeTime": "2026-11-20T08:00:00Z",
        },
        "summary": {"jobs": len(jobs), "cronJobs": len(rows), "invalid": len(invalid)},
        "jobs": rows,
        "invalidJobs": invalid,
    }
    kube.put("cronixapps", NAMESPACE, app.name, **{k: v for k, v in body.items() if k != "metadata"})
    kube.objects["cronixapps", NAMESPACE, app.name]["metadata"] |= body["metadata"]


def _row(want: DesiredCronJob) -> dict[str, Any]:
    return {
        "name": want.job,
        "index": want.index,
        "cronJobName": want.name,
        "schedule": want.schedule,
        "timeZone": want.time_zone,
    }


def _ready(invalid: bool) -> dict[str, Any]:
    verdict = ("False", "JobsInvalid") if invalid else ("True", "Succeeded")
    message = "5 CronJobs in step with sha256:ab12cd"
    if invalid:
        message = 'job "weird": end of range (7) above maximum (6): 7; Sunday is 0 or SUN in Kubernetes. ' + message
    return {
        "type": "Ready",
        "status": verdict[0],
        "reason": verdict[1],
        "message": message,
        "lastTransitionTime": "2026-11-20T08:00:00Z",
    }
