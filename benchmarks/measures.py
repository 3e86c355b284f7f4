"""What is measured of the operator, each beside the bare program that does the same without a check or a decision."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import statistics
import time
from typing import Any, TypeAlias

from rig import BARE_MANAGER, CRON_JOBS, Operator, Rig, go, lines_of, rendered, stop

OPERATOR, BARE = "cronix-operator", BARE_MANAGER
Share: TypeAlias = dict[str, list[dict[str, Any]]]  # CronixApps by the namespace that they go into


@dataclasses.dataclass(frozen=True, slots=True)
class Took:
    """Seconds on the wall and of CPU; the operator's CPU until it has nothing more to do."""

    seconds: float
    cpu: float


async def create_by_operator(rig: Rig, operator: Operator, share: Share, count: int) -> Took:
    """From the first CronixApp's creation until every CronJob is there."""
    before = operator.cpu
    async with rig.watching(OPERATOR) as lines:
        started = time.monotonic()
        for namespace, apps in share.items():
            await rig.create_apps(namespace, apps)
        seconds = await rig.seconds_to_see(count, lines, started)
    await operator.until_idle(1.0)
    return Took(seconds, operator.cpu - before)


async def create_by_bare_loop(rig: Rig, share: Share, count: int) -> Took:
    """The same, from the word go."""
    objects = []
    for namespace, apps in share.items():
        made = await rig.post(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "owner"}})
        objects += [body for app in apps for body in rendered(app, namespace, made["metadata"]["uid"])]
    file = rig.folder / "objects.json"
    file.write_text(json.dumps(objects))
    process = await rig.bare("create", str(file))
    async with rig.watching(BARE) as lines:
        started = time.monotonic()
        go(process)
        seconds = await rig.seconds_to_see(count, lines, started)
    cpu = float(await lines_of(process).readline())
    await process.wait()
    return Took(seconds, cpu)


def created(what: str, count: int, rounds: list[tuple[Took, Took]]) -> list[dict[str, Any]]:
    """The rows of some rounds, the operator's and the bare loop's."""
    cpu = [(mine.cpu / count * 1000, bare.cpu / count * 1000) for mine, bare in rounds]
    return [
        {"what": f"create {what}, seconds", "accept": 1.6, **medians([(a.seconds, b.seconds) for a, b in rounds])},
        {"what": "  CPU for each of them, ms", **medians(cpu)},
    ]


def medians(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Medians of both, and of the ratios within each round."""
    return {
        "operator": statistics.median(mine for mine, _ in pairs),
        "bare": statistics.median(base for _, base in pairs),
        "ratio": statistics.median(mine / base for mine, base in pairs),
        "pairs": pairs,
    }


async def repaired(rig: Rig, namespace: str, name: str, lines: asyncio.Queue[bytes]) -> float:
    """Seconds from a foreign change of a CronJob until a watch shows it put back."""
    path = f"{CRON_JOBS.format(namespace)}/{name}"
    async with rig.session.get(path) as response:
        live = await response.json()
    right = live["spec"]["successfulJobsHistoryLimit"]
    live["spec"]["successfulJobsHistoryLimit"] = 9
    started = time.monotonic()
    async with rig.session.put(path, json=live) as response:
        assert response.status == 200, await response.text()
    wrong_seen = False
    while True:
        seen = json.loads(await lines.get())["object"]
        if (seen["metadata"]["namespace"], seen["metadata"]["name"]) == (namespace, name):
            now = seen["spec"]["successfulJobsHistoryLimit"]
            if wrong_seen and now == right:
                return time.monotonic() - started
            wrong_seen = wrong_seen or now == 9


async def measure_drift(rig: Rig, ours: str, theirs: str, names: list[str]) -> dict[str, Any]:
    """One row: changes of single CronJobs, the operator's and the bare program's in turns."""
    process = await rig.bare("repair", CRON_JOBS.format(theirs))
    go(process)
    assert await lines_of(process).readline() == b"watching\n"
    pairs = []
    async with rig.watching(OPERATOR) as of_operator, rig.watching(BARE) as of_bare:
        for name in names:
            mine = await repaired(rig, ours, name, of_operator)
            pairs.append((mine, await repaired(rig, theirs, name, of_bare)))
            await asyncio.sleep(0.3)
    await stop(process)
    return {"what": "repair of a CronJob that somebody changed, seconds", "accept": 3.0, **medians(pairs)}


async def measure_resync(
    rig: Rig, operator: Operator, namespaces: list[str], count: int, resyncs: int
) -> list[dict[str, Any]]:
    """Walks that read the manifest and find nothing to do: writes, and CPU for each job.

    A walk is asked for by an annotation that changes nothing else.
    """
    await operator.until_idle()
    since, before = rig.audit_size, operator.cpu
    for n in range(resyncs):
        for namespace in namespaces:
            await rig.annotate_apps(namespace, {"cronix.dev/approve-prune": str(n)})
        await operator.until_idle(0.5)
    seconds = operator.cpu - before
    writes = rig.writes(since)
    return [
        {"what": f"{resyncs} resyncs of {count} CronJobs without a change: writes", "operator": len(writes)},
        {"what": "the same: CPU of the operator, ms per job and walk", "operator": seconds / resyncs / count * 1000},
    ]
