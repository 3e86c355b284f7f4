"""CronixApps, manifests and CronJobs as the operator's tests need them: small, valid, one thing changed at a time."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from cronix_operator.core.app import parse_app
from cronix_operator.core.memory import Memory
from cronix_operator.core.model import App, Desired, DesiredCronJob, Endpoint, Limits, Now
from cronix_operator.core.plan import Ground
from cronix_operator.core.render import render
from cronix_protocol.manifest import Manifest, parse_document

NAMESPACE = "shop"
APP_UID = "7d9c2a1e-0000-4000-8000-000000000001"
OTHER_UID = "7d9c2a1e-0000-4000-8000-000000000002"
START = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
ZONES = frozenset(available_timezones())
LIMITS = Limits(signer_image="registry.example.com/cronix-signer@sha256:" + "0" * 64)
ENDPOINT = Endpoint(
    url="http://billing.shop.svc:8080/.well-known/cron-manifest",
    connect_host="10.96.0.9",
    service_base_url="http://billing.shop.svc:8080",
    own_namespace_service=True,
)


def at(seconds: float) -> Now:
    """Both clocks, `seconds` after the start of the test."""
    return Now(START + timedelta(seconds=seconds), 1000.0 + seconds)


def app_body(
    name: str = "billing", *, annotations: dict[str, str] | None = None, generation: int = 1, **spec: Any
) -> dict[str, Any]:
    """The shortest CronixApp that works, with other or further fields of its spec."""
    full = {"source": {"service": {"name": name}}, "signing": {"secretRef": {"name": "keys"}}, **spec}
    return {
        "apiVersion": "cronix.dev/v1alpha1",
        "kind": "CronixApp",
        "metadata": {
            "namespace": NAMESPACE,
            "name": name,
            "uid": APP_UID,
            "generation": generation,
            "annotations": annotations or {},
        },
        "spec": {field: value for field, value in full.items() if value is not None},
    }


def make_app(name: str = "billing", *, annotations: dict[str, str] | None = None, **spec: Any) -> App:
    return parse_app(app_body(name, annotations=annotations, **spec))


def job(name: str, schedule: str | list[str] = "0 * * * *", **fields: Any) -> dict[str, Any]:
    """One job of a manifest; `fields` are merged in, an object into an object."""
    entry: dict[str, Any] = {
        "name": name,
        "request": {"url": f"http://billing.example.com/jobs/{name}"},
        **({"schedule": schedule} if isinstance(schedule, str) else {"schedules": schedule}),
    }
    for field, value in fields.items():
        entry[field] = {**entry.get(field, {}), **value} if isinstance(value, dict) else value
    return entry


def document(*jobs: dict[str, Any] | str, app: str = "billing") -> dict[str, Any]:
    """A manifest; a job may be given by its name alone."""
    return {"version": 1, "app": app, "jobs": [job(j) if isinstance(j, str) else j for j in jobs]}


def served(*jobs: dict[str, Any] | str, app: str = "billing") -> bytes:
    """A manifest as an app serves it."""
    return json.dumps(document(*jobs, app=app)).encode()


def manifest(*jobs: dict[str, Any] | str, app: str = "billing") -> Manifest:
    return parse_document(document(*jobs, app=app))


def desired(app: App, *jobs: dict[str, Any] | str, endpoint: Endpoint | None = ENDPOINT) -> Desired:
    return render(app, manifest(*jobs, app=app.app), endpoint, LIMITS, ZONES)


def one(app: App, entry: dict[str, Any] | str = "sync", *, endpoint: Endpoint | None = ENDPOINT) -> DesiredCronJob:
    """The only CronJob of a manifest with this one job."""
    (want,) = desired(app, entry, endpoint=endpoint).cron_jobs
    return want


def live_of(want: DesiredCronJob, *, created: str = "2026-11-01T00:00:00Z", **status: Any) -> dict[str, Any]:
    """The CronJob as the API server holds it after our write."""
    live = copy.deepcopy(dict(want.body))
    live["metadata"] |= {"uid": f"uid-{want.name}", "resourceVersion": "7", "creationTimestamp": created}
    live["status"] = status
    return live


def ground(memory: Memory | None = None, seconds: float = 0.0) -> Ground:
    held, now = memory or Memory(), at(seconds)
    return Ground(held.pairs, held.repairs, now.utc, now.monotonic)
