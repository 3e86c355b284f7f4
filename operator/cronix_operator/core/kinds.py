"""What the CronJobs of one app have in common, made once for all of them: App and Limits in, molds out; no I/O.

A job is of a kind by the overrides that name it, the keys that its manifest names and its further signatures; CronJobs
of one kind differ in an `Own` each, and in nothing else.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cronix_operator.core import budget, naming, podspec
from cronix_operator.core.keys import job_keys
from cronix_operator.core.model import App, Endpoint, ExtraScheme, JobKnobs, Limits
from cronix_operator.core.mold import Hole, Mold
from cronix_operator.core.previous import success_volume


class Own(NamedTuple):
    """What in a CronJob's spec is its own; all else it shares with the others of its kind."""

    schedule: str
    time_zone: str
    concurrency: str
    suspend: bool
    job: str
    job_label: str
    index_label: str
    job_deadline_seconds: int
    pod_deadline_seconds: int
    job_file: str


_HOLES = Own._make(map(Hole, Own._fields))


class Kind(NamedTuple):
    """`overrides`: places in the CronixApp's list. `refs`: the manifest's names of keys, none for the usual ones."""

    overrides: tuple[int, ...]
    refs: tuple[str, ...]
    schemes: tuple[ExtraScheme, ...]


def knobs_for(app: App, job: str) -> JobKnobs:
    """The CronixApp's knobs for one job: the first override that says a field wins, then `jobDefaults`."""
    return _merged(app, overrides_of(app, job))


def overrides_of(app: App, job: str) -> tuple[int, ...]:
    """The places of the overrides that name a job, in the CronixApp's order."""
    return tuple(i for i, o in enumerate(app.overrides) if any(fnmatch.fnmatchcase(job, glob) for glob in o.jobs))


def _merged(app: App, overrides: tuple[int, ...]) -> JobKnobs:
    layers = [*(app.overrides[i].knobs for i in overrides), app.job_defaults]
    merged: dict[str, Any] = {}
    for field in JobKnobs.__dataclass_fields__:
        merged[field] = next((v for layer in layers if (v := getattr(layer, field)) is not None), None)
    return JobKnobs(**merged)


class Common:
    """What the CronJobs of one app share, each part made when the first of them asks; it lives as long as one walk."""

    def __init__(self, app: App, endpoint: Endpoint | None, limits: Limits, preferred_keys: Sequence[str]) -> None:
        self.app = app
        self.endpoint = endpoint
        self.connection_fire = podspec.connection_fire(app.connection)
        self.checked: set[object] = set()  # kinds of job files that the signer is known to take
        self._limits = limits
        self._preferred_keys = preferred_keys
        self._knobs: dict[tuple[int, ...], JobKnobs] = {}
        self._keys: dict[tuple[str, ...], tuple[podspec.MountedKey, ...]] = {}
        self._molds: dict[Kind, Mold] = {}

    def knobs(self, overrides: tuple[int, ...]) -> JobKnobs:
        """The knobs of jobs that these overrides name."""
        if overrides not in self._knobs:
            self._knobs[overrides] = _merged(self.app, overrides)
        return self._knobs[overrides]

    def keys(self, refs: tuple[str, ...]) -> tuple[podspec.MountedKey, ...]:
        """The keys of jobs whose manifest names these; raises KeyNotMapped."""
        if refs not in self._keys:
            self._keys[refs] = podspec.mounted_keys(job_keys(self.app, refs, self._preferred_keys))
        return self._keys[refs]

    def mold(self, kind: Kind) -> Mold:
        """The spec of CronJobs of a kind, to be filled with an Own; raises KeyNotMapped."""
        if kind not in self._molds:
            self._molds[kind] = self._made(kind, _HOLES)
        return self._molds[kind]

    def _made(self, kind: Kind, own: Own) -> Mold:
        app, knobs = self.app, self.knobs(kind.overrides)
        labels = {**naming.labels(app.app, own.job, 0), naming.JOB: own.job_label, naming.INDEX: own.index_label}
        pod = podspec.pod_template(
            app.connection,
            knobs,
            labels,
            self.keys(kind.refs),
            kind.schemes,
            own.job_file,
            own.pod_deadline_seconds,
            self._limits,
            [success_volume(app.name, own.job)] if knobs.previous_success_time else [],
        )
        return Mold(_spec(knobs, labels, own, pod))


def _spec(knobs: JobKnobs, labels: Mapping[str, str], own: Own, pod: Mapping[str, Any]) -> dict[str, Any]:
    job_spec: dict[str, Any] = {
        "activeDeadlineSeconds": own.job_deadline_seconds,
        "backoffLimit": budget.BACKOFF_LIMIT,
        "podFailurePolicy": podspec.pod_failure_policy(),
        "podReplacementPolicy": "Failed",
        "template": pod,
    }
    if knobs.ttl_seconds_after_finished is not None:
        job_spec["ttlSecondsAfterFinished"] = knobs.ttl_seconds_after_finished
    return {
        "schedule": own.schedule,
        "timeZone": own.time_zone,
        "startingDeadlineSeconds": knobs.starting_deadline_seconds or podspec.STARTING_DEADLINE_SECONDS,
        "concurrencyPolicy": own.concurrency,
        "suspend": own.suspend,
        "successfulJobsHistoryLimit": _default(knobs.successful_jobs_history_limit, 3),
        "failedJobsHistoryLimit": _default(knobs.failed_jobs_history_limit, 1),
        "jobTemplate": {"metadata": {"labels": dict(labels)}, "spec": job_spec},
    }


def _default(value: int | None, default: int) -> int:
    return default if value is None else value
