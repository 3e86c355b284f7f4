"""Many runs in a minute: each is counted once, and status is written once in ten seconds for all of them."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from cronix_cluster.audit import AuditMark
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.cluster import MERGE_PATCH
from cronix_protocol.outcome import Outcome, dump_outcome
from e2e.e2e_helpers import Place, Puppet, cronix_app, manifest, wait_until
from e2e.run_scenes import by_hand, quick, row

OPERATOR = "system:serviceaccount:cronix-system:cronix-cronix-operator"
REAL, REPLAYED, SECONDS = 20, 200, 60


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # the test plays the Job controller, which writes times


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Replayer:
    """Plays Job controller and kubelet: Jobs that it manages itself, pods that no scheduler and no kubelet touch."""

    def __init__(self, api: ApiServer, namespace: str, cron_job: dict[str, Any]) -> None:
        self._api = api
        self._namespace = namespace
        self._cron_job = cron_job

    async def run(self, number: int) -> None:
        """One run that the app refused."""
        start = _now()
        job = await self._call("POST", "batch/v1", "jobs", self._job(number))
        pod = await self._call("POST", "v1", "pods", self._pod(job))
        message = dump_outcome(
            Outcome(
                outcome="AppRejected", run_id=f"replayed-{number}", scheduled_time=0, manual=True,
                start_time=start.timestamp(), end_time=_now().timestamp(), attempts=1, http_status=404,
                message="answered 404", excerpt="",
            )
        )  # fmt: skip
        times = {"startedAt": _text(start), "finishedAt": _text(_now())}
        ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": message, **times}}
        container = {"name": "signer", "state": ended, "ready": False, "restartCount": 0, "image": "x", "imageID": "x"}
        await self._status("v1", "pods", pod, {"phase": "Failed", "containerStatuses": [container]})
        reason = {"reason": "PodFailurePolicy", "message": "", "status": "True", "lastTransitionTime": _text(_now())}
        target, failed = ({"type": kind, **reason} for kind in ("FailureTarget", "Failed"))
        await self._status("batch/v1", "jobs", job, {"startTime": _text(start), "failed": 1, "conditions": [target]})
        await self._status("batch/v1", "jobs", job, {"conditions": [target, failed]})

    def _job(self, number: int) -> dict[str, Any]:
        template = self._cron_job["spec"]["jobTemplate"]
        return {
            "metadata": {
                "name": f"replayed-{number}",
                "labels": template["metadata"]["labels"],
                "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
                "ownerReferences": [_owner("CronJob", self._cron_job)],
            },
            "spec": {**copy.deepcopy(template["spec"]), "managedBy": "example.com/replayer"},
        }

    def _pod(self, job: dict[str, Any]) -> dict[str, Any]:
        template = copy.deepcopy(self._cron_job["spec"]["jobTemplate"]["spec"]["template"])
        return {
            "metadata": {
                "name": job["metadata"]["name"],
                "labels": template["metadata"]["labels"],
                "ownerReferences": [_owner("Job", job)],
            },
            "spec": {**template["spec"], "schedulerName": "nobody"},
        }

    async def _status(self, version: str, kind: str, body: dict[str, Any], status: dict[str, Any]) -> None:
        name = f"{kind}/{body['metadata']['name']}/status"
        await self._call("PATCH", version, name, {"status": status}, content_type=MERGE_PATCH)

    async def _call(self, method: str, version: str, name: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        root = "/api" if version == "v1" else "/apis"
        reply = await self._api.request(
            method, f"{root}/{version}/namespaces/{self._namespace}/{name}", body=body, **more
        )
        assert reply.ok, reply.message
        return reply.body


def _owner(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    meta = body["metadata"]
    return {"apiVersion": "batch/v1", "kind": kind, "name": meta["name"], "uid": meta["uid"], "controller": True}


async def _replay(kubeconfig: Path, namespace: str, cron_job: dict[str, Any], real: Callable[[int], None]) -> None:
    """All of them over a minute; `real` starts a real one."""
    async with ApiServer(str(kubeconfig)) as api:
        replayer = Replayer(api, namespace, cron_job)
        starts = []
        for number in range(REPLAYED):
            starts.append(asyncio.create_task(replayer.run(number)))
            if number % (REPLAYED // REAL) == 0:
                starts.append(asyncio.create_task(asyncio.to_thread(real, number)))
            await asyncio.sleep(SECONDS / REPLAYED)
        await asyncio.gather(*starts)


def test_hundreds_of_runs_in_a_minute_cost_a_write_in_ten_seconds(
    place: Place, puppet: Puppet, kubeconfig: Path, audit: Callable[[], AuditMark]
) -> None:
    """C8: neither status nor Events grow with the number of runs; and not one of them is lost or counted twice."""
    puppet.manage(trigger_status=404)
    puppet.serve(manifest("shop", quick("sync")))
    place.apply(cronix_app("shop", jobDefaults={"failedJobsHistoryLimit": 100}))
    place.wait_ready("shop")
    cron_job = place.get("cronjob", "cronix-shop-sync-0")
    mark = audit()

    asyncio.run(_replay(kubeconfig, place.namespace, cron_job, lambda n: by_hand(place, "shop", "sync", f"real-{n}")))

    total = REAL + REPLAYED
    counted = wait_until(lambda: _counted(place, total), 90, f"{total} runs are counted")
    assert counted == total
    writes = [e for e in mark.writes(user=OPERATOR, namespace=place.namespace) if e.subresource == "status"]
    moments = [datetime.fromisoformat(entry.received).timestamp() for entry in writes]
    gaps = [round(later - earlier, 1) for earlier, later in pairwise(moments)]
    print(json.dumps({"runs": total, "status writes": len(moments), "seconds between them": gaps}))
    # Ten seconds by the operator's clock; a single gap by the server's may be shorter, all of them together not.
    assert len(moments) <= (moments[-1] - moments[0]) / 10 + 2
    told = [event for event in place.items("events") if event["reason"] == "AppRejected"]
    assert len(told) <= 5, "the 1st, 3rd, 10th, 30th and 100th"


def _counted(place: Place, total: int) -> int | None:
    found = int(row(place, "shop", "sync").get("consecutiveFailures", 0))
    return found if found >= total else None
