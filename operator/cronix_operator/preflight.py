"""What the operator may do, looked at before it starts and again and again; what is missing is told, never died of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from cronix_operator.core.errors import Waiting
from cronix_operator.core.rights import Right, Scope, View, judge, needed, summary

logger = logging.getLogger("cronix.operator")

LOOK_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 10.0
CONFIRM_SECONDS = 5.0
REVIEWS_PER_SECOND = 4.0


class ReviewsPort(Protocol):
    async def missing(self, rights: Iterable[Right]) -> tuple[Right, ...]: ...
    async def crd_served(self) -> bool: ...


class Preflight:
    """Holds the last look at the rights. `tell` is called with the faults whenever they have changed.

    `sleep` is an argument so that tests need not wait.
    """

    def __init__(
        self,
        scope: Scope,
        reviews: ReviewsPort,
        tell: Callable[[tuple[str, ...]], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._scope = scope
        self._rights = needed(scope)
        self._reviews = reviews
        self._tell = tell
        self._sleep = sleep
        self._view: View | None = None

    @property
    def fault(self) -> str:
        """Why the operator is not ready, in a few lines; empty when it may do everything it has to."""
        if self._view is None:
            return "the API server has not yet said what the operator may do"
        return summary(self._view.faults)

    async def until_watchable(self) -> View:
        """Look until there is something to watch. Without any right that is for ever, and it says so."""
        while True:
            view = await self._look()
            if view is not None and view.watch:
                return view
            await self._sleep(self._pause())

    async def until_changed(self, watched: tuple[str, ...]) -> None:
        """Look on, and return when another set of namespaces can be watched than `watched`.

        Two looks in a row must agree: right after its own restart an API server may not know all roles and CRDs.
        """
        while True:
            await self._sleep(self._pause())
            if not await self._differs(watched):
                continue
            await self._sleep(CONFIRM_SECONDS)
            if await self._differs(watched):
                return

    async def _differs(self, watched: tuple[str, ...]) -> bool:
        view = await self._look()
        return view is not None and view.watch != watched

    async def _look(self) -> View | None:
        try:
            crd_served = await self._reviews.crd_served()
            missing = await self._reviews.missing(self._rights)
        except Waiting as exc:
            logger.warning("the operator's rights could not be looked at: %s", exc.message)
            return None
        view = judge(self._scope, missing, crd_served=crd_served)
        before = self._view.faults if self._view is not None else None
        self._view = view
        if view.faults != (before or ()):
            await self._tell(view.faults)
        return view

    def _pause(self) -> float:
        settled = self._view is not None and not self._view.faults
        return max(LOOK_SECONDS if settled else LOOK_AGAIN_SECONDS, len(self._rights) / REVIEWS_PER_SECOND)
