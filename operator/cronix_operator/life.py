"""One process from start to end: find out what may be watched, be in charge, serve until either changes; and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from cronix_operator.preflight import Preflight

# Serves these namespaces ("" is the whole cluster) until the event is set (then True), or a signal ends the process.
Serve: TypeAlias = Callable[[tuple[str, ...], asyncio.Event], Awaitable[bool]]


class LockPort(Protocol):
    def fence(self) -> None: ...
    async def until_won(self) -> None: ...
    async def until_lost(self) -> None: ...
    async def release(self) -> None: ...


class NoLock:
    """For the one operator that has no other beside it."""

    is_leader = True

    def fence(self) -> None:
        """Let every write pass."""

    async def until_won(self) -> None:
        """At once."""

    async def until_lost(self) -> None:
        """Never."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """There is nothing to give back."""


async def live(preflight: Preflight, lock: LockPort, serve: Serve) -> None:
    """Serve what may be watched; return when `serve` came back of itself, which is the end of the process.

    The lock is given back only after serving has ended, so that the next holder meets no write of ours.
    """
    while True:
        view = await preflight.until_watchable()
        await lock.until_won()
        stop = asyncio.Event()
        ends = [asyncio.create_task(preflight.until_changed(view.watch)), asyncio.create_task(lock.until_lost())]
        for end in ends:
            end.add_done_callback(lambda _, stop=stop: stop.set())  # type: ignore[misc]  # mypy cannot infer a default
        try:
            goes_on = await serve(view.watch, stop)
        finally:
            for end in ends:
                end.cancel()
            broken = [e for e in await asyncio.gather(*ends, return_exceptions=True) if isinstance(e, Exception)]
            await lock.release()
        if broken:
            raise broken[0]
        if not goes_on:
            return
