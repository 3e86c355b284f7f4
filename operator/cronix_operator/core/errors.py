"""Errors sorted by what happens next, not by where they arose.

A `reason` is one CamelCase word, used verbatim in the condition, the Event, the metric label and the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ReconcileError(Exception):
    """Something kept the app from being in step; the CronJobs that exist stay as they are.

    `reason`: one CamelCase word. `message`: what is wrong, where, and what to write instead. `http_status`: of the
    answer that it speaks of, if it speaks of one.
    """

    http_status: int | None = None

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Stalled(ReconcileError):
    """An input must change before trying again is worth anything; polling goes on at the interval all the same."""


class Waiting(ReconcileError):
    """Something outside has to recover; tried again after `retry_after_seconds`, or with growing pauses when None."""

    def __init__(self, reason: str, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after_seconds = retry_after_seconds


class Outdated(ReconcileError):
    """The CronixApp was edited since it was read: nothing was written, and `body`, as it is now, is to be walked."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("Outdated", "the CronixApp was edited meanwhile")
        self.body = body


class Denied(Waiting):
    """The app, or what stands before it, answered that this request may not be made.

    `names_key`: it said itself that the key is wrong (`SignatureMismatch`); a bare 401 may mean anything else.
    """

    def __init__(self, reason: str, message: str, *, names_key: bool) -> None:
        super().__init__(reason, message)
        self.names_key = names_key
