"""10,000 CronJobs of 100 CronixApps: create, restart, resync, drift, memory and idle CPU, beside bare programs.

Accepted: create 1.6 times a bare loop of the same objects, a restart until all is in step 2 times a bare paged list
with a hash of each spec, drift repair 3 times a bare watch and PUT, 200 MiB. What it means: docs/scale.md. It takes ten
minutes.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import Any

from measures import OPERATOR, Share, create_by_bare_loop, create_by_operator, created, measure_drift, measure_resync
from rig import Operator, Rig, cronix_app, go, lines_of, open_rig, report, run

NAMESPACES, APPS_EACH, JOBS_EACH = 10, 10, 100
COUNT = NAMESPACES * APPS_EACH * JOBS_EACH
DRIFTS, RESYNCS, RESTARTS = 30, 3, 3
MAX_MEMORY_MIB = 200.0
IDLE_SECONDS, INTERVAL_SECONDS = 30, 300


async def share(rig: Rig) -> Share:
    """The CronixApps by namespace."""
    apps = [cronix_app(f"app{n}", JOBS_EACH) for n in range(APPS_EACH)]
    return {await rig.namespace(): apps for _ in range(NAMESPACES)}


async def measure_create(rig: Rig, operator: Operator) -> tuple[list[dict[str, Any]], Share, Share]:
    """The rows, and where the CronJobs are now."""
    ours, theirs = await share(rig), await share(rig)
    base = await create_by_bare_loop(rig, theirs, COUNT)
    print(f"create {COUNT}: bare {base.seconds:.1f} s", flush=True)
    mine = await create_by_operator(rig, operator, ours, COUNT)
    print(f"create {COUNT}: operator {mine.seconds:.1f} s", flush=True)
    return created(f"{COUNT} CronJobs of {NAMESPACES * APPS_EACH} CronixApps", COUNT, [(mine, base)]), ours, theirs


async def measure_restart(rig: Rig, operator: Operator) -> list[dict[str, Any]]:
    """SIGKILL, start, until it has nothing more to do; beside a program that lists and hashes the same."""
    took: list[tuple[float, float]] = []
    since = rig.audit_size
    for _ in range(RESTARTS):
        operator.stop(kill=True)
        started = time.monotonic()
        process = await rig.bare("list", f"app.kubernetes.io/managed-by={OPERATOR}")
        go(process)
        assert int(await lines_of(process).readline()) >= COUNT
        await process.wait()
        bare_seconds = time.monotonic() - started
        started = operator.start()
        took.append((await operator.until_idle() - started, bare_seconds))
        print(f"restart: {took[-1][0]:.1f} s, bare list {took[-1][1]:.1f} s, {operator.memory():.0f} MiB", flush=True)
    writes = rig.writes(since)
    mine, bare_seconds = sorted(took)[len(took) // 2]
    row = {"what": "restart until in step, seconds", "operator": mine, "bare": bare_seconds, "pairs": took}
    return [
        {**row, "ratio": mine / bare_seconds, "accept": 2.0},
        {"what": f"{RESTARTS} restarts: writes", "operator": len(writes)},
    ]


async def measure_idle(operator: Operator, per_job_ms: float) -> list[dict[str, Any]]:
    """CPU without anything to do, and with the manifests read every five minutes on top."""
    await operator.until_idle()
    before = operator.cpu
    await asyncio.sleep(IDLE_SECONDS)
    idle = (operator.cpu - before) / IDLE_SECONDS * 100
    resyncs = per_job_ms / 1000 * COUNT / INTERVAL_SECONDS * 100
    return [
        {"what": "idle CPU, % of a core", "operator": idle},
        {"what": "the same with a resync every 5 minutes", "operator": idle + resyncs},
    ]


async def main() -> int:
    """Set up, measure, clean up."""
    async with open_rig() as rig:
        operator = Operator(rig.folder)
        try:
            operator.start()
            await operator.until_up()
            rows, ours, theirs = await measure_create(rig, operator)
            rows.append(_memory(operator, "after creating them"))
            rows += await measure_restart(rig, operator)
            rows.append(_memory(operator, "after a restart"))
            names = [f"cronix-app{a}-job-{j:03}-0" for a in range(APPS_EACH) for j in range(JOBS_EACH)]
            first, other = next(iter(ours)), next(iter(theirs))
            rows.append(await measure_drift(rig, first, other, random.Random(7).sample(names, DRIFTS)))
            resyncs = await measure_resync(rig, operator, list(ours), COUNT, RESYNCS)
            rows += [*resyncs, *await measure_idle(operator, resyncs[1]["operator"])]
            rows.append(_memory(operator, "at the end"))
        finally:
            operator.stop()
    return report("scale", rows)


def _memory(operator: Operator, when: str) -> dict[str, Any]:
    row = {"what": f"memory {when}, MiB (bare: its peak)", "operator": operator.memory()}
    return {**row, "bare": operator.memory("VmHWM"), "ratio": operator.memory() / MAX_MEMORY_MIB, "accept": 1.0}


if __name__ == "__main__":
    sys.exit(run(main()))
