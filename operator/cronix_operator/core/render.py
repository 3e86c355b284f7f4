"""App and Manifest in, Desired CronJobs out; no I/O.

Every field that the API server would default is written, so that it returns exactly what was sent and a comparison of
two dicts is the whole drift check (tried on 1.34: `diff` empty). What cannot be rendered becomes a JobFault; the other
jobs go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cronix_operator.core import budget, naming, podspec, targets
from cronix_operator.core.app import owner_reference
from cronix_operator.core.keys import KeyNotMapped
from cronix_operator.core.kinds import Common, Kind, Own, overrides_of
from cronix_operator.core.model import App, Desired, DesiredCronJob, Endpoint, ExtraScheme, JobFault, JobKnobs, Limits
from cronix_operator.core.mold import sorted_json
from cronix_operator.core.previous import SUCCESS_FILE
from cronix_operator.core.schemes import schemes_fire, schemes_for, why_impossible
from cronix_protocol.canonical import job_hashes, normalized_job
from cronix_protocol.jobfaults import kubernetes_faults
from cronix_protocol.jobfile import JobFileInvalid, dump_job_file, parse_job_file
from cronix_protocol.manifest import Job, Manifest
from cronix_protocol.schedule import parse_schedule

# One env string of the kernel is at most 128 KiB (measured: 131,060 bytes); half of it is generous for a job.
MAX_JOB_FILE_BYTES = 64 * 1024
MAX_BUDGET_SECONDS = 24 * 3600


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
    common = Common(app, endpoint, limits, preferred_keys)
    for job in manifest.jobs:
        found = kubernetes_faults(job, time_zones)
        if found:
            faults.extend(JobFault(job.name, None, fault.code, f"{fault.path}: {fault.message}") for fault in found)
            continue
        for index, fingerprint in enumerate(job_hashes(job)):
            try:
                cron_jobs.append(_cron_job(common, job, index, fingerprint))
            except (_Unrenderable, targets.TargetRefused) as exc:
                faults.append(JobFault(job.name, index, exc.reason, exc.message))
    return Desired(tuple(cron_jobs), tuple(faults), tuple(job.name for job in manifest.jobs))


def spec_hash(spec: Mapping[str, Any]) -> str:
    """64 bits over a CronJob spec's canonical JSON, as 16 hex digits; equal iff the specs are."""
    return _hash_of(sorted_json(spec))


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _cron_job(common: Common, job: Job, index: int, fingerprint: str) -> DesiredCronJob:
    app = common.app
    name = naming.cron_job_name(app.app, job.name, index)
    labels = naming.labels(app.app, job.name, index)
    overrides = overrides_of(app, job.name)
    seconds = _budget(job, common.knobs(overrides))
    keys = _keys(common, job)
    kind = Kind(overrides, job.secret_refs, _schemes(app, job))
    own = Own(
        schedule=parse_schedule(job.schedules[index]).kubernetes,
        time_zone=job.timezone,
        concurrency=job.policy.concurrency,
        suspend=is_suspended(app, job.name),
        job=job.name,
        job_label=labels[naming.JOB],
        index_label=labels[naming.INDEX],
        job_deadline_seconds=budget.job_deadline_seconds(seconds),
        pod_deadline_seconds=budget.pod_deadline_seconds(seconds),
        job_file=_job_file(common, kind, job, index, keys, _fire(common, kind, job, name, seconds)),
    )
    mold, filling = common.mold(kind), own._asdict()
    body = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _metadata(app, job, name, labels, fingerprint),
        "spec": mold.filled(filling),
    }
    hashed = _hash_of(mold.text(filling))
    return DesiredCronJob(name, job.name, index, own.schedule, own.time_zone, body, hashed, fingerprint)


def _job_file(
    common: Common,
    kind: Kind,
    job: Job,
    index: int,
    keys: Sequence[podspec.MountedKey],
    fire: Mapping[str, object],
) -> str:
    text = dump_job_file(
        app=common.app.app,
        job=normalized_job(job),
        secret_refs=[f"file:{key.file}" for key in keys],
        schedule_index=index,
        fire=fire,
    )
    # Once for each kind: what is the app's own part is the same in all of them, and what is the job's own has come
    # through the manifest's parser and `kubernetes_faults`, which let nothing pass that the signer refuses (a law test
    # holds them against each other). To read each file again was a sixth of what rendering cost.
    part = (kind, fire.get("target_base_url"))
    if part not in common.checked:
        _check_job_file(text)
        common.checked.add(part)
    if len(text) > MAX_JOB_FILE_BYTES:  # it is ASCII
        raise _Unrenderable(
            "JobTooLarge", f"the job file is {len(text)} bytes, at most {MAX_JOB_FILE_BYTES}; shorten request.body"
        )
    return text


def _check_job_file(text: str) -> None:
    """What the signer would refuse at every run is refused here."""
    try:
        parse_job_file(text)
    except JobFileInvalid as exc:
        raise _Unrenderable("InvalidJobFile", str(exc)) from exc


def _keys(common: Common, job: Job) -> tuple[podspec.MountedKey, ...]:
    try:
        return common.keys(job.secret_refs)
    except KeyNotMapped as exc:
        raise _Unrenderable("KeyNotMapped", _key_advice(exc, common.app)) from exc


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


def _fire(common: Common, kind: Kind, job: Job, name: str, seconds: int) -> dict[str, object]:
    knobs = common.knobs(kind.overrides)
    target = targets.decide_target(common.app, common.endpoint, job.request.url)
    fire: dict[str, object] = {
        "cronjob": name,
        "app_uid": common.app.uid,
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
    fire.update(common.connection_fire)
    if kind.schemes:
        fire["schemes"] = schemes_fire(kind.schemes)
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
