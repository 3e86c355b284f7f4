"""Notices that a watch began anew with a list: kopf tells of no deletion that fell between the two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

CALM_SECONDS = 2.0


class Relist:
    """Calls `ended` when the objects of a list after the first have come in; the first one is how a process begins.

    Where nothing at all is left to be listed there is no sign of a list: then the periodic look has to find it.
    """

    def __init__(self, ended: Callable[[], None], calm_seconds: float = CALM_SECONDS) -> None:
        self._ended = ended
        self._calm_seconds = calm_seconds
        self._last = 0.0
        self._is_open = False
        self._is_first = True

    def saw(self, kind: str | None) -> None:
        """An event came; one without a kind is an object of a list."""
        if kind is not None:
            return
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        if not self._is_open:
            self._is_open = True
            loop.call_later(self._calm_seconds, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        rest = self._last + self._calm_seconds - loop.time()
        if rest > 0:
            loop.call_later(rest, self._look)
            return
        self._is_open = False
        if self._is_first:
            self._is_first = False
            return
        self._ended()
