"""One piece of news, said where people look for it: a line in the log and an Event on its CronixApp."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cronix_operator.core.announce import Announcement
from cronix_operator.core.model import Now, Subject
from cronix_operator.ports import EventPort

logger = logging.getLogger("cronix.operator")


async def say(events: EventPort, subject: Subject, event: Announcement, now: Callable[[], Now]) -> None:
    """Log it and post it; the log has it also where the API server is away (ReconcileError)."""
    level = logging.INFO if event.type == "Normal" else logging.WARNING
    extra = {"namespace": subject.namespace, "app": subject.name, "reason": event.reason}
    logger.log(level, event.message, extra=extra)
    await events.post(subject, event, now().utc, lambda: now().monotonic)
