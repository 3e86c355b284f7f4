"""A keyed queue with delays: a key is handed to one worker at a time and never waits twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """`add` as often as you like; `get` gives each key once per due time, and not again before its `done`.

    Level-based: what is queued is only "this key is due", so nothing is lost when many adds become one.
    `taken` is told, for each key that `get` gives, for how many seconds it had been due.
    """

    def __init__(self, monotonic: Callable[[], float], taken: Callable[[float], None] = lambda _lag: None) -> None:
        self._monotonic = monotonic
        self._taken = taken
        self._due: dict[K, float] = {}
        self._busy: set[K] = set()
        self._wake = asyncio.Event()

    def add(self, key: K, delay_seconds: float = 0.0) -> None:
        """Make `key` due in `delay_seconds`; an earlier due time that stands already wins."""
        due = self._monotonic() + delay_seconds
        self._due[key] = min(due, self._due.get(key, due))
        self._wake.set()

    def forget(self, key: K) -> None:
        """Drop what is queued for `key`; a worker that has it goes on."""
        self._due.pop(key, None)

    def done(self, key: K) -> None:
        """The worker is through with `key`; what was added meanwhile becomes available."""
        self._busy.discard(key)
        self._wake.set()

    def __len__(self) -> int:
        return len(self._due)

    def depth(self) -> int:
        """How many keys are due now and wait for a worker."""
        now = self._monotonic()
        return sum(due <= now and key not in self._busy for key, due in self._due.items())

    async def get(self) -> K:
        """The key that is due longest and not being worked on; waits for one."""
        while True:
            self._wake.clear()
            now = self._monotonic()
            waiting = [(due, n, key) for n, (key, due) in enumerate(self._due.items()) if key not in self._busy]
            first = min(waiting, default=None, key=lambda entry: entry[:2])
            if first is not None and first[0] <= now:
                del self._due[first[2]]
                self._busy.add(first[2])
                self._taken(now - first[0])
                return first[2]
            try:
                async with asyncio.timeout(None if first is None else first[0] - now):
                    await self._wake.wait()
            except TimeoutError:
                continue
