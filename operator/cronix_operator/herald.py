"""Tells what the operator may not do, where people look: its log, and an Event on its own pod."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cronix_operator.core.announce import Announcement
from cronix_operator.core.errors import Waiting
from cronix_operator.core.model import Now
from cronix_operator.edges.events import EventRecorder
from cronix_operator.settings import Settings

logger = logging.getLogger("cronix.operator")


class Herald:
    """Says each new set of missing rights once; silence follows until it changes."""

    def __init__(self, settings: Settings, events: EventRecorder, now: Callable[[], Now]) -> None:
        self._settings = settings
        self._events = events
        self._now = now

    async def tell(self, faults: tuple[str, ...]) -> None:
        """One log line for each fault, and one Event for each where the operator may write one."""
        if not faults:
            logger.info("every right is there", extra={"reason": "RightsComplete"})
        for fault in faults:
            logger.warning(fault, extra={"reason": "RightsMissing"})
            await self._post(Announcement("Warning", "RightsMissing", fault))

    async def _post(self, event: Announcement) -> None:
        settings = self._settings
        if not settings.pod_uid:
            return  # not in a pod
        about = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": settings.namespace,
            "name": settings.pod_name,
            "uid": settings.pod_uid,
        }
        now = self._now()
        try:
            await self._events.post_about(about, event, now.utc, lambda: now.monotonic)
        except Waiting as exc:
            logger.warning("the Event could not be written: %s", exc.message)
