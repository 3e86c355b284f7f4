"""`status`, `history`, `logs`: what there is, put together from CronixApps, CronJobs, Jobs and pods."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from cli.cli_helpers import Kube, assert_golden, call
from cli.cli_world import busy_shop, run_of, shop
from operator_fakes.builders import NAMESPACE

PAYMENTS = "cronix-billing-reconcile-payments-0"
SETTLE = "cronix-billing-settle-invoices-0"


@pytest.fixture
def kube() -> Kube:
    return busy_shop()


def _jobs(kube: Kube, *arguments: str) -> dict[str, Any]:
    told = call("status", "-o", "json", *arguments, kube=kube)
    assert told.code == 0, told.err
    return {f"{a['name']}/{j['name']}/{j['index']}": j for a in json.loads(told.out)["items"] for j in a["jobs"]}


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("status", ["status"]),
        ("status-wide", ["status", "billing", "-o", "wide"]),
        ("history", ["history"]),
        ("history-wide", ["history", "billing/settle-invoices", "-o", "wide"]),
    ],
)
def test_what_a_person_sees(kube: Kube, name: str, arguments: list[str], width: int) -> None:
    """Golden captures, looked at."""
    assert_golden(f"{name}-{width}", call(*arguments, kube=kube, width=width).out)


def test_one_request_for_each_kind_whatever_the_number_of_jobs(kube: Kube) -> None:
    """A thousand jobs must not make a thousand requests."""
    call("status", kube=kube)
    assert sorted(path.rsplit("/", 1)[1] for path in kube.reads) == ["cronixapps", "cronjobs", "jobs", "pods"]


def test_a_run_under_way_a_late_slot_and_a_row_of_failures_are_told(kube: Kube) -> None:
    """The three things that a person looks for first."""
    jobs = _jobs(kube)
    assert jobs["billing/reconcile-payments/0"]["activeRuns"][0]["jobName"].startswith(PAYMENTS)
    assert jobs["shipping/sweep/0"]["lateSlot"] == "2026-11-24T09:30:00Z"
    assert jobs["billing/settle-invoices/0"]["consecutiveFailures"] == 2
    assert jobs["billing/settle-invoices/0"]["lastRun"]["outcome"] == "RetriesExhausted"
    assert jobs["billing/report/0"]["nextRunTime"] is None


def test_a_run_whose_job_is_gone_is_told_from_status() -> None:
    """History limits take the Job; the CronixApp's status still has its last run and the length of the row."""
    kube = shop()
    rows = kube.objects["cronixapps", NAMESPACE, "billing"]["status"]["jobs"]
    row = next(row for row in rows if row["cronJobName"] == SETTLE)
    row["consecutiveFailures"] = 7
    row["lastRun"] = {
        "jobName": f"{SETTLE}-29924700", "runID": "0193", "endTime": "2026-11-24T01:00:31Z",
        "startTime": "2026-11-24T01:00:01Z", "slot": "2026-11-24T01:00:00Z", "outcome": "AppRejected",
        "httpStatus": 403, "attempts": 1,
    }  # fmt: skip
    job = _jobs(kube)["billing/settle-invoices/0"]
    assert (job["consecutiveFailures"], job["lastRun"]["httpStatus"]) == (7, 403)
    run_of(kube, SETTLE, "2026-11-24T09:00:00Z")
    assert _jobs(kube)["billing/settle-invoices/0"]["consecutiveFailures"] == 0


def test_selectors_and_names(kube: Kube) -> None:
    """-l picks apps by label, -o name is what kubectl takes."""
    kube.objects["cronixapps", NAMESPACE, "shipping"]["metadata"]["labels"] = {"team": "b"}
    assert call("status", "-l", "team=b", "-o", "name", kube=kube).out == "cronixapp.cronix.dev/shipping\n"
    assert call("status", "shipping", "-o", "name", "-A", kube=kube).out == "cronixapp.cronix.dev/shipping\n"


def test_json_and_yaml_say_the_same_and_their_fields_are_those_of_the_page(kube: Kube) -> None:
    """docs/cli.md names them; a program relies on it."""
    as_json = json.loads(call("status", "-o", "json", kube=kube).out)
    assert yaml.safe_load(call("status", "-o", "yaml", kube=kube).out) == as_json
    assert list(as_json) == ["apiVersion", "kind", "items"]
    run = json.loads(call("history", "-o", "json", kube=kube).out)["items"][-1]
    assert set(run) >= {"namespace", "app", "job", "index", "jobName", "runID", "manual", "createTime", "outcome"}


def test_history_lists_the_newest_first_and_failures_alone_when_asked(kube: Kube) -> None:
    """--failed is what a person types after an alert."""
    runs = json.loads(call("history", "-o", "json", kube=kube).out)["items"]
    assert [run["createTime"] for run in runs] == sorted((run["createTime"] for run in runs), reverse=True)
    failed = json.loads(call("history", "--failed", "-o", "json", kube=kube).out)["items"]
    assert {run["outcome"] for run in failed} == {"RetriesExhausted", "AppRejected"}
    assert len(failed) == 3


def test_logs_are_those_of_the_run_that_is_meant(kube: Kube) -> None:
    """The last one by default, any other by its id, its end, or its Job."""
    first, second = f"{SETTLE}-29924700", f"{SETTLE}-29923260"
    kube.logs = {f"{first}-pod": ['{"msg":"first"}'], f"{second}-pod": ['{"msg":"\x1b[31msecond"}']}
    told = call("logs", "billing/settle-invoices/0", kube=kube)
    assert (told.out, told.code) == ('{"msg":"first"}\n', 0)
    ids = [
        r["runID"]
        for r in json.loads(call("history", "billing/settle-invoices/0", "-o", "json", kube=kube).out)["items"]
    ]
    for wanted in (ids[1], ids[1][-6:], f"{ids[1][:8]}…{ids[1][-4:]}", second):
        assert call("logs", "billing/settle-invoices", "--run", wanted, kube=kube).out == '{"msg":" [31msecond"}\n'


def test_the_log_of_a_run_that_has_just_begun_is_waited_for_with_f() -> None:
    """What `run` says to type next; without -f it is told that there is none yet."""
    kube = shop()
    name = run_of(kube, SETTLE, "2026-11-24T10:00:00Z", took=None)
    state = kube.objects["pods", NAMESPACE, f"{name}-pod"]["status"]["containerStatuses"][0]
    running, state["state"] = state["state"], {"waiting": {"reason": "ContainerCreating"}}
    kube.logs = {f"{name}-pod": ['{"msg":"first"}']}
    told = call("logs", "billing/settle-invoices", kube=kube)
    assert (told.code, told.out, "has not started" in told.err) == (66, "", True)

    def starts(_kube: Kube) -> None:
        state["state"] = running

    kube.on_sleep = starts
    assert call("logs", "billing/settle-invoices", "-f", kube=kube).out == '{"msg":"first"}\n'
    assert kube.sleeps == 1


def test_logs_of_a_run_whose_pod_is_gone_say_what_is_known(kube: Kube) -> None:
    """Better than an empty answer."""
    for key in [key for key in kube.objects if key[0] == "pods"]:
        del kube.objects[key]
    told = call("logs", "billing/settle-invoices/0", kube=kube)
    assert told.code == 66
    assert "is gone" in told.err


def test_a_run_that_does_not_start_is_told_with_its_cause(kube: Kube) -> None:
    """The operator's word for it, in status, doctor and report: an image that cannot be pulled heals by no waiting."""
    run_of(kube, SETTLE, "2026-11-24T09:59:00Z", took=None)
    (pod,) = [
        body for key, body in kube.objects.items() if key[0] == "pods" and key[2].startswith(f"{SETTLE}-29925239")
    ]
    pod["status"]["containerStatuses"][0]["state"] = {
        "waiting": {"reason": "ImagePullBackOff", "message": "no such image"}
    }
    problem = _jobs(kube)["billing/settle-invoices/0"]["problem"]
    assert problem["reason"] == "NeverStarted"
    for command in ("status", "doctor", "report"):
        assert "ImagePullBackOff" in call(command, kube=kube).out, command


def test_the_last_run_is_the_one_made_last_whatever_its_slot(kube: Kube) -> None:
    """A slot that failed and was sent again by hand: the second word counts, and the row of failures is over."""
    name = run_of(kube, SETTLE, "2026-11-24T01:00:00Z", name=f"{SETTLE}-b29924700", by_hand=True, manual=False)
    kube.objects["jobs", NAMESPACE, name]["metadata"]["creationTimestamp"] = "2026-11-24T09:55:00Z"
    job = _jobs(kube)["billing/settle-invoices/0"]
    assert (job["lastRun"]["outcome"], job["lastRun"]["slot"]) == ("Succeeded", "2026-11-24T01:00:00Z")
    assert job["consecutiveFailures"] == 0


def test_a_message_that_is_to_be_pasted_is_not_wrapped(kube: Kube) -> None:
    """The operator's advice on a missing right is a here-document: it must run as it is shown."""
    advice = "grant it: kubectl apply -f - <<'EOF'\n" + "{" + "x" * 100 + "}\nEOF"
    ready = kube.objects["cronixapps", NAMESPACE, "shipping"]["status"]["conditions"][0]
    ready |= {"status": "False", "reason": "Forbidden", "message": advice}
    told = call("status", "shipping", kube=kube, width=80)
    assert advice in told.out
    assert "x" * 100 not in call("doctor", kube=kube, width=80).out


def test_a_run_whose_pods_its_own_deadline_has_deleted_is_told_as_the_operator_saw_it(kube: Kube) -> None:
    """Job and no pod looks as if it had never started; status knows better, as long as it is about the same run."""
    name = run_of(kube, SETTLE, "2026-11-24T09:00:00Z", "RetriesExhausted", took=60.0)
    del kube.objects["pods", NAMESPACE, f"{name}-pod"]
    condition = kube.objects["jobs", NAMESPACE, name]["status"]["conditions"][0]
    condition |= {"reason": "DeadlineExceeded", "message": "Job was active longer than specified deadline"}
    assert _jobs(kube)["billing/settle-invoices/0"]["lastRun"]["outcome"] == "NeverStarted"
    rows = kube.objects["cronixapps", NAMESPACE, "billing"]["status"]["jobs"]
    row = next(row for row in rows if row["cronJobName"] == SETTLE)
    row["lastRun"] = {
        "jobName": name, "runID": "the-run", "outcome": "DeadlineExceeded",
        "startTime": "2026-11-24T09:00:01Z", "endTime": condition["lastTransitionTime"],
    }  # fmt: skip
    last = _jobs(kube)["billing/settle-invoices/0"]["lastRun"]
    assert (last["outcome"], last["runID"], last["message"]) == ("DeadlineExceeded", "the-run", condition["message"])
    row["lastRun"]["endTime"] = "2026-11-23T09:00:00Z"
    assert _jobs(kube)["billing/settle-invoices/0"]["lastRun"]["outcome"] == "NeverStarted"
