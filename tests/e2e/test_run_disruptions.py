"""Runs while the operator is killed, the controller stands still, or the image is missing. Alone: others need both."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from cronix_cluster.audit import AuditMark
from e2e.conftest import SYSTEM_NAMESPACE, Helm
from e2e.e2e_helpers import Kubectl, Place, Puppet, cronix_app, manifest, wait_until
from e2e.prometheus_helpers import operator_targets, samples, scrape
from e2e.recorder import record
from e2e.run_scenes import by_hand, column, failed_jobs, quick, row

pytestmark = pytest.mark.disruptive

ROOT = Path(__file__).parents[2]
DEPLOYMENT = "deployment/cronix-cronix-operator"
OPERATOR = "system:serviceaccount:cronix-system:cronix-cronix-operator"
LABEL = "app.kubernetes.io/name=cronix-operator"


@pytest.fixture
def operator_back(kubectl: Kubectl, install_operator: Callable[[], None]) -> Iterator[None]:
    """Whatever a test does to the operator, the next one finds it again."""
    yield
    install_operator()
    kubectl("-n", SYSTEM_NAMESPACE, "scale", DEPLOYMENT, "--replicas=1")


def component(action: str) -> None:
    """Stop or start kube-controller-manager, which makes the Jobs."""
    command = [sys.executable, "-m", "cronix_cluster", "component", action, "kcm"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "cluster")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)


@pytest.fixture
def controller_back() -> Iterator[None]:
    """The controller runs again whatever happened."""
    yield
    component("start")


def kill_process(kubectl: Kubectl) -> None:
    """SIGKILL to the operator's process: the kubelet starts another one in the same pod."""
    pods = kubectl("-n", SYSTEM_NAMESPACE, "get", "pods", "-l", LABEL, "-o", "json")["items"]
    marks = [f"POD_UID={pod['metadata']['uid']}".encode() for pod in pods]
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(mark in (folder / "environ").read_bytes().split(b"\0") for mark in marks):
                os.kill(int(folder.name), signal.SIGKILL)


def scraped(kubectl: Kubectl, place: Place) -> float | None:
    """What the operator serves of runs that were refused; None while there is no operator, or no series yet."""
    with suppress(OSError, IndexError):
        found = samples(scrape(operator_targets(kubectl)[0]), "cronix_runs_total", place.namespace)
        return found.get(("sync", "AppRejected"))
    return None


def test_an_operator_that_is_killed_counts_each_run_once(
    place: Place, puppet: Puppet, kubectl: Kubectl, audit: Callable[[], AuditMark], operator_back: None
) -> None:
    """Twenty runs in a minute, and each fails; SIGKILL three times meanwhile, and a restart by the book.

    The counter never goes back and ends at twenty, no run is in two Events, and status is written once in ten seconds
    at most, although each run has news for it.
    """
    puppet.manage(trigger_status=404)
    puppet.serve(manifest("shop", quick("sync")))
    place.apply(cronix_app("shop", jobDefaults={"failedJobsHistoryLimit": 50}))
    place.wait_ready("shop")
    mark = audit()
    served: list[float] = []
    for number in range(20):
        by_hand(place, "shop", "sync", f"run-{number}")
        if number in {3, 6, 11}:
            kill_process(kubectl)
        if number == 14:
            kubectl("-n", SYSTEM_NAMESPACE, "rollout", "restart", DEPLOYMENT)
        for _ in range(4):
            now = scraped(kubectl, place)
            served += [] if now is None else [now]
            time.sleep(0.6)
    wait_until(lambda: len(failed_jobs(place.items("jobs"))) == 20, 90, "twenty Jobs have failed")
    kubectl("-n", SYSTEM_NAMESPACE, "rollout", "status", DEPLOYMENT, "--timeout=90s")
    wait_until(lambda: row(place, "shop", "sync").get("consecutiveFailures", 0) >= 20, 60, "all are counted")
    time.sleep(15)  # what would be counted twice is counted by then
    after = row(place, "shop", "sync")
    assert (after["consecutiveFailures"], after["runCounts"]) == (20, {"AppRejected": 20})
    served.append(wait_until(lambda: scraped(kubectl, place), 90, "the metrics"))
    assert served == sorted(served), "a counter went back"
    assert served[-1] == 20
    writes = [e for e in mark.writes(user=OPERATOR, namespace=place.namespace) if e.subresource == "status"]
    moments = [datetime.fromisoformat(entry.received).timestamp() for entry in writes]
    # Five processes: each begins with what it finds, and the one that was told to stop ends with what it knew.
    assert len(moments) <= (moments[-1] - moments[0]) / 10 + 2 + 6, moments
    told = [re.findall(r"Job (run-\d+)", text)[0] for text in place.events("AppRejected")]
    assert len(told) == len(set(told))
    assert len(told) <= 10


def test_missing_image_and_a_controller_that_stands_still(
    place: Place, kubectl: Kubectl, helm: Helm, images: dict[str, str], operator_back: None, controller_back: None
) -> None:
    """A release of its own for this namespace whose signer has no such tag; then no controller for a slot.

    Kubernetes itself tells neither: the CronJob looks as always.
    """
    kubectl("-n", SYSTEM_NAMESPACE, "scale", DEPLOYMENT, "--replicas=0")
    repository, tag = images["cronix-operator"].rsplit(":", 1)
    helm(
        "install", "blind", str(ROOT / "charts/cronix-operator"), "--namespace", place.namespace, "--wait",
        "--timeout", "120s", "--set", "crds.install=false,watch.mode=release",
        "--set-string", f"image.repository={repository},image.tag={tag}",
        "--set-string", "signer.image.repository=127.0.0.1:1/cronix-signer,signer.image.tag=no-such-tag",
    )  # fmt: skip
    document = manifest("shop", quick("sync", "* * * * *", concurrency="Allow"))
    place.secret("puppet-cron", current="0" * 64)
    place.apply(cronix_app("shop", {"inline": document}, jobDefaults={"startingDeadlineSeconds": 10}))
    place.wait_ready("shop")
    message = place.wait_condition("shop", "True", "NeverStarted", kind="RunStuck", seconds=100)
    assert "no-such-tag" in message
    assert "ImagePull" in message
    wait_until(lambda: place.events("NeverStarted"), 60, "an Event")
    wait_until(lambda: column(place, "shop", "FAILING") == "1", 90, "the column")
    assert column(place, "shop", "READY") == "True"
    assert row(place, "shop", "sync")["activeRun"]["problem"] == "NeverStarted"

    component("stop")
    time.sleep(70)
    text = wait_until(lambda: place.events("SlotMissed"), 90, "the missed slot is told")[0]
    component("start")
    wait_until(lambda: row(place, "shop", "sync").get("missedSlots"), 90, "and counted")
    missed = row(place, "shop", "sync")
    slot = datetime.fromisoformat(missed["lastMissedSlot"])
    served = scrape(operator_targets(kubectl, place.namespace, "blind")[0])
    told = samples(served, "cronix_job_last_missed_slot_timestamp_seconds", place.namespace)
    assert told == {("sync", ""): slot.timestamp()}
    assert samples(served, "cronix_job_missed_slots", place.namespace) == {("sync", ""): missed["missedSlots"]}
    assert missed["lastMissedSlot"] in text or "slots were missed" in text
    started = {body["metadata"]["name"].rsplit("-", 1)[1] for body in place.items("jobs")}
    assert str(int(slot.timestamp()) // 60) not in started
    record(place, "missed", document)
    helm("uninstall", "blind", "--namespace", place.namespace, "--wait")
