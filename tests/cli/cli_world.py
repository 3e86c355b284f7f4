"""A namespace `shop` with two apps, as an API server would show it; the jobs of the mock-ups."""

from __future__ import annotations

import dataclasses
from typing import Any

from cli.cli_helpers import Kube
from cronix_operator.core.model import App, DesiredCronJob
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
