"""Hundreds of CronixApps drawn at random, slow ones and broken ones among them, beside a healthy one (promise 7)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from crd.crd_helpers import root_schema
from e2e.bulk import APPLY_PATCH, MERGE_PATCH, Bulk, Call, accepted, cron_jobs, cronix_apps
from e2e.conftest import SYSTEM_NAMESPACE
from e2e.e2e_helpers import Kubectl, Place, cronix_app, job, manifest, wait_until
from e2e.random_apps import RandomApps

APPS = int(os.environ.get("CRONIX_FUZZ_APPS", "150"))
SEED = int(os.environ.get("CRONIX_TEST_SEED") or time.time_ns())
HEALTHY = "cronix-healthy-keep-0"


def _healthy(schedule: str) -> dict[str, Any]:
    return cronix_app("healthy", {"inline": manifest("healthy", job("keep", schedule))})


def _repair_seconds(place: Place, bulk: Bulk) -> float:
    """How long the healthy app's CronJob stays as somebody has edited it."""
    path, started = cron_jobs(place.namespace, HEALTHY), time.monotonic()
    accepted([bulk.one(Call("PATCH", path, {"spec": {"suspend": True}}, MERGE_PATCH))])
    wait_until(lambda: not bulk.one(Call("GET", path)).body["spec"]["suspend"], 60, "drift of the healthy app")
    return time.monotonic() - started


def _restarts(kubectl: Kubectl) -> dict[str, int]:
    pods = kubectl("-n", SYSTEM_NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=cronix-operator", "-o", "json")
    return {
        p["metadata"]["name"]: sum(c["restartCount"] for c in p["status"].get("containerStatuses", ()))
        for p in pods["items"]
    }


@pytest.mark.timeout(1800)
def test_random_cronix_apps_do_not_keep_a_healthy_one_from_its_work(
    place: Place, kubeconfig: Path, kubectl: Kubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    """T8, K9: what the API server accepts of a random lot stops neither the operator nor the app beside it.

    Among them are apps whose fetch hangs until its timeout, forged status and annotations, and manifests of nonsense.
    In the end the namespace goes while the operator is at work in it.
    """
    bulk = Bulk(kubeconfig)
    place.secret("puppet-cron", current="a key for those that come as far as to sign")
    place.apply(_healthy("0 3 1 1 *"))
    place.wait_ready("healthy")
    restarts = _restarts(kubectl)
    assert restarts
    draw = RandomApps(root_schema(), SEED)
    replies = bulk.send(_apply(place, f"f{n}", draw) for n in range(APPS))
    names = [f"f{n}" for n, reply in enumerate(replies) if reply.ok]
    assert len(names) >= APPS // 3, f"CRONIX_TEST_SEED={SEED}: too few are valid"
    forged = [Call("PATCH", cronix_apps(place.namespace, n, "status"), _status(draw), MERGE_PATCH) for n in names[::5]]

    slowest = _repair_seconds(place, bulk)
    bulk.send(forged)
    for turn in range(4):
        time.sleep(2)
        slowest = max(slowest, _repair_seconds(place, bulk))
        place.apply(_healthy(f"{turn} 4 1 1 *"))
        wait_until(lambda: place.get("cronjob", HEALTHY)["spec"]["schedule"].startswith(f"{turn} 4"), 60, "a change")  # noqa: B023  # called at once
    place.wait_ready("healthy")
    told = _told(place, bulk, [name for name in names if name not in names[::5]])
    assert _restarts(kubectl) == restarts, f"CRONIX_TEST_SEED={SEED}"
    with capsys.disabled():
        print(f"\n[fuzz] {len(names)} of {APPS} accepted, {told}")
        print(f"[fuzz] the healthy app: repaired in {slowest:.2f} s at most; seed {SEED}")


def _apply(place: Place, name: str, draw: RandomApps) -> Call:
    body = cronix_app(name)
    body["metadata"]["annotations"] = draw.annotations()
    body["spec"] = draw.spec(name)
    query = {"fieldManager": "fuzz", "force": "true"}
    return Call("PATCH", cronix_apps(place.namespace, name), body, APPLY_PATCH, query)


def _status(draw: RandomApps) -> dict[str, Any]:
    return {"status": draw.status(root_schema())}


def _told(place: Place, bulk: Bulk, names: list[str]) -> str:
    """Every one of them (whose status nobody forged) ends in a condition; counted by its reason."""

    def waiting() -> list[str]:
        apps = {item["metadata"]["name"]: item for item in bulk.items(cronix_apps(place.namespace))}
        return [name for name in names if _reason(apps[name]) is None]

    try:
        wait_until(lambda: not waiting(), 60 + APPS, "each has been looked at")
    except AssertionError as exc:
        raise AssertionError(f"CRONIX_TEST_SEED={SEED}: {exc}: {waiting()[:5]}") from exc
    found = [str(_reason(item)) for item in bulk.items(cronix_apps(place.namespace))]
    return ", ".join(f"{found.count(reason)} {reason}" for reason in sorted(set(found)))


def _reason(app: dict[str, Any]) -> str | None:
    status = app.get("status") or {}
    seen = status.get("observedGeneration") == app["metadata"]["generation"]
    ready = [c for c in status.get("conditions") or [] if c.get("type") == "Ready"]
    return str(ready[0].get("reason")) if seen and ready else None
