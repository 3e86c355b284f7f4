"""How long after a run's end it is told, in each of the places where people look; measured beside a test, never judged.

A thread looks four times a second at the Jobs, Events and CronixApps of one namespace and at the operator's metrics,
and notes what it sees first. A run ends when its Job is seen to have ended, or seen no more.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cronix_operator.edges.api import ApiServer
from e2e.e2e_helpers import Kubectl, Place
from e2e.prometheus_helpers import operator_targets, samples, scrape
from e2e.run_scenes import is_over

PAUSE_SECONDS = 0.25
PLACES = ("Event", "gauge", "counter", "row")


@dataclasses.dataclass(slots=True)
class Told:
    """One run: its job, when its end was seen, and when each place first spoke of it, in monotonic seconds."""

    job: str
    ended: float | None = None
    seen: dict[str, float] = dataclasses.field(default_factory=dict)
    outcome: str = ""


@dataclasses.dataclass(slots=True)
class Trouble:
    """When a pod first said that it cannot start, and when a condition RunStuck first told so."""

    said: float | None = None
    told: float | None = None


class Watcher:
    """Looks until it is stopped; `runs` by the name of their Job."""

    def __init__(self, kubeconfig: Path, place: Place, address: str) -> None:
        self._kubeconfig, self._namespace, self._address = str(kubeconfig), place.namespace, address
        self.runs: dict[str, Told] = {}
        self.trouble = Trouble()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._look_on()), daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after one more look."""
        self._stop.set()
        self._thread.join(30)

    async def _look_on(self) -> None:
        async with ApiServer(self._kubeconfig) as api:
            while not self._stop.wait(PAUSE_SECONDS):
                with suppress(Exception):  # it only measures: a look that fails is a look less
                    await self._look(api)

    async def _look(self, api: ApiServer) -> None:
        core, batch = f"/api/v1/namespaces/{self._namespace}", f"/apis/batch/v1/namespaces/{self._namespace}"
        apps = f"/apis/cronix.dev/v1alpha1/namespaces/{self._namespace}/cronixapps"
        paths = (f"{batch}/jobs", f"{core}/events", f"{core}/pods", apps)
        jobs, events, pods, apps_there = [(await api.request("GET", path)).body["items"] for path in paths]
        text = await asyncio.to_thread(scrape, self._address)
        now = time.monotonic()
        self._see_jobs(jobs, now)
        self._see_trouble(pods, apps_there, now)
        for row in (row for app in apps_there for row in app.get("status", {}).get("jobs", [])):
            last = row.get("lastRun", {})
            if last.get("jobName") in self.runs:
                self.runs[last["jobName"]].outcome = last["outcome"]
                self._note(last["jobName"], "row", now)
        for event in events:
            for name in self.runs:
                if f"Job {name})" in event["message"] or event["message"].endswith(f"Job {name}"):
                    self._note(name, "Event", now)
        self._see_metrics(text, now)

    def _see_jobs(self, jobs: list[Any], now: float) -> None:
        there = set()
        for body in jobs:
            name, labels = body["metadata"]["name"], body["metadata"].get("labels", {})
            if "cronix.dev/job" not in labels:
                continue
            there.add(name)
            run = self.runs.setdefault(name, Told(labels["cronix.dev/job"]))
            if run.ended is None and is_over(body):
                run.ended = now
        for name, run in self.runs.items():
            if name not in there and run.ended is None:
                run.ended = now

    def _see_trouble(self, pods: list[Any], apps: list[Any], now: float) -> None:
        containers = [c for pod in pods for c in pod.get("status", {}).get("containerStatuses", [])]
        if any("ImagePull" in c.get("state", {}).get("waiting", {}).get("reason", "") for c in containers):
            self.trouble.said = self.trouble.said or now
        if any(c["type"] == "RunStuck" for app in apps for c in app.get("status", {}).get("conditions", [])):
            self.trouble.told = self.trouble.told or now

    def _see_metrics(self, text: str, now: float) -> None:
        """The gauge of a job's last run and the sum of its counter tell of as many runs as they have changed."""
        gauges = samples(text, "cronix_job_last_run_timestamp_seconds", self._namespace)
        counters: dict[str, float] = {}
        for (job, _), number in samples(text, "cronix_runs_total", self._namespace).items():
            counters[job] = counters.get(job, 0) + number
        for job in {run.job for run in self.runs.values()}:
            over = sorted(
                (run.ended, name) for name, run in self.runs.items() if run.job == job and run.ended is not None
            )
            for _, name in over[: int(counters.get(job, 0))]:
                self._note(name, "counter", now)
            if (job, "") in gauges and len(over) == 1:
                self._note(over[0][1], "gauge", now)

    def _note(self, name: str, place: str, now: float) -> None:
        self.runs[name].seen.setdefault(place, now)

    def lines(self) -> Iterator[str]:
        """One for each run that ended: seconds until it was told; `-` where it was not, or could not be told apart."""
        for name, run in sorted(self.runs.items(), key=lambda pair: pair[1].ended or 0):
            if run.ended is not None:
                parts = (
                    f"{p} {max(0.0, run.seen[p] - run.ended):4.1f}" if p in run.seen else f"{p}    -" for p in PLACES
                )
                yield f"{name[-24:]:24} {run.outcome or '?':18} {'  '.join(parts)}"
        if self.trouble.said is not None and self.trouble.told is not None:
            pause = max(0.0, self.trouble.told - self.trouble.said)
            yield f"{'':24} {'condition RunStuck':18} {pause:.1f} after the pod said that it cannot start"


@contextmanager
def told_when(kubectl: Kubectl, kubeconfig: Path, place: Place) -> Iterator[Watcher]:
    """Watches as long as the block goes on."""
    watcher = Watcher(kubeconfig, place, operator_targets(kubectl)[0])
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()
