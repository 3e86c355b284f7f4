"""The kubelet is killed while runs are under way and stays away: as far as Kubernetes can tell, the node is dead.

Alone, and in `make test-faults` only: every pod of the cluster is on this node.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cronix_cluster.paths import Paths
from e2e.e2e_helpers import PATIENCE_SECONDS, Kubectl, Place, Puppet, cronix_app, manifest, wait_until
from e2e.run_scenes import by_hand, failed_jobs, is_over, last, quick, row, wait_end
from faults.faults_helpers import WHOLE, Figure
from faults.faults_table import keep_round

pytestmark = pytest.mark.disruptive

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "cluster")}
# The pods come back at once, that of the app among them: a request that finds nobody is sent again.
PATIENT: dict[str, Any] = {"timeout_seconds": 60, "retries": {"max_attempts": 10, "min_seconds": 1, "max_seconds": 5}}
# The attempt of a run that waits for its answer while the node is dead.
LONG_SECONDS = 600
OUTCOMES = {"long": "Succeeded", "doomed": "DeadlineExceeded", "silent": "Succeeded", "tick": "Succeeded"}
EVENTS = (("NeverStarted", "silent"), ("Recovered", "silent"), ("RunStuck", "doomed"), ("DeadlineExceeded", "doomed"))


def kubelet(action: str) -> list[str]:
    """The command for the only kubelet; `start` waits until it is healthy and does nothing where it runs."""
    return [sys.executable, "-m", "cronix_cluster", "component", "--wait", action, "kubelet"]


@pytest.fixture
def kubelet_back(kubeconfig: Path, kubectl: Kubectl) -> Iterator[None]:
    """The node lives again whatever happens: also when this process is killed, for then the pipe closes as well."""
    if kubeconfig != Paths().kubeconfig:
        pytest.fail("this test kills the local cluster's kubelet; run it there", pytrace=False)
    waiter = ["sh", "-c", 'cat >/dev/null; exec "$@"', "kubelet-back", *kubelet("start")]
    with subprocess.Popen(waiter, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, start_new_session=True) as guard:
        yield
        guard.communicate(timeout=300)
    assert guard.returncode == 0
    kubectl("wait", "--for=condition=Ready", "node", "--all", f"--timeout={PATIENCE_SECONDS}s")


def seen_running(place: Place) -> set[str]:
    """Jobs that have a pod of which the kubelet has said that it runs."""
    pods = place.items("pods", "cronix.dev/job")
    return {pod["metadata"]["labels"]["job-name"] for pod in pods if pod["status"]["phase"] == "Running"}


def unfinished(place: Place, job: str) -> set[str]:
    """Names of the Jobs of a job that have not ended."""
    return {body["metadata"]["name"] for body in place.items("jobs", f"cronix.dev/job={job}") if not is_over(body)}


def told(place: Place, reason: str, job: str) -> list[str]:
    """The Events with this reason about a job."""
    return [text for text in place.events(reason) if text.startswith(f"{job}/0: ")]


def outcomes(place: Place) -> dict[str, str]:
    """How the last run of each job ended, by job."""
    return {name: str(last(place, "shop", name).get("outcome")) for name in OUTCOMES}


def asked(puppet: Puppet, job: str) -> Counter[str]:
    """How often the app was asked for each slot."""
    return Counter(request["headers"]["X-Cron-Fire-Time"] for request in puppet.triggers(job))


@pytest.fixture
def two_under_way(place: Place, puppet: Puppet) -> None:
    """Runs of `long` and `doomed` that wait for the app's answer; `tick` has a slot each minute, `silent` none yet."""
    puppet.manage(held=["long", "doomed"])
    held = [quick(name, timeout_seconds=LONG_SECONDS) for name in ("long", "doomed")]
    tick = quick("tick", "* * * * *", concurrency="Allow", **PATIENT)
    document = manifest("shop", *held, tick, quick("silent", **PATIENT))
    place.apply(cronix_app("shop", {"inline": document}))
    place.wait_ready("shop")
    for name in ("long", "doomed"):
        by_hand(place, "shop", name, f"run-{name}")
    wait_until(lambda: puppet.triggers("long") and puppet.triggers("doomed"), PATIENCE_SECONDS, "both are under way")
    # Of a pod that the kubelet has not told of before it dies nobody knows that it runs: `silent` is for that.
    both = {"run-long", "run-doomed"}
    wait_until(lambda: seen_running(place) >= both, PATIENCE_SECONDS, "the kubelet has said so")


def follow_the_advice(place: Place) -> None:
    """Of a run that is stuck: while the node is dead its pod is removed as the message says, and the run has ended."""
    message = place.wait_condition("shop", "True", "RunStuck", kind="RunStuck", seconds=300)
    assert "pod run-doomed-" in message
    assert "on node cronix-local should have been gone at" in message
    stuck = wait_until(lambda: row(place, "shop", "doomed").get("activeRun"), PATIENCE_SECONDS, "its row")
    assert (stuck["jobName"], stuck["problem"]) == ("run-doomed", "RunStuck")
    (command,) = re.findall(r"kubectl (delete pod run-doomed-\S+ --force --grace-period=0)", message)
    place.kubectl(*command.split())
    wait_end(place, "run-doomed")
    wait_until(lambda: last(place, "shop", "doomed").get("outcome") == "DeadlineExceeded", PATIENCE_SECONDS, "its end")


@pytest.mark.skipif(not WHOLE, reason="takes minutes: `make test-faults` has it")
@pytest.mark.timeout(900)
def test_a_node_that_dies_loses_no_run_and_a_run_that_cannot_end_is_told(
    place: Place,
    puppet: Puppet,
    two_under_way: None,
    kubelet_back: None,
    record_property: Callable[[str, object], None],
) -> None:
    """K6: a run ends while nobody looks, slots begin meanwhile, one pod cannot be removed, another not be seen.

    Each of them got one request. What is stuck is told, once, with the node and what to do, and the advice is right.
    """
    subprocess.run(kubelet("kill"), cwd=ROOT, env=ENVIRONMENT, check=True, timeout=300)
    puppet.manage(held=["doomed"])
    by_hand(place, "shop", "silent", "run-silent")
    place.kubectl("patch", "job", "run-doomed", "--type=merge", "-p", '{"spec":{"activeDeadlineSeconds":1}}')
    (text,) = wait_until(lambda: told(place, "NeverStarted", "silent"), 180, "an Event about the silent one")
    assert "on node cronix-local was not seen to start" in text
    assert "it may have started unseen" in text
    follow_the_advice(place)
    begun = unfinished(place, "tick")
    assert begun, "slots began while the node was dead"
    assert not is_over(place.get("job", "run-long")), "nobody knows yet"

    subprocess.run(kubelet("start"), cwd=ROOT, env=ENVIRONMENT, check=True, timeout=300)
    started = time.monotonic()
    for name in ("run-long", "run-silent"):
        wait_end(place, name, 180)
    wait_until(lambda: not begun & unfinished(place, "tick"), 180, "what began meanwhile has ended")
    wait_until(lambda: place.condition("shop", "RunStuck") == {}, 180, "no run is stuck any more")
    wait_until(lambda: outcomes(place) == OUTCOMES, PATIENCE_SECONDS, "status has each end")
    figure = Figure("kubelet killed during runs, back after minutes", round(time.monotonic() - started, 1))
    puppet.manage(held=[])
    for name in ("long", "doomed", "silent"):
        assert len(puppet.triggers(name)) == 1, name
    slots = asked(puppet, "tick")
    assert {str(int(name.rsplit("-", 1)[1]) * 60) for name in begun} <= slots.keys()
    assert set(slots.values()) == {1}, "one request for each slot"
    assert len({request["headers"]["X-Cron-Run-Id"] for request in puppet.triggers("tick")}) == len(slots)
    assert failed_jobs(place.items("jobs")) == ["run-doomed"]
    wait_until(lambda: told(place, "Recovered", "silent"), PATIENCE_SECONDS, "an Event about its recovery")
    events = Counter((event["reason"], event["message"].partition("/0: ")[0]) for event in place.items("events"))
    about = {key: count for key, count in events.items() if key[1] in {"long", "doomed", "silent"}}
    assert about == dict.fromkeys(EVENTS, 1)
    record_property("kubelet killed", f"{figure.seconds} s from its return until each run was known to have ended")
    keep_round([figure], "node_rounds")
