"""Somebody else changed a CronJob: it is put right by itself, at once; whatever is more than that becomes a walk.

A walk and a touch-up of the same app exclude each other, so memory has one writer at a time. What a watch shows while
either is under way is looked at after it: most of that is its own doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from cronix_operator.core.app import parse_app
from cronix_operator.core.defaults import with_defaults
from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.model import App, Done, KubeObject, Now
from cronix_operator.core.touchup import MAX_AT_ONCE, Seen, has_run, is_news, seen
from cronix_operator.ports import Key
from cronix_operator.reconcile import Ports, mend
from cronix_operator.tenants import Tenant
from cronix_operator.workqueue import WorkQueue

logger = logging.getLogger("cronix.operator")

SETTLE_SECONDS = 10.0  # a walk looks at all of the app once its CronJobs have been left alone, or at the latest then


class Host(Protocol):
    """The controller, from where single CronJobs are put right."""

    def tenant(self, key: Key) -> Tenant | None: ...
    def walk_in(self, key: Key, delay_seconds: float) -> None: ...
    def rows_moved(self, key: Key) -> None: ...
    async def put_right(self, app: App, results: Sequence[Done]) -> None: ...


class TouchUps:
    """A queue of apps whose CronJobs somebody else changed, with workers of its own. Start it inside the loop."""

    def __init__(self, host: Host, ports: Ports, now: Callable[[], Now], workers: int) -> None:
        self._host = host
        self._ports = ports
        self._now = now
        self._workers = workers
        self._queue: WorkQueue[Key] = WorkQueue(lambda: now().monotonic)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._work(), name=f"touch-up-{n}") for n in range(self._workers)]

    async def stop(self) -> None:
        """Cancel the workers; what they had not put right yet, the next process's first walk does."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def forget(self, key: Key) -> None:
        """A CronixApp went."""
        self._queue.forget(key)

    def saw(self, key: Key, tenant: Tenant, body: KubeObject) -> None:
        """A watch shows one of the tenant's CronJobs."""
        busy = tenant.lock.locked()
        if tenant.memory.good is None and not busy:
            return  # the first walk is due, or nothing to go by: what a start lists must not make each app walk twice
        # Beyond a few, bodies are not kept: a walk reads them anyway, and ten thousand are a quarter of a GiB.
        what = seen(tenant.memory, body, keep=len(tenant.touched) < MAX_AT_ONCE)
        if busy:
            tenant.touched[what.name] = what
        elif is_news(tenant.memory, what):
            tenant.touched[what.name] = what
            self._queue.add(key)
        elif has_run(tenant.memory, what):
            self._host.rows_moved(key)

    @contextlib.asynccontextmanager
    async def alone(self, key: Key, tenant: Tenant) -> AsyncIterator[None]:
        """No other walk or touch-up of this app meanwhile; what was seen until the end is looked at afterwards."""
        try:
            async with tenant.lock:
                yield
        finally:
            if tenant.touched:
                self._queue.add(key)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self.process(key)
            except Exception:  # promise 7: whatever one app provokes, the worker lives on; a walk will tell what it was
                logger.exception("touch-up failed", extra={"namespace": key[0], "app": key[1]})
                self._host.walk_in(key, 0.0)
            finally:
                self._queue.done(key)

    async def process(self, key: Key) -> None:
        """Put right what was changed of one app, or leave it to a walk."""
        tenant = self._host.tenant(key)
        if tenant is None or tenant.lock.locked():
            return  # gone, or whoever is at it makes this due again: no worker waits for one app
        async with self.alone(key, tenant):
            touched, tenant.touched = list(tenant.touched.values()), {}
            news = [what for what in touched if is_news(tenant.memory, what)]
            mended = await self._mend_all(tenant, news)
            moved = any(has_run(tenant.memory, what) for what in touched)
        if news:
            self._host.walk_in(key, SETTLE_SECONDS if mended else 0.0)
        elif moved:
            self._host.rows_moved(key)

    async def _mend_all(self, tenant: Tenant, news: Sequence[Seen]) -> bool:
        if any(what.body is None for what in news):
            return False
        for what in news:
            if not await self._mended(tenant, what):
                return False  # a walk does all the others, too
        return True

    async def _mended(self, tenant: Tenant, what: Seen) -> bool:
        try:
            app = with_defaults(parse_app(tenant.body), self._ports.limits)
            found = await mend(app, tenant.memory, what, self._now(), self._ports)
        except ReconcileError:
            return False  # the walk meets the same, and tells it
        if found is None:
            return False
        results, tenant.memory = found
        await self._host.put_right(app, results)
        return True
