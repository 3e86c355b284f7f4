"""X-Cron-Previous-Success-Time from the status of runs to the app, through a ConfigMap and a real kubelet."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from cronix_cluster.paths import Paths
from e2e.e2e_helpers import Place, Puppet, cronix_app, manifest, wait_until
from e2e.run_scenes import by_hand, quick

HEADER = "X-Cron-Previous-Success-Time"
ASKS = {"jobDefaults": {"previousSuccessTime": True}}
CONDITION = "PreviousSuccessUnknown"


def config_map(place: Place, name: str = "shop") -> dict[str, Any]:
    """The ConfigMap of an app, {} while it is not there."""
    found = place.kubectl("get", "configmap", f"cronix-{name}-previous-success", "--ignore-not-found", "-o", "name")
    return dict(place.get("configmap", f"cronix-{name}-previous-success")) if found else {}


def times(place: Place) -> dict[str, str]:
    """What it says of each job."""
    return dict(config_map(place).get("data", {}))


def told(place: Place, puppet: Puppet, name: str, run: str) -> str | None:
    """Start a run by hand, and wait for its end; the header that its verified request had."""
    before = len(puppet.triggers(name))
    by_hand(place, "shop", name, run)
    wait_until(lambda: place.get("job", run)["status"].get("conditions"), 90, f"run {run} has ended")
    (request,) = puppet.triggers(name)[before:]
    assert request["ok"] is True
    value: str | None = request["headers"].get(HEADER)
    return value


def mounts(place: Place, name: str) -> bool:
    """Whether a job's CronJob asks."""
    spec = place.get("cronjob", f"cronix-shop-{name}-0")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return any(volume["name"] == "previous-success" for volume in spec["volumes"])


def end_of(place: Place, run: str) -> str:
    """When a run that succeeded had ended, as the header has it."""
    text = wait_until(lambda: place.get("job", run)["status"].get("completionTime"), 60, f"{run} is complete")
    return str(int(datetime.fromisoformat(text).timestamp()))


def paste(kubeconfig: Path, message: str) -> None:
    """Do what a condition says, as a person would."""
    program = Paths().bin / "kubectl"
    kubectl = f"{program if program.exists() else 'kubectl'} --kubeconfig {kubeconfig}"
    command = message[message.index("kubectl apply") :].replace("kubectl", kubectl, 1)
    subprocess.run(["bash", "-c", command], check=True, capture_output=True, timeout=60)


def test_a_run_is_told_when_its_job_last_succeeded(place: Place, puppet: Puppet, kubeconfig: Path) -> None:
    """Nothing before the first success; then its end, which a failed run does not move; nothing once switched off.

    The operator of these tests has no right on ConfigMaps: the condition says what to apply, and runs go on without.
    """
    puppet.serve(manifest("shop", quick("sync"), quick("other")))
    place.apply(cronix_app("shop", **ASKS))
    message = place.wait_condition("shop", "True", "Forbidden", kind=CONDITION)
    place.wait_ready("shop")
    assert told(place, puppet, "sync", "first") is None
    assert config_map(place) == {}

    paste(kubeconfig, message)
    first = end_of(place, "first")
    wait_until(lambda: times(place) == {"sync": first}, 90, "the first success is told")
    wait_until(lambda: place.condition("shop", CONDITION) == {}, 90, "the condition is gone")

    def named() -> bool:
        return bool(
            place.get("cxa", "shop")["status"].get("previousSuccessConfigMap") == "cronix-shop-previous-success"
        )

    wait_until(named, 60, "status names it")
    (owner,) = config_map(place)["metadata"]["ownerReferences"]
    assert owner["uid"] == place.get("cxa", "shop")["metadata"]["uid"]

    puppet.manage(trigger_status=404)
    assert told(place, puppet, "sync", "refused") == first
    puppet.manage(trigger_status=200)
    assert told(place, puppet, "sync", "again") == first, "the failed run has moved nothing"
    second = end_of(place, "again")
    assert int(second) > int(first)
    wait_until(lambda: times(place)["sync"] == second, 60, "the second success is told")
    assert told(place, puppet, "other", "another-job") is None, "each job has its own time"
    assert told(place, puppet, "sync", "third") == second

    place.apply(cronix_app("shop", overrides=[{"jobs": ["other"], "previousSuccessTime": True}]))
    wait_until(lambda: (mounts(place, "sync"), mounts(place, "other")) == (False, True), 60, "one job asks")
    wait_until(lambda: list(times(place)) == ["other"], 60, "the other's time is gone")
    place.apply(cronix_app("shop"))
    wait_until(lambda: config_map(place) == {}, 60, "switched off, it is removed")
    wait_until(lambda: "previousSuccessConfigMap" not in place.get("cxa", "shop")["status"], 90, "status as well")
    assert told(place, puppet, "other", "last") is None


def test_a_config_map_of_that_name_that_is_somebody_else_s_is_left_alone(place: Place, puppet: Puppet) -> None:
    """T5. And the run starts all the same, though what it mounts makes no sense."""
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cronix-shop-previous-success"}}
    place.apply({**theirs, "data": {"sync": "yesterday\r\nX-Evil: 1"}})
    puppet.serve(manifest("shop", quick("sync")))
    place.apply(cronix_app("shop", **ASKS))
    message = place.wait_condition("shop", "True", "NameConflict", kind=CONDITION)
    assert "kubectl delete configmap cronix-shop-previous-success" in message
    assert told(place, puppet, "sync", "first") is None
    assert "X-Evil" not in puppet.triggers("sync")[0]["headers"]
    assert times(place)["sync"].startswith("yesterday")
    assert "ownerReferences" not in config_map(place)["metadata"]
