"""What the operator works on is taken away: the namespace in the middle of a walk, the CRD with all CronixApps."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from e2e.e2e_helpers import Kubectl, Place, cronix_app, job, manifest, wait_until
from faults.fault_proxy import Fault, Seen
from faults.faults_helpers import REQUESTS_PER_SECOND, USER, Figures, MakeStage, Stage

CRD = "cronixapps.cronix.dev"
JOBS = 40


def _about(stage: Stage, place: Place) -> int:
    """How many requests were about this namespace."""
    return sum(f"/namespaces/{place.namespace}/" in call.path for call in stage.proxy.seen)


@pytest.mark.timeout(300)
def test_a_namespace_deleted_in_the_middle_of_a_walk(stages: MakeStage, kubectl: Kubectl, figures: Figures) -> None:
    """K9: the refused rest is no reason to ask without end, the namespace is gone soon, and the neighbour is served."""
    stage = stages(everywhere=True)
    doomed = Place(kubectl, f"{stage.place.namespace}-doomed")
    kubectl("create", "namespace", doomed.namespace)
    created = [0]

    def decide(call: Seen) -> Fault | None:
        if call.method != "POST" or f"/{doomed.namespace}/cronjobs" not in call.path:
            return None
        created[0] += 1
        if created[0] != JOBS // 4:
            return None
        return Fault(then=lambda: kubectl("delete", "namespace", doomed.namespace, "--wait=false"))

    stage.proxy.reset(decide)
    document = manifest("doomed", *(job(f"job-{n}", "0 1 1 1 *") for n in range(JOBS)))
    doomed.apply(cronix_app("doomed", {"inline": document}))
    wait_until(lambda: created[0] >= JOBS // 4, 60, "the walk is in its middle")
    started = time.monotonic()
    gone = ("get", "namespace", "--ignore-not-found", "-o", "name", doomed.namespace)
    wait_until(lambda: not kubectl(*gone).strip(), 120, "the namespace is gone")
    seconds = time.monotonic() - started
    stage.edit()
    stage.wait_in_step()
    time.sleep(5)
    asked = _about(stage, doomed)
    assert asked <= 3 * JOBS + REQUESTS_PER_SECOND * seconds
    time.sleep(5)
    assert _about(stage, doomed) == asked, "it rests"
    assert stage.operator.is_alive
    figures.add("namespace deleted in the middle of a walk: until it is gone", seconds, asked)


@pytest.mark.timeout(400)
def test_the_crd_is_deleted_and_made_anew(stage: Stage, install: Callable[[], None], figures: Figures) -> None:
    """K8: Kubernetes deletes all CronixApps with it and collects their CronJobs; the operator deletes none.

    It waits, and serves the CronixApps that are applied anew.
    """
    before = stage.now()
    stage.proxy.reset()
    stage.place.kubectl("delete", "crd", CRD)
    try:
        time.sleep(10)
        asked = len(stage.proxy.seen)
    finally:
        install()
    stage.apply()
    seconds = stage.wait_in_step(180)
    time.sleep(30)  # what belongs to the CronixApps of before is collected by then, and the operator still there
    stage.wait_in_step(60)
    ours = before.mark.writes(user=USER, resource="cronjobs", namespace=stage.place.namespace)
    assert [entry.name for entry in ours if entry.verb == "delete"] == []
    assert asked <= 300
    assert stage.operator.is_alive, stage.operator.said()
    figures.add("CRD deleted, made anew after 10 s, CronixApps applied anew", seconds, asked)
