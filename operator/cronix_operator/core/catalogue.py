"""Every metric of the operator: name, kind, labels, help text; constants only.

One list, so that the endpoint, docs/metrics.md and the tests cannot speak of different ones. No label is called `job`:
that is Prometheus' own, and ours would come out as `exported_job`.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["gauge", "counter", "histogram"]

APP_LABELS = ("namespace", "name")
JOB_LABELS = (*APP_LABELS, "cronix_job", "index")

WALK_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_BUCKETS = (0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0)
RUN_BUCKETS = (0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 15.0, 60.0, 300.0, 1800.0)
DELAY_BUCKETS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
FETCH_BUCKETS = (0.05, 0.25, 1.0, 5.0, 10.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One metric. `buckets`: upper bounds of a histogram, in the unit of its name. `per_job`: a series per CronJob."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def per_job(self) -> bool:
        return self.labels[: len(JOB_LABELS)] == JOB_LABELS


OPERATOR = (
    Family("cronix_build_info", "gauge", ("version", "python_version"), "The operator's version; always 1."),
    Family(
        "cronix_operator_leader",
        "gauge",
        (),
        "1 in the replica that looks after CronixApps; 0 while another one leads, or rights are missing.",
    ),
    Family(
        "cronix_operator_workqueue_depth", "gauge", (), "CronixApps that are due now and that no worker has taken yet."
    ),
    Family(
        "cronix_operator_last_loop_timestamp_seconds",
        "gauge",
        (),
        "When the work loop last turned, in Unix seconds; it turns once a second.",
    ),
    Family(
        "cronix_operator_event_lag_seconds",
        "histogram",
        (),
        "From the moment a CronixApp is due (a watch event, a timer) until a worker takes it.",
        LAG_BUCKETS,
    ),
    Family(
        "cronix_operator_reconcile_total",
        "counter",
        ("result",),
        "Walks for one CronixApp, by the reason of the Ready condition that came of them.",
    ),
    Family(
        "cronix_operator_reconcile_duration_seconds",
        "histogram",
        (),
        "Time of one walk for one CronixApp: fetch, compare, write.",
        WALK_BUCKETS,
    ),
    Family(
        "cronix_operator_api_requests_total",
        "counter",
        ("verb", "resource", "code"),
        "Requests of the walks to the API server, without the watches; code is the HTTP status, or none.",
    ),
)

APP = (
    Family("cronix_app_info", "gauge", (*APP_LABELS, "app"), "A CronixApp and the app id in force; always 1."),
    Family(
        "cronix_app_condition",
        "gauge",
        (*APP_LABELS, "type", "status"),
        "1 for the status that a condition has, 0 for the other; only Ready is there all the time.",
    ),
    Family("cronix_app_suspended", "gauge", APP_LABELS, "1 while spec.suspend is true."),
    Family(
        "cronix_app_cronjobs",
        "gauge",
        (*APP_LABELS, "state"),
        "CronJobs that are active or suspended, jobs that are invalid, and CronJobs that are orphaned.",
    ),
    Family(
        "cronix_app_fetch_total",
        "counter",
        (*APP_LABELS, "result", "code_class"),
        "Requests for the manifest, those about keys too, by Succeeded or the reason, and by the class of the answer.",
    ),
    Family("cronix_app_fetch_duration_seconds", "histogram", APP_LABELS, "Time of one manifest fetch.", FETCH_BUCKETS),
    Family(
        "cronix_app_manifest_last_success_timestamp_seconds",
        "gauge",
        APP_LABELS,
        "When a good manifest was last read, in Unix seconds.",
    ),
    Family(
        "cronix_app_manifest_last_change_timestamp_seconds",
        "gauge",
        APP_LABELS,
        "When the content of the good manifest last changed, in Unix seconds.",
    ),
    Family("cronix_app_consecutive_failures", "gauge", APP_LABELS, "Readings of the manifest that failed, in a row."),
    Family("cronix_app_interval_seconds", "gauge", APP_LABELS, "How often the manifest is read: spec.source.interval."),
    Family(
        "cronix_app_drift_corrected_total", "counter", APP_LABELS, "Foreign changes to a CronJob that were put right."
    ),
    Family(
        "cronix_app_pruned_total", "counter", APP_LABELS, "CronJobs deleted because the manifest no longer names them."
    ),
)

RUN = (
    Family(
        "cronix_runs_total",
        "counter",
        (*JOB_LABELS, "outcome"),
        "Runs that have ended, by what came of them, in the words of status and Events.",
    ),
    Family("cronix_run_attempts_total", "counter", JOB_LABELS, "Requests that the signer sent for those runs."),
    Family(
        "cronix_run_duration_seconds",
        "histogram",
        APP_LABELS,
        "From the signer's start to the end of its Job, all attempts and pauses included.",
        RUN_BUCKETS,
    ),
    Family(
        "cronix_run_start_delay_seconds",
        "histogram",
        APP_LABELS,
        "From the slot to the signer's start; manual runs have none.",
        DELAY_BUCKETS,
    ),
    Family(
        "cronix_run_duplicates_total",
        "counter",
        APP_LABELS,
        "Pods too many that reported a success for one Job: the app was asked again with the same run id.",
    ),
    Family(
        "cronix_http_responses_total",
        "counter",
        (*APP_LABELS, "code_class"),
        "Runs by the class of the app's last answer; none: there was no answer.",
    ),
)

JOB = (
    Family("cronix_job_suspended", "gauge", JOB_LABELS, "1 while the CronJob is suspended."),
    Family(
        "cronix_job_next_run_timestamp_seconds",
        "gauge",
        JOB_LABELS,
        "The next slot, in Unix seconds; not there while the CronJob is suspended.",
    ),
    Family(
        "cronix_job_period_seconds",
        "gauge",
        JOB_LABELS,
        "The largest gap between the last start (or the creation) and the ten slots after it.",
    ),
    Family("cronix_job_created_timestamp_seconds", "gauge", JOB_LABELS, "When the CronJob was made, in Unix seconds."),
    Family("cronix_job_last_run_timestamp_seconds", "gauge", JOB_LABELS, "When the last run ended, in Unix seconds."),
    Family(
        "cronix_job_last_success_timestamp_seconds",
        "gauge",
        JOB_LABELS,
        "When a successful run last ended, in Unix seconds.",
    ),
    Family(
        "cronix_job_consecutive_failures", "gauge", JOB_LABELS, "Runs that failed since the last one that succeeded."
    ),
    Family("cronix_job_active_runs", "gauge", JOB_LABELS, "Runs that are under way."),
    Family(
        "cronix_job_missed_slots", "gauge", JOB_LABELS, "Slots that nothing started, so far; status keeps the number."
    ),
    Family(
        "cronix_job_last_missed_slot_timestamp_seconds",
        "gauge",
        JOB_LABELS,
        "The newest of them, in Unix seconds; not there before the first.",
    ),
)

FAMILIES = (*OPERATOR, *APP, *JOB, *RUN)
