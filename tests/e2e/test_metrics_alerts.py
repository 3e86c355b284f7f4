"""Each alert of the chart fires when it should and only then: promtool plays made-up series to the rendered rules."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from crd.crd_helpers import ROOT
from e2e.chart_helpers import CHART, Helm
from e2e.prometheus_helpers import chart_rules, promtool

ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A situation: series with a value for each step, and how many alerts stand after so many steps."""

    alert: str
    situation: str
    series: dict[str, str]
    steps: int
    fires: int
    step: str = "1m"


LEADER = 'cronix_operator_leader{{pod="{}"}}'
APP = 'namespace="shop",name="billing"'
READY = f'cronix_app_condition{{{APP},type="Ready",status="True"}}'
READ = f"cronix_app_manifest_last_success_timestamp_seconds{{{APP}}}"
INTERVAL = f"cronix_app_interval_seconds{{{APP}}}"
SUSPENDED_JOBS = f'cronix_app_cronjobs{{{APP},state="suspended"}}'
SUSPENDED = f"cronix_app_suspended{{{APP}}}"


JOB = f'{APP},cronix_job="report",index="0"'
FAILURES = f"cronix_job_consecutive_failures{{{JOB}}}"
PERIOD = f"cronix_job_period_seconds{{{JOB}}}"
RESTING = f"cronix_job_suspended{{{JOB}}}"
SUCCESS = f"cronix_job_last_success_timestamp_seconds{{{JOB}}}"
SUCCESS_EACH_HOUR = " ".join(f"{hour * 3600}x59" for hour in range(7))
CREATED = f"cronix_job_created_timestamp_seconds{{{JOB}}}"
MISSED = f"cronix_job_missed_slots{{{JOB}}}"
MISSED_AT = f"cronix_job_last_missed_slot_timestamp_seconds{{{JOB}}}"
DUPLICATES = f"cronix_run_duplicates_total{{{APP}}}"
LATE = f'cronix_run_start_delay_seconds_bucket{{{{{APP},le="{{}}"}}}}'


def condition(kind: str) -> str:
    return f'cronix_app_condition{{{APP},type="{kind}",status="True"}}'


CASES = [
    Case("CronixOperatorDown", "never scraped", {"other": "1x20"}, 6, 1),
    Case("CronixOperatorDown", "scraped, then gone", {"cronix_operator_leader": "1x3 stale"}, 15, 1),
    Case("CronixOperatorDown", "restarted within five minutes", {"cronix_operator_leader": "1 stale _x2 1x20"}, 10, 0),
    Case("CronixOperatorDown", "there", {"cronix_operator_leader": "1x20"}, 15, 0),
    Case("CronixOperatorDown", "waits for a right", {"cronix_operator_leader": "0x20"}, 15, 1),
    Case("CronixOperatorDown", "two replicas", {LEADER.format("a"): "0x20", LEADER.format("b"): "1x20"}, 15, 0),
    Case("CronixOperatorStalled", "stands still", {"cronix_operator_last_loop_timestamp_seconds": "0x20"}, 5, 1),
    Case("CronixOperatorStalled", "turns", {"cronix_operator_last_loop_timestamp_seconds": "0+60x20"}, 15, 0),
    Case("CronixAppNotReady", "for long", {READY: "0x30"}, 16, 1),
    Case("CronixAppNotReady", "not for long", {READY: "0x10 1x20"}, 20, 0),
    Case("CronixAppNotReady", "ready", {READY: "1x30"}, 20, 0),
    Case("CronixManifestStale", "for long", {READ: "0x60", INTERVAL: "300x60"}, 30, 1),
    Case("CronixManifestStale", "read each five minutes", {READ: "0+60x60", INTERVAL: "300x60"}, 50, 0),
    Case("CronixManifestStale", "as old, but read daily", {READ: "0x60", INTERVAL: "86400x60"}, 30, 0),
    Case("CronixManifestStale", "suspended", {READ: "0x60", INTERVAL: "300x60", SUSPENDED: "1x60"}, 30, 0),
    Case("CronixPruneBlocked", "nobody answers", {condition("PruneBlocked"): "1x20"}, 11, 1),
    Case("CronixPruneBlocked", "approved", {condition("PruneBlocked"): "1x5 stale"}, 15, 0),
    Case("CronixJobsInvalid", "for long", {condition("JobsInvalid"): "1x20"}, 11, 1),
    Case("CronixJobsInvalid", "mended", {condition("JobsInvalid"): "1x5 stale"}, 15, 0),
    Case("CronixSuspendedTooLong", "eight days", {SUSPENDED_JOBS: "2x200"}, 8 * 24, 1, step="1h"),
    Case("CronixSuspendedTooLong", "six days", {SUSPENDED_JOBS: "2x144 0x100"}, 8 * 24, 0, step="1h"),
    Case("CronixJobFailing", "each minute, three in a row", {FAILURES: "0 1 2 3x10", PERIOD: "60x20"}, 4, 1),
    Case("CronixJobFailing", "each minute, two in a row", {FAILURES: "0 1 2x10", PERIOD: "60x20"}, 10, 0),
    Case("CronixJobFailing", "daily, once", {FAILURES: "0 1x10", PERIOD: "86400x20"}, 2, 1),
    Case("CronixJobFailing", "then a success", {FAILURES: "0 1 2 3 0x10", PERIOD: "86400x20"}, 6, 0),
    Case("CronixJobFailing", "suspended", {FAILURES: "5x20", PERIOD: "60x20", RESTING: "1x20"}, 6, 0),
    Case("CronixJobOverdue", "hourly, two hours", {SUCCESS: "0x200", PERIOD: "3600x200"}, 120, 1),
    Case("CronixJobOverdue", "hourly, one hour", {SUCCESS: "0x200", PERIOD: "3600x200"}, 95, 0),
    Case("CronixJobOverdue", "each hour a success", {SUCCESS: SUCCESS_EACH_HOUR, PERIOD: "3600x400"}, 350, 0),
    Case("CronixJobOverdue", "daily, two hours", {SUCCESS: "0x200", PERIOD: "86400x200"}, 190, 0),
    Case("CronixJobOverdue", "never a success", {CREATED: "0x200", PERIOD: "3600x200"}, 120, 1),
    Case("CronixJobOverdue", "made a moment ago", {CREATED: "0x200", PERIOD: "3600x200"}, 60, 0),
    Case("CronixJobOverdue", "suspended", {SUCCESS: "0x200", PERIOD: "3600x200", RESTING: "1x200"}, 190, 0),
    Case("CronixJobOverdue", "just resumed", {SUCCESS: "0x200", PERIOD: "3600x200", RESTING: "1x150 0x50"}, 190, 0),
    Case("CronixSlotMissed", "one more", {MISSED: "4x10 5x50"}, 12, 1),
    Case("CronixSlotMissed", "long ago", {MISSED: "4x300", MISSED_AT: "0x300"}, 200, 0),
    Case("CronixSlotMissed", "seen after a restart", {MISSED: "_x10 5x50", MISSED_AT: "_x10 540x50"}, 30, 1),
    Case("CronixSlotMissed", "status forgot one", {MISSED: "5x10 4x50"}, 12, 0),
    Case("CronixRunStuck", "for long", {condition("RunStuck"): "1x20"}, 5, 1),
    Case("CronixRunStuck", "it got on", {condition("RunStuck"): "1x1 stale"}, 5, 0),
    Case(
        "CronixRunLate",
        "two minutes",
        {LATE.format("60"): "0x90", LATE.format("300"): "0+1x90", LATE.format("+Inf"): "0+1x90"},
        60,
        1,
    ),
    Case(
        "CronixRunLate",
        "a second",
        {LATE.format("1"): "0+1x90", LATE.format("60"): "0+1x90", LATE.format("+Inf"): "0+1x90"},
        60,
        0,
    ),
    Case("CronixDuplicateFire", "one", {DUPLICATES: "0x10 1x20"}, 12, 1),
    Case("CronixDuplicateFire", "none", {DUPLICATES: "0x30"}, 20, 0),
    Case("CronixDuplicateFire", "restarted", {DUPLICATES: "3x200 0x100"}, 280, 0),
]


@pytest.fixture(scope="module")
def rules(kubeconfig: Path) -> dict[str, Any]:
    return chart_rules(Helm(kubeconfig))


def played(case: Case) -> dict[str, Any]:
    """The case as promtool wants it."""
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}})'
    samples = [{"labels": "{}", "value": case.fires}] if case.fires else []
    return {
        "interval": case.step,
        "name": case.situation,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{case.steps}{case.step[-1]}", "exp_samples": samples}],
    }


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_when_it_should_and_only_then(alert: str, rules: dict[str, Any], tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == alert]
    assert {bool(case.fires) for case in cases} == {True, False}, "an alert needs cases of both kinds"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": cases[0].step,
        "tests": [played(case) for case in cases],
    }
    (tmp_path / "test.yaml").write_text(json.dumps(test))
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_expectation_is_seen(rules: dict[str, Any], tmp_path: Path) -> None:
    """The test above can fail."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    case = dataclasses.replace(CASES[0], fires=0)
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [played(case)]}
    (tmp_path / "test.yaml").write_text(json.dumps(test))
    assert promtool("test", "rules", str(tmp_path / "test.yaml")).returncode != 0


def test_promtool_accepts_the_rules(rules: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_names_the_app_and_its_page(rules: dict[str, Any], tmp_path: Path) -> None:
    """The templates of the texts work, and the labels of a release are on it."""
    (rule,) = (r for group in rules["groups"] for r in group["rules"] if r["alert"] == "CronixAppNotReady")
    annotations = {
        **rule["annotations"],
        "summary": "CronixApp shop/billing is not ready",
        "runbook_url": "docs/runbooks/CronixAppNotReady.md",
    }
    labels = {"severity": "warning", "namespace": "shop", "name": "billing", "type": "Ready", "status": "True"}
    expected = {
        "eval_time": "16m",
        "alertname": "CronixAppNotReady",
        "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}],
    }
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {"interval": "1m", "input_series": [{"series": READY, "values": "0x30"}], "alert_rule_test": [expected]}
        ],
    }
    (tmp_path / "test.yaml").write_text(json.dumps(test))
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_values_say_about_the_alerts_is_done(kubeconfig: Path) -> None:
    changed = chart_rules(
        Helm(kubeconfig),
        disabled=["CronixSuspendedTooLong"],
        alertLabels={"team": "platform", "severity": "page"},
        runbookURL="https://wiki.example.com/cronix/",
    )
    found = {rule["alert"]: rule for group in changed["groups"] for rule in group["rules"]}
    assert set(ALERTS) - set(found) == {"CronixSuspendedTooLong"}
    down = found["CronixOperatorDown"]
    assert down["labels"] == {"severity": "critical", "team": "platform"}
    assert down["annotations"]["runbook_url"] == "https://wiki.example.com/cronix/CronixOperatorDown.md"


def test_each_alert_has_its_page_and_no_page_is_without_an_alert() -> None:
    pages = {page.stem for page in (ROOT / "docs/runbooks").glob("*.md")}
    assert pages == set(ALERTS)
