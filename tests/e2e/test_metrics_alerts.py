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


APP = 'namespace="shop",name="billing"'
READY = f'cronix_app_condition{{{APP},type="Ready",status="True"}}'
READ = f"cronix_app_manifest_last_success_timestamp_seconds{{{APP}}}"
INTERVAL = f"cronix_app_interval_seconds{{{APP}}}"
SUSPENDED_JOBS = f'cronix_app_cronjobs{{{APP},state="suspended"}}'
SUSPENDED = f"cronix_app_suspended{{{APP}}}"


def condition(kind: str) -> str:
    return f'cronix_app_condition{{{APP},type="{kind}",status="True"}}'


CASES = [
    Case("CronixOperatorDown", "never scraped", {"other": "1x20"}, 6, 1),
    Case("CronixOperatorDown", "scraped, then gone", {"cronix_build_info": "1x3 stale"}, 15, 1),
    Case("CronixOperatorDown", "restarted within five minutes", {"cronix_build_info": "1 stale _x2 1x20"}, 10, 0),
    Case("CronixOperatorDown", "there", {"cronix_build_info": "1x20"}, 15, 0),
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
