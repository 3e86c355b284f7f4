"""A thousand updates of CronJobs with a run in flight and one behind them: nothing lost, one write for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cronix_cluster.audit import AuditMark
from e2e.bulk import MERGE_PATCH, Bulk, Call, accepted, cron_jobs, cronix_apps
from e2e.e2e_helpers import Place, cronix_app, job, manifest, wait_until

OPERATOR = "system:serviceaccount:cronix-system:cronix-cronix-operator"
JOBS = 50
ROUNDS = 20
FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # the test needs a slot that has just passed


def _slot_just_passed() -> datetime:
    return (_now() - timedelta(seconds=1)).replace(second=0, microsecond=0)


def _jobs(turn: int, schedule: str = "") -> list[dict[str, Any]]:
    """The manifest's jobs in one round: in each round another of five fields of every job is other than before."""
    policy = {
        "concurrency": ("Allow", "Forbid")[(turn + 4) // 5 % 2],
        "timeout_seconds": 10 + (turn + 3) // 5,
        "retries": {"max_attempts": 1 + (turn + 2) // 5},
    }
    body = f'{{"turn":{turn // 5}}}'
    changes = {"request": {"url": "http://puppet:8080/x", "method": "POST", "body": body}, "policy": policy}
    yearly = f"{(turn + 1) // 5} 3 1 1 *"
    return [job(f"j{n}", schedule or yearly, **changes) for n in range(JOBS)]


class Fleet:
    """One CronixApp with its fifty CronJobs."""

    def __init__(self, place: Place, bulk: Bulk) -> None:
        self.place, self.bulk = place, bulk

    def live(self) -> dict[str, dict[str, Any]]:
        return {item["metadata"]["name"]: item for item in self.bulk.items(cron_jobs(self.place.namespace))}

    def update(self, jobs: list[dict[str, Any]]) -> None:
        """Edit the manifest, wait until the status says that all are in step with it."""
        path = cronix_apps(self.place.namespace, "shop")
        patch = {"spec": {"source": {"inline": manifest("shop", *jobs)}}}
        (reply,) = accepted([self.bulk.one(Call("PATCH", path, patch, MERGE_PATCH))])
        generation = reply.body["metadata"]["generation"]

        def through() -> bool:
            status = self.bulk.one(Call("GET", path)).body["status"]
            return bool(status["observedGeneration"] == generation and status["conditions"][0]["status"] == "True")

        wait_until(through, 120, f"generation {generation} is in step")

    def give_history(self) -> dict[str, dict[str, Any]]:
        """To each CronJob a finished Job, and one in flight in its status.

        Both are real Jobs with a real owner reference, but without pods: fifty pods at once are more than the kubelet
        of a small machine starts in a minute. That a real run in flight survives, test_manifest_changes.py shows.
        """
        namespace, live = self.place.namespace, self.live()
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        accepted(self.bulk.send(Call("POST", path, _run(body, 29000000, completions=0)) for body in live.values()))
        flying = self.bulk.send(Call("POST", path, _run(body, 29000001, completions=1)) for body in live.values())
        fired = _now().strftime(FORMAT)
        calls = []
        for body, run in zip(live.values(), accepted(flying), strict=True):
            reference = {"apiVersion": "batch/v1", "kind": "Job", "namespace": namespace}
            reference |= {field: run.body["metadata"][field] for field in ("name", "uid")}
            status = {"lastScheduleTime": fired, "active": [reference]}
            calls.append(
                Call("PATCH", cron_jobs(namespace, body["metadata"]["name"], "status"), {"status": status}, MERGE_PATCH)
            )
        accepted(self.bulk.send(calls))
        return self.live()


def _run(cron_job: dict[str, Any], minutes: int, completions: int) -> dict[str, Any]:
    meta, template = cron_job["metadata"], cron_job["spec"]["jobTemplate"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": meta["name"], "uid": meta["uid"], "controller": True}
    name = f"{meta['name']}-{minutes}"
    metadata = {"name": name, "labels": template["metadata"]["labels"], "ownerReferences": [owner]}
    spec = {**template["spec"], "parallelism": 0, "completions": completions}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _history(place: Place) -> dict[str, tuple[str, bool]]:
    """Every Job: its uid, and whether it is still in flight."""
    jobs = place.items("jobs")
    return {j["metadata"]["name"]: (j["metadata"]["uid"], "completionTime" not in j["status"]) for j in jobs}


def _identity(live: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {n: (b["metadata"]["uid"], b["status"].get("active")) for n, b in live.items()}


def _fired(live: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: body["status"]["lastScheduleTime"] for name, body in live.items()}


def test_a_thousand_updates_lose_nothing_and_cost_a_thousand_writes(
    place: Place, kubeconfig: Path, audit: Callable[[], AuditMark], capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise 4, by the API server's own audit log: 0 deleted, 0 made anew, every Job kept, one write per update.

    The last round sets each schedule to a slot that has just passed: there, and only there, a second write each goes
    to the status, the fence, and nothing fires.
    """
    fleet = Fleet(place, Bulk(kubeconfig))
    place.apply(cronix_app("shop", {"inline": manifest("shop", *_jobs(0))}))
    place.wait_ready("shop")
    before = fleet.give_history()
    history = wait_until(lambda: _settled(place), 120, "the finished Jobs are complete")
    fired = max(datetime.fromisoformat(time) for time in _fired(before).values())

    mark, started = audit(), time.monotonic()
    for turn in range(1, ROUNDS):
        fleet.update(_jobs(turn))
        assert _identity(fleet.live()) == _identity(before), f"round {turn}"
    assert _fired(fleet.live()) == _fired(before)
    fenced = mark.writes(resource="cronjobs/status", user=OPERATOR, namespace=place.namespace)
    seconds = time.monotonic() - started

    wait_until(lambda: _slot_just_passed() > fired, 70, "a slot has passed since")
    slot = _slot_just_passed()
    fleet.update(_jobs(ROUNDS, f"{slot.minute} {slot.hour} {slot.day} {slot.month} *"))
    time.sleep(3)  # the CronJob controller's look at the new schedule
    after = fleet.live()
    assert _identity(after) == _identity(before)
    assert min(_fired(after).values()) >= slot.strftime(FORMAT)
    assert _history(place) == history, "no Job went and none was started"

    assert fenced == []
    _assert_writes(mark, place.namespace)
    with capsys.disabled():
        rate = JOBS * (ROUNDS - 1) / seconds
        print(f"\n[updates] {JOBS * ROUNDS} updates, {rate:.0f}/s, one write each, {JOBS} fences in the last round")


def _settled(place: Place) -> dict[str, tuple[str, bool]] | None:
    found = _history(place)
    return found if sum(flying for _, flying in found.values()) == JOBS and len(found) == 2 * JOBS else None


def _assert_writes(mark: AuditMark, namespace: str) -> None:
    by_us = mark.writes(user=OPERATOR, namespace=namespace)
    done = [entry for entry in by_us if entry.status < 400]
    updates = [e.name for e in done if (e.resource, e.subresource, e.verb) == ("cronjobs", "", "update")]
    assert len(updates) == JOBS * ROUNDS
    assert {updates.count(name) for name in updates} == {ROUNDS}
    assert sum((e.resource, e.subresource, e.verb) == ("cronjobs", "status", "patch") for e in done) == JOBS
    others = {(e.verb, e.resource) for e in done} - {("update", "cronjobs"), ("patch", "cronjobs")}
    assert others <= {("patch", "cronixapps"), ("create", "events")}
    refused = {entry.status for entry in by_us} - {entry.status for entry in done}
    assert refused <= {409}, "at most a conflict with the CronJob controller's own status write"
    assert [e for e in mark.writes(namespace=namespace, resource="cronjobs") if e.verb in {"create", "delete"}] == []
