"""What must hold while the operator is down, restarted or uninstalled. Runs alone: other tests need the operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cronix_cluster.audit import AuditMark
from e2e.conftest import SYSTEM_NAMESPACE, Helm
from e2e.e2e_helpers import Kubectl, Place, Puppet, cronix_app, job, manifest, wait_until

pytestmark = pytest.mark.disruptive

DEPLOYMENT = "deployment/cronix-cronix-operator"
OPERATOR = "system:serviceaccount:cronix-system:cronix-cronix-operator"
RUN_SECONDS = 150


def _scale(kubectl: Kubectl, replicas: int) -> None:
    kubectl("-n", SYSTEM_NAMESPACE, "scale", DEPLOYMENT, f"--replicas={replicas}")
    kubectl("-n", SYSTEM_NAMESPACE, "rollout", "status", DEPLOYMENT, "--timeout=150s")
    if replicas == 0:
        pods = ("-n", SYSTEM_NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=cronix-operator", "-o", "json")
        wait_until(lambda: not kubectl(*pods)["items"], 120, "the operator is gone")


@pytest.fixture
def operator_back(kubectl: Kubectl, install_operator: Callable[[], None]) -> Iterator[None]:
    """Whatever a test does to the operator, the next one finds it again."""
    yield
    install_operator()
    _scale(kubectl, 1)


def test_with_the_operator_down_runs_go_on_and_deleting_the_app_removes_its_cron_jobs(
    place: Place, puppet: Puppet, kubectl: Kubectl, operator_back: None
) -> None:
    """Promise 3 and attack K7: schedules need no operator, and neither does deletion: ownership, and no finalizer."""
    puppet.serve(manifest("shop", job("tick")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    _scale(kubectl, 0)
    seen = len(puppet.triggers("tick"))
    run = wait_until(lambda: puppet.triggers("tick")[seen:], RUN_SECONDS, "a run without an operator")[0]
    assert run["ok"]

    place.kubectl("delete", "cxa", "shop", "--wait=true")
    wait_until(lambda: place.names("cronjobs") == set(), 120, "garbage collection took the CronJobs")


def test_a_restart_writes_nothing_when_nothing_changed(
    place: Place, puppet: Puppet, kubectl: Kubectl, audit: Callable[[], AuditMark], operator_back: None
) -> None:
    """Promise 4: a new process finds what it needs in status; no write to CronJobs or status, and it still repairs."""
    puppet.serve(manifest("calm", job("yearly", "0 0 1 1 *"), job("half", "0 0 1 6 *")))
    place.apply(cronix_app("calm"))
    place.wait_ready("calm")
    _scale(kubectl, 0)
    fetched = len(puppet.requests("/.well-known/cron-manifest"))
    mark = audit()
    _scale(kubectl, 1)
    wait_until(lambda: len(puppet.requests("/.well-known/cron-manifest")) > fetched, 120, "a fetch after the restart")
    place.reconcile_now("calm")
    wait_until(lambda: place.get("cxa", "calm")["status"].get("lastHandledReconcileAt"), 90, "the walk is through")
    writes = [(e.verb, e.resource, e.subresource) for e in mark.writes(user=OPERATOR, namespace=place.namespace)]
    assert writes == [("patch", "cronixapps", "status")], "the one status write that echoes reconcile-at"

    place.kubectl("patch", "cronjob", "cronix-calm-half-0", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_until(lambda: not place.get("cronjob", "cronix-calm-half-0")["spec"]["suspend"], 60, "drift is still repaired")


def test_what_was_changed_while_the_operator_was_down_is_put_back_at_its_return(
    place: Place, puppet: Puppet, kubectl: Kubectl, operator_back: None
) -> None:
    """Promise 5 over a restart: an edit and a deletion nobody watched are found by the first walk."""
    puppet.serve(manifest("shop", job("one", "0 3 * * *"), job("two", "0 4 * * *")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    good = place.get("cronjob", "cronix-shop-one-0")["spec"]
    _scale(kubectl, 0)
    place.kubectl("patch", "cronjob", "cronix-shop-one-0", "--type=merge", "-p", '{"spec":{"schedule":"1 1 1 1 *"}}')
    place.kubectl("delete", "cronjob", "cronix-shop-two-0")
    _scale(kubectl, 1)
    wait_until(lambda: place.get("cronjob", "cronix-shop-one-0")["spec"] == good, 120, "the edit is put back")
    wait_until(lambda: "cronix-shop-two-0" in place.names("cronjobs"), 120, "the deleted one is there again")


def test_uninstalling_the_chart_leaves_crd_apps_and_cron_jobs(
    place: Place, puppet: Puppet, kubectl: Kubectl, helm: Helm, operator_back: None
) -> None:
    """Attack K8: `helm uninstall` must not cascade to every CronJob of the cluster."""
    puppet.serve(manifest("shop", job("keep", "0 3 * * *")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    uid = place.get("cronjob", "cronix-shop-keep-0")["metadata"]["uid"]

    helm("uninstall", "cronix", "--namespace", SYSTEM_NAMESPACE, "--wait")

    kubectl("get", "crd", "cronixapps.cronix.dev")
    assert place.names("cxa") == {"shop"}
    assert place.get("cronjob", "cronix-shop-keep-0")["metadata"]["uid"] == uid


def test_a_restart_while_the_app_is_away_still_repairs_drift(
    place: Place, puppet: Puppet, kubectl: Kubectl, operator_back: None
) -> None:
    """Promises 3 and 5: the last good manifest survives the operator; it is read back from the CronJobs themselves."""
    puppet.serve(manifest("shop", job("one", "0 3 * * *"), job("two", "0 4 * * *")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    _scale(kubectl, 0)
    place.kubectl("delete", "pod", "puppet", "--grace-period=0")
    _scale(kubectl, 1)
    place.wait_condition("shop", "True", "FetchFailed")

    place.kubectl("patch", "cronjob", "cronix-shop-one-0", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_until(lambda: not place.get("cronjob", "cronix-shop-one-0")["spec"]["suspend"], 60, "drift is repaired")
