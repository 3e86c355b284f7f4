"""Each way in which a run can end, on a real kubelet: what `kubectl get cxa`, the status rows and the Events say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from cronix_operator.core.runs import ADVICE
from e2e.cli_calls import WIDTHS, Program, has_line
from e2e.conftest import Kubectl
from e2e.e2e_helpers import Place, Puppet, cronix_app, manifest, wait_until
from e2e.prometheus_helpers import run_counts
from e2e.recorder import record
from e2e.run_scenes import by_hand, column, last, quick, row, wait_end
from e2e.told_when import told_when

SECRET_ANSWER = '{"error": "no such job", "authorization": "Bearer abcdefgh12345678", "password": "hunter2"}'
TWICE = {"max_attempts": 2, "min_seconds": 1, "max_seconds": 1}
PATIENCE_SECONDS = 90


@pytest.fixture(autouse=True)
def measured(
    kubectl: Kubectl, kubeconfig: Path, place: Place, record_property: Callable[[str, object], None]
) -> Iterator[None]:
    """How soon each run was told stands at the end of pytest's report."""
    with told_when(kubectl, kubeconfig, place) as watcher:
        yield
    for line in watcher.lines():
        record_property("seconds from a run's end", line)


def event_of(place: Place, reason: str, job_name: str) -> str:
    """The Event with this reason, soon after the Job's end."""
    wait_end(place, job_name)
    return wait_until(lambda: place.events(reason), PATIENCE_SECONDS, f"an Event {reason}")[0]


# What `kubectl cronix` says about these runs at both widths; … stands for what differs. Cut cells end in …, too.
SCREENS = {
    "status": (
        "shop  Ready  5 CronJobs",
        "─ good/0  0 0 1 1 * … ✓ … ago  200 in",
        "─ rejected/0  0 0 1 1 * … ✗ … ago  AppRejected",
        "─ exhausted/0  0 0 1 1 * … ✗ … ago  RetriesExh",
        "─ slow/0  0 0 1 1 * … ✗ … ago  DeadlineEx",
        "─ imageless/0  0 0 1 1 * … ✗ … ago  NeverStart",
    ),
    "history": (
        "SCHEDULED … TOOK … HTTP  OUTCOME … JOB … RUN",
        "by hand … 200  Succeeded  shop/good/0",
        "by hand … 404  AppRejected  shop/rejec",
        "by hand … 503  RetriesExhausted  shop/exhau",
        "by hand … DeadlineExceeded  shop/slow/0",
        "by hand … NeverStarted  shop/image",
    ),
    "history --failed --count 1": ("by hand …",),
    "next --count 2": ("TIME … IN … JOB … SCHEDULE", "-01-01 00:00 UTC … shop/"),
    "timeline": ("shop/good/0", "shop/imageless/0"),
    "verify shop": (
        "✓ key",
        "✓ other keys  the app refuses a key that it does not know",
        '✓ manifest  app "shop", 5 jobs',
    ),
    "plan shop": ("no change, 5 in step",),
    "doctor": ("✓ CRD  cronixapps.cronix.dev", "✓ operator", "· app shop  shop/rejected/0: AppRejected"),
}


def test_each_end_of_a_run_is_told_as_it_was(place: Place, puppet: Puppet, kubectl: Kubectl, kubeconfig: Path) -> None:
    """Success, 4xx, retries exhausted, the Job's deadline, no image: one CronixApp, all at once, started by hand.

    `kubectl cronix` tells the same on a terminal of 80 and of 160 columns. C5: what the app answers is quoted without
    what looks like a credential, and nowhere stands the key.
    """
    puppet.manage(
        answers={
            "rejected": {"status": 404, "body": SECRET_ANSWER},
            "exhausted": {"status": 503, "body": "overloaded"},
            "slow": {"seconds": 60},
        }
    )
    names = ("good", "rejected", "exhausted", "slow", "imageless")
    jobs = [quick(name) for name in names if name not in {"exhausted", "slow"}]
    jobs += [quick("exhausted", retries=TWICE), quick("slow", timeout_seconds=120)]
    document = manifest("shop", *jobs)
    puppet.serve(document)
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    for name in names[:-1]:
        by_hand(place, "shop", name, f"run-{name}")
    copied = place.kubectl(
        "create", "job", "run-imageless", "--from=cronjob/cronix-shop-imageless-0", "--dry-run=client", "-o", "json"
    )
    copied["spec"]["template"]["spec"]["containers"][0] |= {"image": "127.0.0.1:1/cronix-signer:no-such-tag"}
    place.kubectl("create", "-f", "-", stdin=copied)

    place.wait_condition("shop", "True", "NeverStarted", kind="RunStuck", seconds=60)
    assert "no-such-tag" in place.condition("shop", "RunStuck")["message"]
    rejected = event_of(place, "AppRejected", "run-rejected")
    assert "rejected/0: AppRejected, HTTP 404 (by hand, run " in rejected
    assert "no such job" in rejected
    exhausted = event_of(place, "RetriesExhausted", "run-exhausted")
    assert "exhausted/0: RetriesExhausted after 2 attempts, HTTP 503" in exhausted
    assert ADVICE["RetriesExhausted"][1:] in exhausted
    wait_until(lambda: puppet.triggers("slow"), 60, "the slow run is under way")
    give_up = json.dumps({"spec": {"activeDeadlineSeconds": 1}})
    place.kubectl("patch", "job", "run-slow", "--type=merge", "-p", give_up)
    event_of(place, "DeadlineExceeded", "run-slow")
    place.kubectl("patch", "job", "run-imageless", "--type=merge", "-p", give_up)
    wait_end(place, "run-imageless")

    def all_ended() -> bool:
        return all(last(place, "shop", name) for name in names)

    wait_until(all_ended, PATIENCE_SECONDS, "a row for each")
    seen = {name: last(place, "shop", name) for name in names}
    assert {name: run["outcome"] for name, run in seen.items()} == {
        "good": "Succeeded",
        "rejected": "AppRejected",
        "exhausted": "RetriesExhausted",
        "slow": "DeadlineExceeded",
        "imageless": "NeverStarted",
    }
    counts = {(name, run["outcome"]): 1 for name, run in seen.items()}
    wait_until(lambda: run_counts(kubectl, place.namespace) == counts, PATIENCE_SECONDS, "the counters follow the rows")
    assert [seen[name].get("httpStatus") for name in names] == [200, 404, 503, None, None]
    assert [seen[name].get("attempts") for name in names[:3]] == [1, 1, 2]
    assert (seen["exhausted"]["runID"], "slot" in seen["exhausted"]) == (
        puppet.triggers("exhausted")[0]["headers"]["X-Cron-Run-Id"],
        False,
    )
    assert wait_until(lambda: column(place, "shop", "FAILING") == "4", PATIENCE_SECONDS, "four of five are failing")
    assert column(place, "shop", "READY") == "True"
    wait_until(lambda: place.condition("shop", "RunStuck") == {}, PATIENCE_SECONDS, "no run is stuck any more")
    wait_until(lambda: place.events("NeverStarted"), PATIENCE_SECONDS, "an Event NeverStarted")
    assert "no-such-tag" in place.get("cxa", "shop")["status"]["lastFailure"]["message"]
    everything = json.dumps([place.get("cxa", "shop"), place.items("events")])
    for secret in (puppet.key, "hunter2", "abcdefgh12345678", "v1="):
        assert secret not in everything
    assert not [event for event in place.items("events") if event["reason"] == "Succeeded"]
    record(place, "ends", document)
    cronix = Program(kubeconfig, place.namespace)
    screens_say(cronix, SCREENS)
    assert json.loads(cronix("logs", "shop/exhausted").out.splitlines()[-1])["msg"] == "trigger: retries exhausted"


def screens_say(cronix: Program, screens: Mapping[str, Sequence[str]]) -> None:
    """Fail with the screens that do not say what they should, at one of the widths."""
    wrong = []
    for command, expected in screens.items():
        for columns in WIDTHS:
            shown = cronix.on_screen(*command.split(), columns=columns)
            if missing := [line for line in expected if not has_line(shown, line)]:
                wrong.append(f"$ kubectl cronix {command}   ({columns} columns)\n{shown}\nlacks {missing}")
    assert wrong == [], "\n\n".join(wrong)


def test_a_job_that_fails_and_recovers_says_so_once_each(place: Place, puppet: Puppet) -> None:
    puppet.manage(trigger_status=500)
    puppet.serve(manifest("shop", quick("sync")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    for number in range(2):
        by_hand(place, "shop", "sync", f"bad-{number}")
    wait_until(lambda: row(place, "shop", "sync").get("consecutiveFailures") == 2, 90, "two failures in a row")
    puppet.manage(trigger_status=200)
    by_hand(place, "shop", "sync", "good")
    event_of(place, "Recovered", "good")
    wait_until(lambda: column(place, "shop", "FAILING") == "0", PATIENCE_SECONDS, "no job is failing")
    after = row(place, "shop", "sync")
    assert "consecutiveFailures" not in after
    assert after["lastRun"]["jobName"] == "good"
    assert after["lastSuccessfulTime"] == after["lastRun"]["endTime"]
    wait_until(lambda: place.events("RetriesExhausted"), PATIENCE_SECONDS, "an Event RetriesExhausted")
    assert len(place.events("RetriesExhausted")) == 1
    assert column(place, "shop", "LAST FAILURE") == "sync/0"


def test_a_run_without_a_key_sends_nothing_and_says_which_secret(
    place: Place, puppet: Puppet, kubectl: Kubectl, kubeconfig: Path
) -> None:
    """Nothing is fired unsigned (promise 6), and it is told why nothing was fired."""
    document = manifest("shop", quick("sync"))
    place.apply(cronix_app("shop", {"inline": document}, signing={"secretRef": {"name": "not-made-yet"}}))
    place.wait_ready("shop")
    by_hand(place, "shop", "sync", "keyless")
    text = event_of(place, "NoKey", "keyless")
    assert "create the Secret" in text
    wait_until(lambda: last(place, "shop", "sync").get("outcome") == "NoKey", PATIENCE_SECONDS, "the row")
    assert puppet.triggers("sync") == []
    record(place, "keyless", document)
    told = {
        "status": ("─ sync/0 … ✗ … ago … NoKey",),
        "history": ("by hand … NoKey … shop/sync/0",),
        "doctor": ("app shop … NoKey",),
    }
    screens_say(Program(kubeconfig, place.namespace), told)
    once = {("sync", "NoKey"): 1}
    wait_until(lambda: run_counts(kubectl, place.namespace) == once, PATIENCE_SECONDS, "the counter follows the row")


def test_a_run_that_the_next_slot_replaces_is_superseded(
    place: Place, puppet: Puppet, kubectl: Kubectl, kubeconfig: Path
) -> None:
    """Kubernetes deletes such a Job and keeps no trace of it. And the slot's own id and time stand in the row."""
    puppet.manage(answers={"long": {"seconds": 200}})
    document = manifest(
        "shop",
        quick("long", "* * * * *", concurrency="Replace", timeout_seconds=300),
        quick("tick", "* * * * *"),
    )
    puppet.serve(document)
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    run = wait_until(lambda: last(place, "shop", "long"), 150, "a run was replaced")
    assert run["outcome"] == "Superseded"
    assert run["runID"] == puppet.triggers("long")[0]["headers"]["X-Cron-Run-Id"]
    counted = ("long", "Superseded")
    wait_until(lambda: run_counts(kubectl, place.namespace).get(counted), PATIENCE_SECONDS, "it is counted")
    (text, *_) = wait_until(lambda: place.events("Superseded"), PATIENCE_SECONDS, "an Event Superseded")
    assert f"slot {run['slot']}" in text
    assert "Replace" in text

    def follower() -> str:
        return str(row(place, "shop", "long").get("activeRun", {}).get("jobName", ""))

    assert wait_until(follower, PATIENCE_SECONDS, "the run that took its place") != run["jobName"]
    wait_until(lambda: int(column(place, "shop", "ACTIVE") or 0) >= 1, PATIENCE_SECONDS, "the column ACTIVE")
    tick = wait_until(lambda: last(place, "shop", "tick"), PATIENCE_SECONDS, "a run of the other job has ended")
    headers = [trigger["headers"] for trigger in puppet.triggers("tick")]
    assert tick["runID"] in [header["X-Cron-Run-Id"] for header in headers]
    assert tick["slot"].endswith(":00Z")
    record(place, "replaced", document)
    screens = {"history": (" UTC … Superseded … shop/long/0", " UTC … 200  Succeeded … shop/tick/0")}
    screens_say(Program(kubeconfig, place.namespace), screens)
