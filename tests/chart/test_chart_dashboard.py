"""The dashboard without Grafana: the shape that Grafana's importer expects, and queries for metrics that there are."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from crd.crd_helpers import ROOT
from cronix_operator.core.catalogue import FAMILIES
from cronix_operator.core.runs import ADVICE

FILE = ROOT / "charts/cronix-operator/files/dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]


def name_of(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def test_it_is_a_dashboard_that_anybody_can_import() -> None:
    """No id (Grafana gives it), a stable uid (links stay), no data source of one installation."""
    assert DASHBOARD["id"] is None
    assert DASHBOARD["uid"] == "cronix"
    assert DASHBOARD["schemaVersion"] >= 36
    assert {"title", "tags", "time", "timezone", "templating", "annotations", "refresh"} <= DASHBOARD.keys()
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource", "namespace", "name"], "each variable needs those before it"


def test_ids_are_unique_and_no_panel_lies_on_another() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for panel in PANELS
        for place in [panel["gridPos"]]
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23, "a row is 24 wide"


@pytest.mark.parametrize("panel", GRAPHS, ids=name_of)
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"stat", "timeseries", "table"}
    assert panel["title"]
    assert panel["datasource"]["uid"] == "${datasource}"
    if panel["type"] != "table":
        assert panel["fieldConfig"]["defaults"]["unit"]
    refs = [target["refId"] for target in panel["targets"]]
    assert refs
    assert len(set(refs)) == len(refs)
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_every_end_of_a_run_has_a_color_and_only_a_success_is_green() -> None:
    """Grafana's own palette begins with green, and gives it to the first name of the alphabet."""
    (panel,) = [panel for panel in GRAPHS if panel["title"] == "Runs by outcome"]
    colors = {
        override["matcher"]["options"]: override["properties"][0]["value"]["fixedColor"]
        for override in panel["fieldConfig"]["overrides"]
    }
    assert colors.keys() == ADVICE.keys()
    assert len(set(colors.values())) == len(colors)
    assert [word for word, color in colors.items() if "green" in color] == ["Succeeded"]


@pytest.mark.parametrize("panel", GRAPHS, ids=name_of)
def test_a_panel_asks_for_metrics_and_labels_that_there_are(panel: dict[str, Any]) -> None:
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    known = {family.name + suffix: family for family in FAMILIES for suffix in suffixes[family.kind]}
    for target in panel["targets"]:
        names = re.findall(r"\bcronix_\w+", target["expr"].replace("cronix_job!", "").replace("cronix_job,", ""))
        names = [name for name in names if name != "cronix_job"]
        assert names
        assert set(names) <= known.keys()
        shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert shown <= {label for name in names for label in known[name].labels} | {"instance"}
        about_apps = any(known[name].labels[:2] == ("namespace", "name") for name in names)
        assert about_apps == ("$namespace" in target["expr"] and "$name" in target["expr"])
