"""The operator beside a bare asyncio loop that writes the same objects to the same API server, in the same run.

Accepted: create at most 1.6 times the bare loop (goal 1.25), drift repair at most 3 times a bare watch and PUT. A
resync without a change makes no write.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from measures import create_by_bare_loop, create_by_operator, created, measure_drift, measure_resync
from rig import Operator, Rig, cronix_app, open_rig, report, run

SIZES = ((256, 1, 5), (1000, 4, 3))  # CronJobs, CronixApps that share them, rounds
DRIFTS = 30
RESYNCS = 8


async def measure_create(
    rig: Rig, operator: Operator, count: int, shared: int, rounds: int
) -> tuple[list[dict[str, Any]], str, str]:
    """The rows, and the namespaces of the last round."""
    pairs = []
    for n in range(rounds):
        apps = [cronix_app(f"app{n}", count // shared) for n in range(shared)]
        ours, theirs = await rig.namespace(), await rig.namespace()
        if n % 2:
            base = await create_by_bare_loop(rig, {theirs: apps}, count)
        mine = await create_by_operator(rig, operator, {ours: apps}, count)
        if not n % 2:
            base = await create_by_bare_loop(rig, {theirs: apps}, count)
        pairs.append((mine, base))
        print(f"create {count}: operator {mine.seconds:.2f} s, bare {base.seconds:.2f} s", flush=True)
    return created(f"{count} CronJobs of {shared} CronixApp(s)", count, pairs), ours, theirs


async def main() -> int:
    """Set up, measure, clean up."""
    rows = []
    async with open_rig() as rig:
        operator = Operator(rig.folder)
        try:
            operator.start()
            await operator.until_up()
            await create_by_operator(rig, operator, {await rig.namespace(): [cronix_app("warm", 8)]}, 8)
            for count, shared, rounds in SIZES:
                of_size, ours, theirs = await measure_create(rig, operator, count, shared, rounds)
                rows += of_size
            await operator.until_idle()
            names = [f"cronix-app{a}-job-{j:03}-0" for a in range(4) for j in range(250)]
            rows.append(await measure_drift(rig, ours, theirs, random.Random(7).sample(names, DRIFTS)))
            rows += await measure_resync(rig, operator, [ours], 1000, RESYNCS)
            rows.append({"what": "memory at the end, MiB resident", "operator": operator.memory()})
        finally:
            operator.stop()
    return report("operator", rows)


if __name__ == "__main__":
    sys.exit(run(main()))
