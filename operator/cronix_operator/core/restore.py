"""The last good manifest, read back from the CronJobs that were made of it; no I/O.

An operator that starts while the app's manifest cannot be fetched has no manifest in memory. Every CronJob carries its
whole job, though, and status the digest of the manifest they came from: put together and with the same digest, it is
that manifest, and drift is repaired as before the restart. Anything else (a CronJob missing or edited) is not it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from cronix_operator.core.memory import Good, manifest_digest
from cronix_operator.core.model import App, Endpoint, KubeObject
from cronix_operator.core.plan import owned_by
from cronix_protocol.manifest import ManifestInvalid, parse_document


def restore(
    app: App, digest: str, changed_at: datetime, endpoint: Endpoint | None, observed: Iterable[KubeObject]
) -> Good | None:
    """The manifest whose digest is `digest`, from the app's own CronJobs; None when they are not all of it.

    The time of its fetch is not known any more; `changed_at` is the latest that is certain.
    """
    jobs = {name: job for live in owned_by(app, observed) for name, job in _job(app, live)}
    try:
        manifest = parse_document({"version": 1, "app": app.app, "jobs": list(jobs.values())})
    except ManifestInvalid:
        return None
    if manifest_digest(manifest) != digest:
        return None
    return Good(manifest, digest, endpoint, fetched_at=changed_at, changed_at=changed_at)


def _job(app: App, live: KubeObject) -> list[tuple[str, object]]:
    """The name and the normalized job in a CronJob's job file; empty for one that somebody made unreadable."""
    try:
        env = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"]
        text = next(entry["value"] for entry in env if entry["name"] == "CRONIX_JOB")
        document = json.loads(text)
        return [(str(document["job"]["name"]), document["job"])] if document["app"] == app.app else []
    except (KeyError, IndexError, TypeError, ValueError, StopIteration, RecursionError):
        return []
