"""App and Manifest in, Desired CronJobs out; no I/O.

Every field that the API server would default is written, so that it returns exactly what was sent and a comparison of
two dicts is the whole drift check (tried on 1.34: `diff` empty). What cannot be rendered becomes a JobFault; the other
jobs go on.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cronix_operator.core import budget, naming, podspec, targets
from cronix_operator.core.app import owner_reference
from cronix_operator.core.keys import KeyNotMapped, job_keys
from cronix_operator.core.model import App, Desired, DesiredCronJob, Endpoint, ExtraScheme, JobFault, JobKnobs, Limits
from cronix_operator.core.previous import SUCCESS_FILE, success_volume
from cronix_operator.core.schemes import schemes_fire, schemes_for, why_impossible
from cronix_protocol.canonical import job_hash, normalized_job
from cronix_protocol.jobfaults import kubernetes_faults
from cronix_protocol.jobfile import JobFileInvalid, dump_job_file, parse_job_file
from cronix_protocol.manifest import Job, Manifest
from cronix_protocol.schedule import parse_schedule

# One env string of the kernel is at most 128 KiB (measured: 131,060 bytes); half of it is generous for a job.
MAX_JOB_FILE_BYTES = 64 * 1024
MAX_BUDGET_SECONDS = 24 * 3600
# Made once: `json.dumps` makes an encoder for every call that asks for more than its defaults.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class _Unrenderable(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def render(
    app: App,
    manifest: Manifest,
    endpoint: Endpoint | None,
    limits: Limits,
    time_zones: Collection[str],
    preferred_keys: Sequence[str] = (),
) -> Desired:
    """All CronJobs the manifest asks for within what the CronixApp allows, and a fault for each one that cannot be.

    `time_zones`: the zone names Kubernetes knows (asking the file system is I/O, so it is an argument).
    `preferred_keys`: the names of the keys that the app accepts, as far as known; the first that a job has signs.
    """
    cron_jobs: list[DesiredCronJob] = []
    faults: list[JobFault] = []
    for job in manifest.jobs:
        found = kubernetes_faults(job, time_zones)
        if found:
            faults.extend(JobFault(job.name, None, fault.code, f"{fault.path}: {fault.message}") for fault in found)
            continue
        for index in range(len(job.schedules)):
            try:
                cron_jobs.append(_cron_job(app, job, index, endpoint, limits, preferred_keys))
            except (_Unrenderable, targets.TargetRefused) as exc:
                faults.append(JobFault(job.name, index, exc.reason, exc.message))
    return Desired(tuple(cron_jobs), tuple(faults), tuple(job.name for job in manifest.jobs))


def spec_hash(spec: Mapping[str, Any]) -> str:
    """64 bits over a CronJob spec's canonical JSON, as 16 hex digits; equal iff the specs are."""
    return hashlib.sha256(_canonical(spec).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def knobs_for(app: App, job: str) -> JobKnobs:
    """The CronixApp's knobs for one job: the first override that says a field wins, then `jobDefaults`."""
    layers = [o.knobs for o in app.overrides if any(fnmatch.fnmatchcase(job, glob) for glob in o.jobs)]
    layers.append(app.job_defaults)
    merged: dict[str, Any] = {}
    for field in JobKnobs.__dataclass_fields__:
        merged[field] = next((v for layer in layers if (v := getattr(layer, field)) is not None), None)
    return JobKnobs(**merged)


def _cron_job(
    app: App, job: Job, index: int, endpoint: Endpoint | None, limits: Limits, preferred_keys: Sequence[str]
) -> DesiredCronJob:
    knobs = knobs_for(app, job.name)
    name = naming.cron_job_name(app.app, job.name, index)
    labels = naming.labels(app.app, job.name, index)
    schedule = parse_schedule(job.schedules[index])
    fingerprint = job_hash(job, index)
    seconds = _budget(job, knobs)
    try:
        keys = podspec.mounted_keys(job_keys(app, job.secret_refs, preferred_keys))
    except KeyNotMapped as exc:
        raise _Unrenderable("KeyNotMapped", _key_advice(exc, app)) from exc
    extra_schemes = _schemes(app, job)
    fire = _fire(app, job, name, endpoint, knobs, seconds)
    if extra_schemes:
        fire["schemes"] = schemes_fire(extra_schemes)
    text = dump_job_file(
        app=app.app,
        job=normalized_job(job),
        secret_refs=[f"file:{key.file}" for key in keys],
        schedule_index=index,
        fire=fire,
    )
    _check_job_file(text)
    told = [success_volume(app.name, job.name)] if knobs.previous_success_time else []
    pod = podspec.pod_template(app.connection, knobs, labels, keys, extra_schemes, text, seconds, limits, told)
    spec = _spec(app, job, schedule.kubernetes, knobs, labels, seconds, pod)
    body = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _metadata(app, job, name, labels, fingerprint),
        "spec": spec,
    }
    return DesiredCronJob(name, job.name, index, schedule.kubernetes, job.timezone, body, spec_hash(spec), fingerprint)


def _check_job_file(text: str) -> None:
    """What the signer would refuse at every run is refused here, once."""
    try:
        parse_job_file(text)
    except JobFileInvalid as exc:
        raise _Unrenderable("InvalidJobFile", str(exc)) from exc
    if len(text.encode()) > MAX_JOB_FILE_BYTES:
        raise _Unrenderable(
            "JobTooLarge",
            f"the job file is {len(text.encode())} bytes, at most {MAX_JOB_FILE_BYTES}; shorten request.body",
        )


def _budget(job: Job, knobs: JobKnobs) -> int:
    seconds = budget.retry_budget_seconds(
        job.policy, knobs.jitter_seconds or 0, honor_retry_after=bool(knobs.honor_retry_after)
    )
    if seconds > MAX_BUDGET_SECONDS:
        raise _Unrenderable(
            "BudgetTooLong",
            f"policy: all attempts with their pauses take up to {seconds} s, at most {MAX_BUDGET_SECONDS}; "
            "lower policy.retries.max_seconds or max_attempts",
        )
    return seconds


def _schemes(app: App, job: Job) -> tuple[ExtraScheme, ...]:
    chosen = schemes_for(app.extra_schemes, job.name)
    wrong = why_impossible(job, chosen)
    if wrong is not None:
        raise _Unrenderable("SchemeNotPossible", wrong)
    return chosen


def _key_advice(exc: KeyNotMapped, app: App) -> str:
    if app.signing_secret is not None:
        return (
            f'auth.secret_refs: "{exc.name}" cannot be a data key of Secret "{app.signing_secret}"; '
            "map it with spec.signing.keys"
        )
    return (
        f'auth.secret_refs: the manifest asks for key "{exc.name}", spec.signing.keys offers {", ".join(exc.offered)}; '
        f"add {{name: {exc.name}, secretKeyRef: …}} or correct the manifest"
    )


def _fire(app: App, job: Job, name: str, endpoint: Endpoint | None, knobs: JobKnobs, seconds: int) -> dict[str, object]:
    target = targets.decide_target(app, endpoint, job.request.url)
    fire: dict[str, object] = {
        "cronjob": name,
        "app_uid": app.uid,
        "starting_deadline_seconds": knobs.starting_deadline_seconds or podspec.STARTING_DEADLINE_SECONDS,
        "active_deadline_seconds": budget.job_deadline_seconds(seconds),
    }
    if target.base_url is not None:
        fire["target_base_url"] = target.base_url
    if knobs.jitter_seconds:
        fire["jitter_seconds"] = knobs.jitter_seconds
    if knobs.retry_on:
        fire["retry_on"] = list(knobs.retry_on)
    if knobs.honor_retry_after:
        fire["honor_retry_after"] = True
    if knobs.previous_success_time:
        fire["previous_success_file"] = SUCCESS_FILE
    fire.update(podspec.connection_fire(app.connection))
    return fire


def _metadata(app: App, job: Job, name: str, labels: Mapping[str, str], fingerprint: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": app.namespace,
        "labels": {**labels, naming.OWNER_UID: app.uid},
        "annotations": {
            naming.JOB_NAME_ANNOTATION: job.name,
            naming.JOB_HASH_ANNOTATION: fingerprint,
            naming.OWNER_UID: app.uid,
        },
        "ownerReferences": [owner_reference(app)],
    }


def is_suspended(app: App, job: str) -> bool:
    """Whether a job is suspended: its app is, or the annotation `cronix.dev/suspended-jobs` names it."""
    return app.suspend or job in app.suspended_jobs


def _spec(
    app: App, job: Job, schedule: str, knobs: JobKnobs, labels: Mapping[str, str], seconds: int, pod: Mapping[str, Any]
) -> dict[str, Any]:
    job_spec: dict[str, Any] = {
        "activeDeadlineSeconds": budget.job_deadline_seconds(seconds),
        "backoffLimit": budget.BACKOFF_LIMIT,
        "podFailurePolicy": podspec.pod_failure_policy(),
        "podReplacementPolicy": "Failed",
        "template": pod,
    }
    if knobs.ttl_seconds_after_finished is not None:
        job_spec["ttlSecondsAfterFinished"] = knobs.ttl_seconds_after_finished
    return {
        "schedule": schedule,
        "timeZone": job.timezone,
        "startingDeadlineSeconds": knobs.starting_deadline_seconds or podspec.STARTING_DEADLINE_SECONDS,
        "concurrencyPolicy": job.policy.concurrency,
        "suspend": is_suspended(app, job.name),
        "successfulJobsHistoryLimit": _default(knobs.successful_jobs_history_limit, 3),
        "failedJobsHistoryLimit": _default(knobs.failed_jobs_history_limit, 1),
        "jobTemplate": {"metadata": {"labels": dict(labels)}, "spec": job_spec},
    }


def _default(value: int | None, default: int) -> int:
    return default if value is None else value
