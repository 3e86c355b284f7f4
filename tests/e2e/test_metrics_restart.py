"""Counters of runs over a restart of the operator: nothing is counted again, nothing that ended meanwhile is lost."""

from __future__ import annotations

import secrets

import pytest

from e2e.conftest import SYSTEM_NAMESPACE, Kubectl
from e2e.e2e_helpers import Place, Puppet, cronix_app, job, manifest, wait_until
from e2e.prometheus_helpers import run_counts
from e2e.run_scenes import wait_end

pytestmark = pytest.mark.disruptive


def counted(kubectl: Kubectl, place: Place) -> dict[str, float]:
    """Runs of the only job, by outcome, as the operator serves them now."""
    return {outcome: number for (_, outcome), number in run_counts(kubectl, place.namespace).items()}


def scale(kubectl: Kubectl, replicas: int) -> None:
    """The operator goes, or comes back."""
    selector = "app.kubernetes.io/instance=cronix"
    deployments = ("-n", SYSTEM_NAMESPACE, "get", "deployments", "-l", selector, "-o", "name")
    (name,) = kubectl(*deployments).split()
    kubectl("-n", SYSTEM_NAMESPACE, "scale", name, f"--replicas={replicas}")
    if replicas:
        kubectl("-n", SYSTEM_NAMESPACE, "rollout", "status", name, "--timeout=120s", timeout_seconds=130)
    else:
        pods = ("-n", SYSTEM_NAMESPACE, "get", "pods", "-l", selector, "-o", "json")
        wait_until(lambda: not kubectl(*pods)["items"], 60, "the operator is gone")


def run_by_hand(place: Place) -> None:
    """One run of the CronJob, to its end."""
    name = f"by-hand-{secrets.token_hex(3)}"
    place.kubectl("create", "job", name, "--from=cronjob/cronix-billing-sync-0")
    wait_end(place, name, 60)


def test_a_run_is_counted_once_whatever_the_operator_was_doing(kubectl: Kubectl, place: Place, puppet: Puppet) -> None:
    """Two runs are seen, the operator goes, two end in its absence, it comes back: the counters go on with those."""
    puppet.serve(manifest("billing", job("sync", "0 0 1 1 *")))
    place.apply(cronix_app("billing"))
    place.wait_ready("billing")
    run_by_hand(place)
    puppet.manage(trigger_status=404)
    run_by_hand(place)
    before = wait_until(lambda: _full(counted(kubectl, place), 2), 90, "the two runs are counted")
    assert before == {"Succeeded": 1, "AppRejected": 1}

    scale(kubectl, 0)
    try:
        run_by_hand(place)
        puppet.manage(trigger_status=200)
        run_by_hand(place)
    finally:
        scale(kubectl, 1)

    after = wait_until(lambda: _full(counted(kubectl, place), 4), 90, "what ended meanwhile is counted")
    place.reconcile_now("billing")
    place.wait_ready("billing")
    run_by_hand(place)
    last = wait_until(lambda: _full(counted(kubectl, place), 5), 90, "and so is the next one")
    assert after == {"Succeeded": 2, "AppRejected": 2}
    assert last == {"Succeeded": 3, "AppRejected": 2}


def _full(counts: dict[str, float], runs: int) -> dict[str, float] | None:
    assert sum(counts.values()) <= runs, f"counted too often: {counts}"
    return counts if sum(counts.values()) == runs else None
