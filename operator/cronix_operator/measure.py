"""From a walk to numbers: which of the metrics one walk sets; decides nothing else, speaks to nobody but its port."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.memory import Memory
from cronix_operator.core.model import App
from cronix_operator.core.outcome import Outcome
from cronix_operator.core.samples import app_samples, corrected_and_pruned, job_samples
from cronix_operator.ports import MetricsPort


def tell_walk(
    metrics: MetricsPort,
    app: App,
    memory: Memory,
    outcome: Outcome | ReconcileError,
    status: Mapping[str, Any],
    now: datetime,
) -> None:
    """One walk's numbers; `status` as it is about to be written: a write that fails must not keep them from telling."""
    metrics.set_app(app.key, app_samples(app, memory, status))
    if isinstance(outcome, Outcome):
        metrics.set_jobs(app.key, job_samples(app, outcome, now))
        metrics.wrote(app.key, *corrected_and_pruned(outcome.done))
