"""Scheduled slot → request at the app, through the real controllers and kubelet of the local cluster.

Needs the local cluster with images and operator, as `make demo` leaves it. Seven jobs, each minute, two slots:
prints how long after its slot each request arrived, and where the time went; raw results go to benchmarks/results.
"""

from __future__ import annotations

import json
import secrets
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "cluster")]

from cronix_cluster.paths import Paths  # noqa: E402  # after the path is set
from e2e.e2e_helpers import Place, Puppet, cronix_app, job, manifest, wait_until  # noqa: E402  # after the path is set

JOBS = 7
SLOTS = 2


def kubectl(*arguments: str, stdin: object = None) -> Any:
    """kubectl on the local cluster."""
    text = None if stdin is None else json.dumps(stdin)
    command = [str(Paths().bin / "kubectl"), "--kubeconfig", str(Paths().kubeconfig), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return json.loads(done.stdout) if "json" in arguments else done.stdout


def seconds(text: str) -> float:
    """A Kubernetes time as unix seconds; whole seconds are all it has."""
    return datetime.fromisoformat(text).timestamp()


def measure(place: Place, puppet: Puppet) -> list[dict[str, float]]:
    """One row per run: seconds after the slot at which the Job was made, the container started, the request came."""
    names = [f"job-{n}" for n in range(JOBS)]
    puppet.serve(manifest("bench", *(job(name) for name in names)))
    place.apply(cronix_app("bench"))
    place.wait_ready("bench")
    print(f"waiting for {SLOTS} slots of {JOBS} jobs", flush=True)
    wait_until(lambda: all(len(puppet.triggers(name)) >= SLOTS for name in names), 60 * (SLOTS + 1), "all runs")
    time.sleep(3)
    jobs = {item["metadata"]["name"]: item for item in place.items("jobs")}
    pods = {
        item["metadata"]["labels"]["batch.kubernetes.io/job-name"]: item
        for item in place.items("pods", "cronix.dev/app=bench")
    }
    rows = []
    for name in names:
        for request in puppet.triggers(name):
            slot = int(request["headers"]["X-Cron-Fire-Time"])
            key = f"cronix-bench-{name}-0-{slot // 60}"
            started = pods[key]["status"]["containerStatuses"][0]["state"]["terminated"]["startedAt"]
            rows.append(
                {
                    "job_made": seconds(jobs[key]["metadata"]["creationTimestamp"]) - slot,
                    "container_started": seconds(started) - slot,
                    "request": request["time"] - slot,
                }
            )
    return rows


def main() -> None:
    """Set up, measure, print, clean up."""
    images = json.loads((ROOT / "build/images.json").read_text())
    namespace = f"bench-{secrets.token_hex(3)}"
    kubectl("create", "namespace", namespace)
    try:
        place = Place(kubectl, namespace)
        rows = measure(place, Puppet(place, images["cronix-example"], secrets.token_hex(32)))
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")
    print(f"{'seconds after the slot':<24} {'min':>6} {'median':>7} {'max':>6}   ({len(rows)} runs)")
    for field in rows[0]:
        values = [row[field] for row in rows]
        print(f"{field:<24} {min(values):6.2f} {statistics.median(values):7.2f} {max(values):6.2f}")
    results = ROOT / "benchmarks/results"
    results.mkdir(exist_ok=True)
    (results / "slot.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
