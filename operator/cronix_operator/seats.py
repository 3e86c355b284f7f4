"""How much is done at once: fetches apart from walks, and apps that work apart from those that do not (promise 7).

An endpoint that hangs holds up no walk, and a thousand new or broken CronixApps hold up none that is in step.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from cronix_operator.core.memory import Memory
from cronix_operator.core.model import App, ServiceSource, UrlSource

ASKING_AT_ONCE = 64  # of each kind; a manifest is at most 1 MiB
_LIKES = ("proven", "new", "failing")


class Seats:
    """`async with seats.walking(memory):` waits until there is room; `waiting` counts who does.

    Each waits behind its like only: apps whose source answered last time, new ones, and those whose source fails.
    """

    def __init__(self, walks: int) -> None:
        self._walks = {like: asyncio.Semaphore(walks) for like in _LIKES}
        self._fetches = {like: asyncio.Semaphore(ASKING_AT_ONCE) for like in _LIKES}
        self.waiting = 0

    def walking(self, memory: Memory) -> AbstractAsyncContextManager[None]:
        """Room for one walk."""
        return self._seat(self._walks[_like(memory)])

    def asking(self, app: App, memory: Memory) -> AbstractAsyncContextManager[None]:
        """Room for one fetch; what is not fetched (inline, a ConfigMap) waits for nobody."""
        if not isinstance(app.source, ServiceSource | UrlSource):
            return contextlib.nullcontext()
        return self._seat(self._fetches[_like(memory)])

    @contextlib.asynccontextmanager
    async def _seat(self, seats: asyncio.Semaphore) -> AsyncIterator[None]:
        self.waiting += 1
        try:
            await seats.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            seats.release()


def _like(memory: Memory) -> str:
    if memory.consecutive_failures:
        return "failing"
    return "new" if memory.good is None else "proven"
