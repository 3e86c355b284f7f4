"""What came of a walk or a repair, told where people look: status, metrics, Events, the log."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cronix_operator.core.announce import Announcement, announce, repaired
from cronix_operator.core.errors import ReconcileError, Stalled
from cronix_operator.core.model import App, Done, Now, Subject
from cronix_operator.core.outcome import Outcome
from cronix_operator.core.samples import corrected_and_pruned, status_samples
from cronix_operator.core.status import as_they_stood, may_wait, may_wait_for_the_end, patch_for, refused, summarize
from cronix_operator.measure import tell_walk
from cronix_operator.ports import EventPort, Key, MetricsPort, StatusPort
from cronix_operator.runwatch import RunWatch
from cronix_operator.saying import say
from cronix_operator.tenants import Tenant

logger = logging.getLogger("cronix.operator")

LAST_WRITE_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """`reason`: Ready's. `again_seconds`: when to walk again for a status that waits to be written; None: none does."""

    reason: str
    again_seconds: float | None = None


class Teller:
    """The one who writes status, sets the gauges and posts the Events of walks."""

    def __init__(
        self, status: StatusPort, events: EventPort, metrics: MetricsPort, runs: RunWatch, now: Callable[[], Now]
    ) -> None:
        self._status = status
        self._events = events
        self._metrics = metrics
        self._runs = runs
        self._now = now

    async def walked(
        self, app: App, tenant: Tenant, outcome: Outcome | ReconcileError, news: Sequence[Announcement]
    ) -> Told | None:
        """Tell one walk; None when the CronixApp is gone."""
        now = self._now()
        again_seconds: float | None = None
        outcome = self._runs.walked(app.subject, outcome, tenant.status)
        status = summarize(app, tenant.memory, outcome, tenant.status, now.utc, self._runs.logs(app.subject))
        tell_walk(self._metrics, app, tenant.memory, outcome, {**tenant.status, **status}, now.utc)
        patch = patch_for(status, tenant.status)
        pause = 0.0 if patch is None else _pause(tenant, patch["status"], now.monotonic)
        if pause > 0:
            again_seconds = pause
        elif not await self._write_down(app.subject, patch):
            return None
        elif patch is None:
            tenant.started_monotonic = None  # whatever had started is told, or undone
        else:
            # Only what was really written is remembered: a refused write is tried again by the next walk.
            left = {k: v for k, v in tenant.status.items() if k not in patch["status"]}
            tenant.written({**left, **status}, now.monotonic)
        await self._say(app, [*announce(outcome), *news])
        return Told(str(status["conditions"][0]["reason"]), again_seconds)

    async def put_right(self, app: App, results: Sequence[Done]) -> None:
        """Tell what was put right without a walk."""
        self._metrics.wrote(app.key, *corrected_and_pruned(results))
        await self._say(app, repaired(results))

    async def _say(self, app: App, events: Iterable[Announcement]) -> None:
        for event in events:
            await say(self._events, app.subject, event, self._now)

    async def _write_down(self, subject: Subject, patch: Mapping[str, Any] | None) -> bool:
        """Write a status that was just made, if there is something new in it; False when the CronixApp is gone.

        If the process dies before the answer, the next one reads what the server has: the runs with their mark and
        their number, or neither.
        """
        runs = self._runs.unmarked(subject)
        if patch is not None and not await self._status.patch_status(subject.namespace, subject.name, patch):
            return False
        self._runs.marked(subject, runs)
        return True

    async def refuse(self, key: Key, tenant: Tenant, fault: Stalled) -> None:
        """An unreadable spec: say so; nothing else can be done until it is edited."""
        now = self._now()
        generation, logs = tenant.body["metadata"].get("generation", 0), self._runs.logs(tenant.subject)
        status = refused(generation, fault, tenant.status, now.utc, logs)
        self._metrics.set_app(key, status_samples(key, status))
        patch = patch_for(status, tenant.status)
        if await self._write_down(tenant.subject, patch) and patch is not None:
            tenant.written({**tenant.status, **patch["status"]}, now.monotonic)

    async def write_down_runs(self, key: Key, tenant: Tenant) -> None:
        """The last write of this process: a run that was counted but not marked would be counted again by the next."""
        patch = patch_for(as_they_stood(tenant.status, self._runs.logs(tenant.subject)), tenant.status)
        try:
            async with asyncio.timeout(LAST_WRITE_SECONDS):
                await self._write_down(tenant.subject, patch)
        except (ReconcileError, TimeoutError):
            logger.warning("runs not written down", extra={"namespace": key[0], "app": key[1]})


def _pause(tenant: Tenant, status: Mapping[str, Any], now_monotonic: float) -> float:
    """Seconds that this status is to wait: none where anything but runs has news."""
    if may_wait_for_the_end(status, tenant.status):
        return tenant.pause_of_start(now_monotonic)
    return tenant.pause(now_monotonic) if may_wait(status, tenant.status) else 0.0
