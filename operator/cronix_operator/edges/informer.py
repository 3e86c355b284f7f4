"""Objects of one kind as they change: a list, then a watch, for ever; also what went while nobody watched is told.

Nothing but the identity of each object is kept, so that ten thousand of them cost little more than their names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from cronix_operator.core.errors import Waiting
from cronix_operator.core.model import KubeObject
from cronix_operator.edges.api import ApiServer, Refused

logger = logging.getLogger("cronix.operator")

SERVER_SECONDS = 290
CLIENT_SECONDS = 300.0
# An API server sends a bookmark about every minute: where nothing came for longer, the connection may be dead.
SILENCE_SECONDS = 70.0
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 15.0


class Saw(Protocol):
    """Told of an object that is there, was changed, or with `deleted` as it was when it went (or lost our label)."""

    def __call__(self, body: KubeObject, *, deleted: bool) -> None: ...


# Told namespace, name and UID of an object that is not in a list any more; what it was like at its end nobody knows.
Went: TypeAlias = Callable[[str, str, str], None]


class Informer:
    """Lists and watches `path` with a label selector; `run` ends only by being cancelled.

    `sleep` and `silence_seconds` are arguments so that tests need not wait.
    """

    def __init__(
        self,
        api: ApiServer,
        path: str,
        selector: str,
        saw: Saw,
        went: Went,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._api = api
        self._path = path
        self._selector = selector
        self._saw = saw
        self._went = went
        self._sleep = sleep
        self._silence_seconds = silence_seconds
        self._known: dict[str, tuple[str, str, str]] = {}  # by UID
        self._version = ""  # where the watch goes on; "" when only a list can tell
        self._failures = 0

    async def run(self) -> None:
        """Tell of every object once, and from then on of every change."""
        while True:
            try:
                if not self._version:
                    self._version = await self._list()
                await self._watch()
                await self._sleep(FIRST_PAUSE_SECONDS)  # a server, or what stands before it, that hangs up at once
            except Exception as exc:  # noqa: BLE001  # told by _pause; without this nothing would be seen any more
                if not isinstance(exc, Waiting) or isinstance(exc, Refused):
                    self._version = ""  # most often 410 Gone: the server remembers too little to go on from there
                unknown = None if isinstance(exc, Waiting) else exc
                await self._pause(exc.message if isinstance(exc, Waiting) else "it failed", unknown)

    async def _pause(self, why: str, unknown: Exception | None) -> None:
        pause_seconds = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 8))
        self._failures += 1
        logger.warning("watching %s: %s; again in %g s", self._path, why, pause_seconds, exc_info=unknown)
        await self._sleep(pause_seconds)

    async def _list(self) -> str:
        """Tell of all there is and of what is no longer; returns the version from which a watch goes on."""
        version, there = "", dict[str, tuple[str, str, str]]()
        async for page in self._api.pages(self._path, {"labelSelector": self._selector}):
            version = page["metadata"]["resourceVersion"]
            for body in page.get("items") or []:
                there[body["metadata"]["uid"]] = _identity(body)
                self._tell(body, deleted=False)
        gone = [self._known[uid] for uid in self._known.keys() - there.keys()]
        self._known = there
        for lost in gone:
            self._went(*lost)
        return version

    async def _watch(self) -> None:
        """Tell of changes until the server ends this watch, which it does every few minutes, or falls silent."""
        query: dict[str, str | int] = {
            "labelSelector": self._selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": SERVER_SECONDS,
        }
        clock = asyncio.get_running_loop().time
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._silence_seconds) as silence:
                async for line in self._api.lines(self._path, query, CLIENT_SECONDS):
                    silence.reschedule(clock() + self._silence_seconds)
                    self._event(line)

    def _event(self, line: bytes) -> None:
        """Tell of one change."""
        kind, body = _read(line)
        self._failures = 0
        # Before it is told: whoever fails on an event must not be given it again and again.
        self._version = body["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._known.pop(body["metadata"]["uid"], None)
        else:
            self._known[body["metadata"]["uid"]] = _identity(body)
        self._tell(body, deleted=kind == "DELETED")

    def _tell(self, body: KubeObject, *, deleted: bool) -> None:
        try:
            self._saw(body, deleted=deleted)
        except Exception:  # promise 7: whatever one object provokes, the others are told of
            namespace, name, _ = _identity(body)
            logger.exception("event of %s failed", name, extra={"namespace": namespace})


def _identity(body: KubeObject) -> tuple[str, str, str]:
    meta = body["metadata"]
    return meta["namespace"], meta["name"], meta["uid"]


def _read(line: bytes) -> tuple[str, KubeObject]:
    """Its kind and object; Refused where the server says that it will not go on."""
    try:
        event = json.loads(line)
    except ValueError as exc:  # the stream broke in the middle of it
        raise Waiting("ApiUnavailable", "the API server broke off an event") from exc
    if event["type"] == "ERROR":
        status = event["object"]
        raise Refused("ApiUnavailable", str(status.get("message") or status.get("reason") or "an error without words"))
    return event["type"], event["object"]
