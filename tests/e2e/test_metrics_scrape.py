"""A real Prometheus scrapes the operator: every metric is there, every query of the dashboard and every rule works."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crd.crd_helpers import ROOT, load_script
from e2e.chart_helpers import Helm
from e2e.conftest import Kubectl
from e2e.e2e_helpers import Place, Puppet, cronix_app, job, manifest, wait_until
from e2e.prometheus_helpers import Server, chart_rules, dashboard, operator_targets, prometheus, promtool, scrape

# One Prometheus and one app for all of them.
pytestmark = pytest.mark.sets_up_once


@pytest.fixture(scope="module")
def chart(kubeconfig: Path) -> Helm:
    return Helm(kubeconfig)


@pytest.fixture(scope="module")
def site(kubectl: Kubectl, images: dict[str, str], operator: None) -> Iterator[Place]:
    """A namespace with an app that has two jobs and is in step."""
    name = f"e2e-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    place = Place(kubectl, name)
    puppet = Puppet(place, images["cronix-example"], key=secrets.token_hex(32))
    puppet.serve(manifest("billing", job("tick"), job("report", "0 9 1 1 *")))
    place.apply(cronix_app("billing"))
    place.wait_ready("billing")
    yield place
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def server(kubectl: Kubectl, site: Place, chart: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus(folder, operator_targets(kubectl), chart_rules(chart)) as running:
        counted = f'cronix_runs_total{{namespace="{site.namespace}",cronix_job="tick"}} > 0'
        wait_until(lambda: running.query(counted), 90, "the first slot has run and is counted")
        yield running


def scraped(kubectl: Kubectl) -> str:
    """What the first of the operator's pods serves."""
    return scrape(operator_targets(kubectl)[0])


def documented() -> dict[str, str]:
    """Name and kind of each metric on the page."""
    page = (ROOT / "docs/metrics.md").read_text("utf-8")
    return dict(re.findall(r"^\| `(cronix_\w+)` \| (\w+) \|", page, re.MULTILINE))


def test_the_live_endpoint_serves_the_metrics_of_the_page_and_no_other(kubectl: Kubectl, server: Server) -> None:
    """Once a run has ended; of missed slots there are none to tell."""
    live = dict(re.findall(r"^# TYPE (\S+) (\w+)$", scraped(kubectl), re.MULTILINE))
    assert {**live, "cronix_job_last_missed_slot_timestamp_seconds": "gauge"} == documented()


def test_promtool_finds_nothing_to_say_about_the_metrics(kubectl: Kubectl, site: Place) -> None:
    """Names, units and help texts as Prometheus wants them."""
    done = promtool("check", "metrics", stdin=scraped(kubectl))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_namespace_of_a_series_is_the_app_s_and_not_the_operator_s(server: Server, site: Place) -> None:
    """honorLabels of the monitors is what this is for: the target has a label of that name, too."""
    mine = f'namespace="{site.namespace}",name="billing"'
    assert server.number(f"cronix_app_info{{{mine}}}") == 1
    assert server.number(f'cronix_app_cronjobs{{{mine},state="active"}}') == 2
    assert server.number(f'cronix_job_period_seconds{{{mine},cronix_job="report"}}') in {365 * 86400, 366 * 86400}
    assert server.query("{exported_namespace!=''}") == []
    assert server.query("{__name__=~'cronix_.+',exported_job!=''}") == []


def test_a_run_is_told_as_it_was(server: Server, site: Place) -> None:
    """A job of every minute that the app answers with 200: its outcome, its answer, and that it was not late."""
    app = f'namespace="{site.namespace}",name="billing"'
    tick = f'{app},cronix_job="tick",index="0"'
    # Each comparison is one query, so that a run which ends just now cannot come between its two sides.
    last = f"cronix_job_last_run_timestamp_seconds{{{tick}}} - cronix_job_last_success_timestamp_seconds{{{tick}}}"
    assert server.number(last) == 0
    assert server.number(f"cronix_job_consecutive_failures{{{tick}}}") == 0
    assert server.number(f"cronix_job_missed_slots{{{tick}}}") == 0
    runs = f'cronix_runs_total{{{tick},outcome="Succeeded"}}'
    for same in (
        f"cronix_run_attempts_total{{{tick}}}",
        f'cronix_http_responses_total{{{app},code_class="2xx"}}',
        f"cronix_run_duration_seconds_count{{{app}}}",
        f'cronix_run_start_delay_seconds_bucket{{{app},le="60.0"}}',
    ):
        assert server.number(f"{same} - on (namespace, name) {runs}") == 0, same
    assert server.query(f"cronix_runs_total{{{app},outcome!='Succeeded'}} > 0") == []


def queries() -> list[Any]:
    """Every query of every panel."""
    targets_of = [(panel["title"], target) for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return [pytest.param(target["expr"], id=f"{title}-{target['refId']}") for title, target in targets_of]


@pytest.mark.parametrize("expression", queries())
def test_a_panel_of_the_dashboard_shows_something(server: Server, site: Place, expression: str) -> None:
    """With the variables filled in as Grafana does."""
    filled = expression.replace("$namespace", site.namespace).replace("$name", "billing|none")
    filled = filled.replace("$__rate_interval", "1m").replace("$__range", "1h")
    assert "$" not in filled
    wait_until(lambda: server.query(filled), 90, f"data for {filled}")


def test_the_dashboard_can_be_drawn_without_grafana(server: Server, site: Place) -> None:
    """What the docs' picture is made of: every panel in its place, and none without data."""
    picture = load_script("dashboard_picture")
    variables = {"namespace": site.namespace, "name": "billing|none"}

    def drawn() -> str:
        asked = picture.Prometheus(f"http://{server.address}", time.time(), 300, variables)
        page: str = picture.page(asked)
        assert "No data" not in page
        return page

    page = wait_until(drawn, 60, "every panel has data")
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert page.count('class="panel"') == len(panels)
    assert page.count("<svg") == sum(panel["type"] == "timeseries" for panel in panels)
    assert "<td>tick</td>" in page


@pytest.mark.parametrize(
    "variable", [v for v in dashboard()["templating"]["list"] if v["type"] == "query"], ids=lambda v: str(v["name"])
)
def test_a_variable_of_the_dashboard_offers_what_is_there(
    server: Server, site: Place, variable: dict[str, Any]
) -> None:
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert match
    values = server.api(f"label/{match[2]}/values", **{"match[]": match[1].replace("$namespace", site.namespace)})
    assert {"namespace": site.namespace, "name": "billing"}[match[2]] in values


def test_prometheus_evaluates_every_rule_of_the_chart(server: Server, chart: Helm) -> None:
    names = [rule["alert"] for group in chart_rules(chart)["groups"] for rule in group["rules"]]

    def healthy() -> bool:
        rules = [rule for group in server.api("rules")["groups"] for rule in group["rules"]]
        assert not [rule for rule in rules if rule.get("lastError")]
        return sorted(rule["name"] for rule in rules if rule["health"] == "ok") == sorted(names)

    wait_until(healthy, 90, "every rule was evaluated")


def test_the_series_of_an_app_go_with_it(kubectl: Kubectl, site: Place) -> None:
    """Else an alert about it would ring for ever."""
    site.apply(cronix_app("passing", {"inline": manifest("passing", job("a"))}))
    site.wait_ready("passing")
    own = f'name="passing",namespace="{site.namespace}"'
    other = f'namespace="{site.namespace}",name="passing"'
    assert any(own in line or other in line for line in scraped(kubectl).splitlines())
    site.kubectl("delete", "cxa", "passing")

    def gone() -> bool:
        text = scraped(kubectl)
        return own not in text and other not in text

    wait_until(gone, 90, "its series are gone")
