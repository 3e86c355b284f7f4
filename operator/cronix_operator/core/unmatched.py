"""What a CronixApp says about jobs that its manifest does not have; names in, a sentence out; no I/O."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection

from cronix_operator.core.advice import some
from cronix_operator.core.app import SUSPENDED_JOBS
from cronix_operator.core.model import App

MAX_SHOWN = 5


def unmatched(app: App, jobs: Collection[str]) -> dict[str, tuple[str, str]]:
    """The condition NoSuchJob as type → (reason, message), or nothing.

    A mistyped glob would else be a wish that nobody hears: the job runs on as if nothing had been said.
    """
    lost = [
        f'spec.overrides[{i}].jobs: "{glob}"'
        for i, override in enumerate(app.overrides)
        for glob in override.jobs
        if not any(fnmatch.fnmatchcase(job, glob) for job in jobs)
    ]
    lost += [f'{SUSPENDED_JOBS}: "{name}"' for name in app.suspended_jobs if name not in jobs]
    if not lost:
        return {}
    text = f"no job of the manifest is meant by {some(lost, MAX_SHOWN)}; its jobs are {some(sorted(jobs), MAX_SHOWN)}"
    return {"NoSuchJob": ("NoSuchJob", text)}
