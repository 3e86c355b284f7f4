"""A run in cells of a table and in JSON; pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cronix_cli.table import Cell
from cronix_cli.times import ago, rfc3339, span
from cronix_operator.core.history import run_row
from cronix_operator.core.runs import Run


def run_json(run: Run, *, namespace: str, app: str) -> dict[str, Any]:
    """One run in the words of CronixApp.status, and what only Job and pod know."""
    found: dict[str, Any] = {"namespace": namespace, "app": app, "job": run.job, "index": run.index}
    found |= run_row(run)
    found |= {"manual": run.manual, "createTime": rfc3339(run.created)}
    for field, value in (
        ("startDelaySeconds", run.start_delay_seconds),
        ("durationSeconds", run.duration_seconds),
        ("message", run.message),
        ("excerpt", run.excerpt),
    ):
        if value not in (None, ""):
            found[field] = value
    return found


def mark(run: Run) -> Cell:
    """✓, ✗, or … while it is under way."""
    if run.finished is None:
        return Cell("…", "cyan")
    return Cell("✗", "red") if run.failed else Cell("✓", "green")


def how(run: Run, streak: int = 0) -> Cell:
    """`200 in 0.8s`, or `RetriesExhausted 503, 2 in a row, 3 attempts`: what is cut first stands last."""
    took = f" in {span(run.duration_seconds)}" if run.duration_seconds is not None else ""
    if run.finished is None:
        return Cell("running", "cyan")
    if not run.failed:
        return Cell(f"{run.http_status or run.outcome}{took}")
    parts = [f"{run.outcome} {run.http_status}" if run.http_status else run.outcome]
    if streak > 1:
        parts.append(f"{streak} in a row")
    if run.attempts > 1:
        parts.append(f"{run.attempts} attempts")
    return Cell(", ".join(parts), "red")


def when(run: Run, now: datetime) -> str:
    """How long ago it ended, or began."""
    return ago(run.finished or run.started or run.created, now)
