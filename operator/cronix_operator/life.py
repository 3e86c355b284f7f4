"""One process from start to end: what may be watched is found out, then it is served until that changes, and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from cronix_operator.preflight import Preflight

# Serves these namespaces ("" is the whole cluster) until the event is set (then True), or a signal ends the process.
Serve: TypeAlias = Callable[[tuple[str, ...], asyncio.Event], Awaitable[bool]]


async def live(preflight: Preflight, serve: Serve) -> None:
    """Serve what may be watched; return when `serve` came back of itself, which is the end of the process."""
    while True:
        view = await preflight.until_watchable()
        stop = asyncio.Event()
        reasons = [asyncio.create_task(preflight.until_changed(view.watch), name="rights")]
        guard = asyncio.create_task(_set_when_one_is_done(stop, reasons), name="stop serving")
        try:
            goes_on = await serve(view.watch, stop)
        finally:
            for task in (guard, *reasons):
                task.cancel()
            await asyncio.gather(guard, *reasons, return_exceptions=True)
        if not goes_on:
            return


async def _set_when_one_is_done(event: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    event.set()
