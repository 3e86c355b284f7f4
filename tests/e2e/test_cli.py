"""`kubectl cronix` on a real cluster: what it starts is really signed and verified, what it says is so."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cronix_protocol.runid import run_id
from e2e.cli_calls import Program, plugin_folder
from e2e.e2e_helpers import Place, Puppet, cronix_app, job, manifest, wait_until

ONCE = {"policy": {"retries": {"max_attempts": 1, "min_seconds": 1, "max_seconds": 1}}}


@pytest.fixture
def shop(place: Place, puppet: Puppet) -> Puppet:
    """App `shop` with two jobs that do not come by themselves while a test runs: at New Year only."""
    puppet.serve(manifest("shop", job("nightly", "0 3 1 1 *", **ONCE), job("report", "30 4 1 1 *")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    return puppet


@pytest.fixture
def cronix(kubeconfig: Path, place: Place) -> Program:
    return Program(kubeconfig, place.namespace)


def newest_outcomes(cronix: Program) -> list[str]:
    """Of app `shop`, the newest run first."""
    return [run["outcome"] for run in cronix("history", "shop", "-o", "json").document["items"]]


def test_run_and_backfill_return_the_outcome_of_a_run_that_the_app_verified(
    place: Place, shop: Puppet, cronix: Program
) -> None:
    """The signer honours the backfill's slot: its own scheduled time, its own run id; exit codes are the signer's."""
    told = cronix("run", "shop/nightly", "--wait", "-o", "json")
    assert told.code == 0, told.err
    (request,) = shop.triggers("nightly")
    assert request["ok"]
    assert request["headers"]["X-Cron-Run-Id"] == told.document["runID"]
    assert (told.document["manual"], told.document["httpStatus"]) == (True, 200)

    told = cronix("backfill", "shop/nightly", "last", "--wait", "-o", "json")
    assert told.code == 0, told.err
    slot = int(datetime.fromisoformat(told.document["slot"]).timestamp())
    expected = run_id(place.get("cxa", "shop")["metadata"]["uid"], "nightly", 0, slot)
    request = shop.triggers("nightly")[-1]
    assert request["ok"]
    assert request["headers"]["X-Cron-Run-Id"] == told.document["runID"] == expected
    assert request["headers"]["X-Cron-Fire-Time"] == str(slot)
    assert slot % 86400 == 3 * 3600
    again = cronix("backfill", "shop/nightly", "last")
    assert (again.code, "has succeeded" in again.err) == (73, True)

    shop.manage(trigger_status=403)
    refused = cronix("run", "shop/nightly", "--wait")
    assert (refused.code, "AppRejected  403" in refused.out) == (1, True), refused.out + refused.err
    assert newest_outcomes(cronix) == ["AppRejected", "Succeeded", "Succeeded"]
    shop.manage(trigger_status=503)
    assert cronix("run", "shop/nightly", "--wait").code == 2

    # Kubernetes keeps one failed Job of a CronJob: the one before may or may not be gone by now.
    assert newest_outcomes(cronix)[0] == "RetriesExhausted"
    (seen,) = cronix("status", "shop/nightly", "-o", "json").document["items"][0]["jobs"]
    assert seen["lastRun"]["outcome"] == "RetriesExhausted"
    assert seen["consecutiveFailures"] >= 1
    log = cronix("logs", "shop/nightly")
    assert json.loads(log.out.splitlines()[-1])["msg"] == "trigger: retries exhausted"


def test_a_job_that_is_suspended_stays_so_and_is_told_before_a_run(place: Place, shop: Puppet, cronix: Program) -> None:
    """Neither a repair nor a reconcile undoes it; resume does; an app is suspended as a whole."""

    def held(name: str) -> bool:
        return bool(place.get("cronjob", f"cronix-shop-{name}-0")["spec"]["suspend"])

    assert cronix("suspend", "shop/nightly").code == 0
    assert (held("nightly"), held("report")) == (True, False)
    place.kubectl("patch", "cronjob", "cronix-shop-nightly-0", "-p", '{"spec":{"suspend":false}}')
    wait_until(lambda: held("nightly"), 60, "the repair")
    assert cronix("reconcile", "shop", "--wait").code == 0
    assert held("nightly")
    refused = cronix("run", "shop/nightly")
    assert (refused.code, "kubectl cronix resume shop/nightly" in refused.err) == (73, True)
    assert place.items("jobs") == []
    assert cronix("resume", "shop/nightly").code == 0
    assert not held("nightly")
    assert cronix("suspend", "shop").code == 0
    assert (held("nightly"), held("report")) == (True, True)
    assert cronix("run", "shop/report").code == 73
    assert cronix("resume", "shop").code == 0
    assert (held("nightly"), held("report")) == (False, False)


def test_forbid_with_a_run_under_way_is_told_before_anything_is_created(
    place: Place, shop: Puppet, cronix: Program
) -> None:
    """The second would be one that the policy does not want."""
    shop.manage(held=["nightly"])
    first = cronix("run", "shop/nightly", "-o", "name")
    assert first.code == 0, first.err
    wait_until(lambda: shop.triggers("nightly"), 60, "the run is under way")
    second = cronix("run", "shop/nightly")
    assert (second.code, "its policy is Forbid" in second.err) == (73, True), second.err
    assert [f"job.batch/{body['metadata']['name']}" for body in place.items("jobs")] == [first.out.strip()]
    shop.manage(held=[])
    followed = cronix("logs", "shop/nightly", "-f")
    assert json.loads(followed.out.splitlines()[-1])["msg"] == "trigger: success"


@pytest.fixture
def person(place: Place, kubeconfig: Path, tmp_path: Path) -> Callable[..., Program]:
    """`person("get list", "cronixapps …")`: somebody with these rights in the namespace and no others."""

    def with_rights(verbs: str, *resources: str) -> Program:
        place.kubectl("create", "serviceaccount", "ann")
        place.kubectl("create", "role", "ann", f"--verb={','.join(verbs.split())}", f"--resource={','.join(resources)}")
        place.kubectl("create", "rolebinding", "ann", "--role=ann", f"--serviceaccount={place.namespace}:ann")
        document: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        for user in document["users"]:
            user["user"] = {"token": place.kubectl("create", "token", "ann").strip()}
        path = tmp_path / "ann.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return Program(path, place.namespace)

    return with_rights


def test_a_missing_right_is_told_and_nothing_is_created(
    place: Place, shop: Puppet, person: Callable[..., Program]
) -> None:
    """The person's own rights count, not the operator's."""
    ann = person("get list", "cronixapps.cronix.dev", "cronjobs.batch", "jobs.batch", "pods")
    assert ann("status", "shop").code == 0
    for command, right in (
        (("run", "shop/nightly"), "create jobs"),
        (("backfill", "shop/nightly", "last"), "create jobs"),
        (("suspend", "shop"), "patch cronixapps.cronix.dev"),
        (("reconcile", "shop"), "patch cronixapps.cronix.dev"),
    ):
        told = ann(*command)
        assert (told.code, f"kubectl auth can-i {right}" in told.err) == (77, True), told.err
    assert place.items("jobs") == []


def test_kubectl_finds_the_plugin(shop: Puppet, kubeconfig: Path, place: Place, tmp_path: Path) -> None:
    """`kubectl cronix …` and the Tab key, by the console scripts under the names that kubectl looks for."""
    env = {**os.environ, **plugin_folder(tmp_path, kubeconfig)}

    def kubectl(*arguments: str) -> str:
        return subprocess.run(["kubectl", *arguments], env=env, capture_output=True, text=True, check=True).stdout

    assert "shop  Ready  2 CronJobs" in kubectl("cronix", "status", "-n", place.namespace)
    assert "status\t" in kubectl("__complete", "cronix", "st")
    assert "shop/nightly\n" in kubectl("__complete", "cronix", "status", "-n", place.namespace, "shop/n")
