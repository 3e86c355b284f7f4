"""Short words for tests of what the operator says about runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from e2e.e2e_helpers import Place, job, wait_until

YEARLY = "0 0 1 1 *"


def quick(name: str, schedule: str = YEARLY, **policy: Any) -> dict[str, Any]:
    """A job whose run takes seconds: one attempt, unless the policy says more."""
    base: dict[str, Any] = {"timeout_seconds": 30, "retries": {"max_attempts": 1, "min_seconds": 1, "max_seconds": 1}}
    return job(name, schedule, policy=base | policy)


def by_hand(place: Place, app: str, name: str, run: str) -> None:
    """`kubectl create job --from`, as a person does it."""
    place.kubectl("create", "job", run, f"--from=cronjob/cronix-{app}-{name}-0")


def is_over(job_body: Mapping[str, Any]) -> bool:
    """Whether a Job has ended, well or not."""
    conditions = job_body.get("status", {}).get("conditions", [])
    return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)


def wait_end(place: Place, name: str, seconds: float = 90) -> None:
    """Until a Job has ended."""
    wait_until(lambda: is_over(place.get("job", name)), seconds, f"Job {name} has ended")


def row(place: Place, app: str, name: str) -> dict[str, Any]:
    """The status row of a job's first schedule, {} while there is none."""
    rows = place.get("cxa", app).get("status", {}).get("jobs", [])
    return next((dict(r) for r in rows if (r["name"], r["index"]) == (name, 0)), {})


def last(place: Place, app: str, name: str) -> dict[str, Any]:
    """The last run of a job, {} while none has ended."""
    return dict(row(place, app, name).get("lastRun", {}))


def column(place: Place, app: str, name: str) -> str:
    """A column of `kubectl get cxa -o wide`, as a person reads it."""
    text = place.kubectl("get", "cxa", app, "-o", "wide")
    head, line = text.splitlines()[:2]
    start = head.index(name)
    rest = head[start + len(name) :]
    width = len(name) + len(rest) - len(rest.lstrip())
    return str(line[start : start + width].strip() if rest.strip() else line[start:].strip())


def failed_jobs(jobs: list[Mapping[str, Any]]) -> list[str]:
    """Names of the Jobs that have failed."""
    found = []
    for body in jobs:
        conditions = body.get("status", {}).get("conditions", [])
        if any(c["type"] == "Failed" and c["status"] == "True" for c in conditions):
            found.append(body["metadata"]["name"])
    return found
