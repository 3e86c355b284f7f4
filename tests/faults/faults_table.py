"""What each fault cost, from the reports of a run: as a table, and kept for the page that tells it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from faults.faults_helpers import Figure

RESULTS = Path(__file__).parents[2] / "benchmarks/results/faults.json"
ROUNDS = 3


def collected(stats: Mapping[str, Iterable[Any]]) -> list[Figure]:
    """The figures in the reports of the tests that ended well, in the order of their names."""
    reports = [report for report in stats.get("passed", ()) if report.when == "call"]
    rows = [Figure(**value) for report in reports for key, value in report.user_properties if key == "fault"]
    return sorted(rows, key=lambda figure: figure.fault)


def table(figures: Iterable[Figure]) -> str:
    """One line for each."""
    rows = [(f.fault, f"{f.seconds:.1f} s", "" if f.requests is None else str(f.requests)) for f in figures]
    rows.insert(0, ("fault", "in step after", "requests during it"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def keep_round(figures: Iterable[Figure], series: str = "rounds") -> None:
    """Add a round to this series; the last three of each are kept."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    seconds = {figure.fault: figure.seconds for figure in figures}
    new = {"ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seconds_to_converge": seconds}
    kept[series] = [*kept.get(series, []), new][-ROUNDS:]
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
