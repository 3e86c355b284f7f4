"""Draw the chart's Grafana dashboard without Grafana: each panel's own queries, asked of a Prometheus, as HTML.

    dashboard_picture.py PROMETHEUS_URL namespace=REGEX name=REGEX MINUTES OUT.html

What Grafana does with a query is imitated as far as this dashboard needs it: variables, the grid, stat, table and time
series with lines or stacked bars, units and thresholds. It shows what a panel would show, not how Grafana looks.
"""

from __future__ import annotations

import html
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[1] / "charts/cronix-operator/files/dashboard.json"
CELL_WIDTH, CELL_HEIGHT, GAP = 50, 30, 6
STEP_SECONDS, RATE_SECONDS = 15, 60  # what Grafana takes for a quarter of an hour and scrapes each 15 s
PALETTE = ("#3f8f4f", "#c9a400", "#3b7dd8", "#d9822b", "#c23030", "#1f9fb0", "#8a5bc9", "#b04f8a", "#6b7280", "#7a8b2a")
COLORS = {
    "green": "#3f8f4f", "red": "#c62828", "dark-red": "#8b1a1a", "light-red": "#e57373", "orange": "#d9822b",
    "dark-orange": "#a85a10", "yellow": "#c9a400", "dark-yellow": "#8c7300", "blue": "#3b7dd8", "light-blue": "#86b4e8",
    "purple": "#8a5bc9", "dark-purple": "#5b3690",
}  # fmt: skip
STYLE = """
body{margin:0;padding:14px;background:#f4f5f5;font:12px/1.35 "DejaVu Sans",sans-serif;color:#24292e}
h1{font-size:17px;margin:0 0 10px}.grid{position:relative}.panel{position:absolute;background:#fff;border:1px solid
#d8dadd;border-radius:3px;box-sizing:border-box;overflow:hidden;padding:5px 8px}.panel h2{font-size:12px;margin:0 0 2px}
.row{position:absolute;font-weight:bold;font-size:13px}.stat{font-size:34px;text-align:center;margin-top:12px}
table{border-collapse:collapse;width:100%;font-size:11px}td,th{text-align:left;padding:2px 6px;border-bottom:1px solid
#eceef0;white-space:nowrap}.legend{font-size:10px;line-height:13px;overflow:hidden}.legend span{white-space:nowrap}
.legend i{display:inline-block;width:9px;height:3px;margin:0 3px 2px 7px}
text{font:9px "DejaVu Sans",sans-serif;fill:#666}
.none{color:#888;text-align:center;margin-top:60px}
"""

Series = tuple[str, str, list[tuple[float, float]]]  # name, color, points


class Prometheus:
    """Asks one Prometheus about one stretch of time that ends at `end` (Unix seconds)."""

    def __init__(self, url: str, end: float, seconds: float, variables: Mapping[str, str]) -> None:
        self._url, self.end, self.start = url.rstrip("/"), end, end - seconds
        self._variables = {
            **variables,
            "__rate_interval": f"{RATE_SECONDS}s",
            "__range": f"{int(seconds)}s",
        }

    def filled(self, expression: str) -> str:
        """The expression with its variables put in, the longest names first."""
        for name in sorted(self._variables, key=len, reverse=True):
            expression = expression.replace(f"${name}", self._variables[name])
        return expression

    def now(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        return self._ask("query", query=self.filled(expression), time=self.end)

    def over_time(self, expression: str) -> list[dict[str, Any]]:
        """The series of a range query."""
        return self._ask(
            "query_range", query=self.filled(expression), start=self.start, end=self.end, step=STEP_SECONDS
        )

    def _ask(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # the caller's own Prometheus
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result


def legend(form: str, labels: Mapping[str, str]) -> str:
    """A series' name: `{{label}}` filled in, or the labels where the panel says nothing."""
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form)
    return text.strip() or ", ".join(f"{k}={v}" for k, v in labels.items() if k != "__name__") or "value"


def told(value: float, unit: str | None) -> str:
    """A value in the panel's unit."""
    if unit == "dateTimeAsIso":
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if unit == "s" and value >= 60:
        for seconds, word in ((86400, "days"), (3600, "hours"), (60, "min")):
            if value >= seconds:
                return f"{value / seconds:.3g} {word}"
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text + {"s": " s", "reqps": "/s"}.get(unit or "", "")


def drawn(panel: Mapping[str, Any], prometheus: Prometheus) -> str:
    """The inside of one panel."""
    makers = {"stat": _stat, "table": _table, "timeseries": _graph}
    return f"<h2>{html.escape(panel['title'])}</h2>{makers[panel['type']](panel, prometheus)}"


def _stat(panel: Mapping[str, Any], prometheus: Prometheus) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    found = prometheus.now(panel["targets"][0]["expr"])
    value = float(found[0]["value"][1]) if found else None
    text = defaults.get("noValue", "-") if value is None else told(value, defaults.get("unit"))
    color = "#24292e"
    for step in defaults.get("thresholds", {}).get("steps", ()):
        if step["value"] is None or (value or 0) >= step["value"]:
            color = COLORS.get(step["color"], step["color"])
    return f'<div class="stat" style="color:{color}">{html.escape(text)}</div>'


def _table(panel: Mapping[str, Any], prometheus: Prometheus) -> str:
    """The targets merged by their labels, columns renamed as the panel says."""
    names = next(t["options"]["renameByName"] for t in panel["transformations"] if t["id"] == "organize")
    units = {o["matcher"]["options"]: o["properties"][0]["value"] for o in panel["fieldConfig"]["overrides"]}
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for target in panel["targets"]:
        for sample in prometheus.now(target["expr"]):
            row = rows.setdefault(tuple(sorted(sample["metric"].items())), {})
            row[f"Value #{target['refId']}"] = float(sample["value"][1])
    labels = [name for name, _ in next(iter(rows), ())]
    order = [n for n in ("namespace", "name", "cronix_job", "index") if n in labels]
    values = [f"Value #{target['refId']}" for target in panel["targets"]]
    head = "".join(f"<th>{html.escape(names.get(c, c))}</th>" for c in (*order, *values))
    lines = []
    for key, row in sorted(rows.items(), key=lambda pair: [dict(pair[0])[n] for n in order]):
        known = dict(key)
        cells = [html.escape(known[n]) for n in order]
        cells += [told(row[v], units.get(names.get(v, v))) if v in row else "" for v in values]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _series(panel: Mapping[str, Any], prometheus: Prometheus) -> list[Series]:
    found = []
    for target in panel["targets"]:
        for series in prometheus.over_time(target["expr"]):
            points = [(float(at), float(value)) for at, value in series["values"]]
            points = [point for point in points if math.isfinite(point[1])]
            if points:
                found.append((legend(target.get("legendFormat", ""), series["metric"]), points))
    overrides = panel["fieldConfig"]["overrides"]
    return [(name, _color(overrides, name, n), points) for n, (name, points) in enumerate(sorted(found))]


def _color(overrides: Sequence[Mapping[str, Any]], name: str, number: int) -> str:
    """What the panel says about a series of this name, else the next one of the palette."""
    for override in overrides:
        kind, text = override["matcher"]["id"], override["matcher"]["options"]
        if text == name if kind == "byName" else re.search(text.strip("/"), name):
            (color,) = [p["value"]["fixedColor"] for p in override["properties"] if p["id"] == "color"]
            return COLORS[color]
    return PALETTE[number % len(PALETTE)]


def _graph(panel: Mapping[str, Any], prometheus: Prometheus) -> str:
    series = _series(panel, prometheus)
    if not series:
        return '<div class="none">No data</div>'
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    width = panel["gridPos"]["w"] * CELL_WIDTH - GAP - 18
    letters = sum(len(name) + 5 for name, _, _ in series)
    legend_height = 13 * min(4, math.ceil(letters * 5.6 / width))
    height = panel["gridPos"]["h"] * CELL_HEIGHT - GAP - 46 - legend_height
    bars = custom.get("drawStyle") == "bars"
    unit = panel["fieldConfig"]["defaults"].get("unit")
    most = max(_sums(series) if bars else (value for *_, points in series for _, value in points))
    plot = _Plot(width, height, prometheus, _ticks(most, unit))
    marks = "".join(plot.bars(series) if bars else plot.lines(series))
    axes = "".join(plot.axes(unit))
    names = "".join(f'<span><i style="background:{color}"></i>{html.escape(name)}</span> ' for name, color, _ in series)
    style = f'style="height:{legend_height}px"'
    return f'<svg width="{width}" height="{height + 14}">{axes}{marks}</svg><div class="legend" {style}>{names}</div>'


def _sums(series: Sequence[Series]) -> Iterator[float]:
    totals: dict[float, float] = {}
    for *_, points in series:
        for at, value in points:
            totals[at] = totals.get(at, 0) + value
    yield from totals.values()


def _ticks(most: float, unit: str | None) -> list[float]:
    """Some round numbers from 0 to at least `most`; whole minutes where it is minutes."""
    if most <= 0:
        return [0, 1]
    base = 60.0 if unit == "s" and most > 60 else 1.0
    step = most / base / 4
    scale = 10.0 ** math.floor(math.log10(step))
    step = base * next(part * scale for part in (1, 2, 5, 10) if step <= part * scale * 1.0001)
    return [n * step for n in range(max(1, math.ceil(most / step - 1e-9)) + 1)]


class _Plot:
    """Where a point of time and a value lie in one graph."""

    LEFT = 46

    def __init__(self, width: int, height: int, prometheus: Prometheus, ticks: Sequence[float]) -> None:
        self._width, self._height, self._ticks = width, height, ticks
        self._start, self._end = prometheus.start, prometheus.end

    def _x(self, at: float) -> float:
        return self.LEFT + (at - self._start) / (self._end - self._start) * (self._width - self.LEFT - 4)

    def _y(self, value: float) -> float:
        return self._height - max(0.0, value) / self._ticks[-1] * (self._height - 6)

    def axes(self, unit: str | None) -> Iterator[str]:
        for value in self._ticks:
            y = self._y(value)
            yield f'<line x1="{self.LEFT}" x2="{self._width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e6e8ea"/>'
            yield f'<text x="{self.LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{told(value, unit)}</text>'
        pause = 60 * max(1, round((self._end - self._start) / 60 / 5))
        for at in range(int(self._start // pause + 1) * pause, int(self._end), pause):
            text = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
            yield f'<text x="{self._x(at):.1f}" y="{self._height + 11}" text-anchor="middle">{text}</text>'

    def lines(self, series: Sequence[Series]) -> Iterator[str]:
        for _, color, points in series:
            path, before = "", None
            for at, value in points:
                word = "L" if before is not None and at - before <= STEP_SECONDS * 1.5 else "M"
                path += f"{word}{self._x(at):.1f} {self._y(value):.1f}"
                before = at
            yield f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.6" stroke-linecap="round"/>'

    def bars(self, series: Sequence[Series]) -> Iterator[str]:
        base: dict[float, float] = {}
        wide = (self._width - self.LEFT) / ((self._end - self._start) / STEP_SECONDS) * 0.8
        for _, color, points in series:
            for at, value in points:
                low = base.get(at, 0.0)
                base[at] = low + value
                if value > 0:
                    x, y = self._x(at) - wide / 2, self._y(low + value)
                    tall = self._y(low) - y
                    yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" fill="{color}"/>'


def page(prometheus: Prometheus) -> str:
    """The whole dashboard."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    parts, bottom = [], 0
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        left, top = place["x"] * CELL_WIDTH, place["y"] * CELL_HEIGHT
        bottom = max(bottom, top + place["h"] * CELL_HEIGHT)
        where = f"left:{left}px;top:{top}px"
        if panel["type"] == "row":
            parts.append(f'<div class="row" style="{where}">{html.escape(panel["title"])}</div>')
            continue
        size = f"width:{place['w'] * CELL_WIDTH - GAP}px;height:{place['h'] * CELL_HEIGHT - GAP}px"
        parts.append(f'<div class="panel" style="{where};{size}">{drawn(panel, prometheus)}</div>')
    grid = f'<div class="grid" style="width:{24 * CELL_WIDTH}px;height:{bottom}px">{"".join(parts)}</div>'
    title = html.escape(dashboard["title"])
    return f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{grid}'


def page_height() -> int:
    """How high the page is, in pixels."""
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]]
    return max(int(place["y"] + place["h"]) for place in places) * CELL_HEIGHT + 60


def main(arguments: Sequence[str]) -> None:
    """See the head of this file."""
    url, *pairs, minutes, out = arguments
    variables = dict(pair.split("=", 1) for pair in pairs)
    Path(out).write_text(page(Prometheus(url, time.time(), float(minutes) * 60, variables)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
