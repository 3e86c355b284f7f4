"""Notices on their way: each a task of its own with its retries, so that no slow receiver holds up a look at runs.

They are not kept over a restart: the operator would have to write them down first, and the Events and rows are there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from cronix_operator.core.announce import Announcement
from cronix_operator.core.errors import ReconcileError, Stalled
from cronix_operator.core.model import App, Now
from cronix_operator.core.notice import NOTIFY_FAILED, RETRY_PAUSES_SECONDS, notice_body
from cronix_operator.ports import DeliverPort, EventPort, Key, MaterialPort
from cronix_operator.saying import say

logger = logging.getLogger("cronix.operator")

MAX_UNDER_WAY = 20  # for one app; its Events are ten a minute at most


class Notices:
    """`tell` and forget: what cannot be delivered is said in an Event."""

    def __init__(
        self,
        inputs: MaterialPort,
        notifier: DeliverPort,
        events: EventPort,
        now: Callable[[], Now],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._inputs = inputs
        self._notifier = notifier
        self._events = events
        self._now = now
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: Counter[Key] = Counter()

    def tell(self, app: App, event: Announcement) -> None:
        """Post this to the app's spec.notify.url, if it has one."""
        if app.notify_url is None or self._under_way[app.key] >= MAX_UNDER_WAY:
            return
        self._under_way[app.key] += 1
        task = asyncio.create_task(self._deliver(app, notice_body(app, event, self._now().utc)), name="notice")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._over(app.key, done))

    async def stop(self) -> None:
        """Give up what is on its way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, app: App, body: bytes) -> None:
        try:
            fault = await self._tries(app, body)
            if fault is not None:
                text = f"a notice was not delivered: {fault.message}"
                await say(self._events, app.subject, Announcement("Warning", NOTIFY_FAILED, text), self._now)
        except ReconcileError as exc:  # the Event was not posted: the API server is away
            logger.warning("Event not posted: %s", exc.message, extra={"namespace": app.namespace, "app": app.name})
        except Exception:  # promise 7: whatever one receiver provokes ends here
            logger.exception("notice failed", extra={"namespace": app.namespace, "app": app.name})

    def _over(self, key: Key, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._under_way[key] -= 1
        if not self._under_way[key]:
            del self._under_way[key]

    async def _tries(self, app: App, body: bytes) -> ReconcileError | None:
        """None once it is delivered, else why the last try failed. Each try signs anew, with the keys as they are."""
        fault: ReconcileError | None = None
        for pause in (0.0, *RETRY_PAUSES_SECONDS):
            await self._sleep(pause)
            try:
                material = await self._inputs.material(app, ())
                await self._notifier.deliver(app, body, material, int(self._now().utc.timestamp()))
            except ReconcileError as exc:
                fault = exc
                if isinstance(exc, Stalled):
                    return exc
            else:
                return None
        return fault
