"""Which run is new, running or done; the store only keeps texts, every decision about them is made here."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cronix_sdk.errors import SetupError
from cronix_sdk.response import JSON_HEADERS, OK_BODY, RUN_IN_PROGRESS, SIGNATURE_REPLAYED, Refusal, Response

if TYPE_CHECKING:
    from collections.abc import Callable

_RUNNING = "running:"
_LONGEST_STORED_BODY_BYTES = 16 * 1024
DUPLICATE_HEADER = ("x-cron-duplicate", "true")


class RunStore(Protocol):
    """Three atomic operations on texts that expire; any database has them (docs/app-developer.md shows one in SQL).

    An implementation may raise anything: a run is then not started (503, which the signer retries).
    """

    def claim(self, key: str, value: str, seconds: int) -> str | None:
        """Set the key if it is absent, for so long, and return None; else return the value that is there."""

    def replace(self, key: str, value: str, seconds: int, *, expected: str) -> bool:
        """Set the key anew if it still has the expected value; tell whether it had."""

    def remove(self, key: str, *, expected: str) -> None:
        """Delete the key if it still has the expected value."""


class MemoryRunStore:
    """Runs of this process only: right for one worker process, and for tests. At most `max_entries` are kept."""

    def __init__(self, *, max_entries: int = 100_000, clock: Callable[[], float] = time.monotonic) -> None:
        if max_entries < 2:
            raise SetupError("MemoryRunStore(max_entries=…): at least 2")
        self._entries: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._max_entries = max_entries
        self._clock = clock

    def claim(self, key: str, value: str, seconds: int) -> str | None:
        """See `RunStore`."""
        with self._lock:
            now = self._clock()
            there = self._entries.get(key)
            if there is not None and there[1] > now:
                return there[0]
            self._entries.pop(key, None)
            self._make_room(now)
            self._entries[key] = (value, now + seconds)
            return None

    def replace(self, key: str, value: str, seconds: int, *, expected: str) -> bool:
        """See `RunStore`."""
        with self._lock:
            now = self._clock()
            there = self._entries.get(key)
            if there is None or there[0] != expected or there[1] <= now:
                return False
            self._entries[key] = (value, now + seconds)
            return True

    def remove(self, key: str, *, expected: str) -> None:
        """See `RunStore`."""
        with self._lock:
            if self._entries.get(key, ("", 0.0))[0] == expected:
                del self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)

    def _make_room(self, now: float) -> None:
        if len(self._entries) < self._max_entries:
            return
        for key in [key for key, (_, until) in self._entries.items() if until <= now]:
            del self._entries[key]
        while len(self._entries) >= self._max_entries:
            # Insertion order: the oldest claim is the least likely to be asked for again.
            del self._entries[next(iter(self._entries))]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run this run now; `value` proves that it is ours."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One verified request as duplicate protection sees it.

    The signature does not cover `run_id`, so whoever copied a request could send it again under another one; each
    signature therefore belongs to the first run that came with it, until it is stale (attack C2).
    """

    app: str
    job: str
    run_id: str
    signature: str
    signature_seconds: int
    lease_seconds: int


def claim(store: RunStore, occurrence: Occurrence, *, token: str) -> Claim | Response:
    """The claim, or the answer for a run that is running (409), done (its outcome) or replayed (503)."""
    scope = f"cronix/{occurrence.app}/{occurrence.job}"
    run_key = f"{scope}/run/{occurrence.run_id or occurrence.signature}"
    owner = None
    if occurrence.signature:  # there is none under skip_verify
        owner = store.claim(f"{scope}/signature/{occurrence.signature}", run_key, occurrence.signature_seconds)
    if owner is not None and owner != run_key:
        # Two schedules of a job may honestly sign in one second; 503 makes such a signer come back with a fresh one.
        message = "this signature came with another run id before; it is good once"
        return Refusal(SIGNATURE_REPLAYED, message).response(retry_after_seconds=1)
    value = _RUNNING + token
    there = store.claim(run_key, value, occurrence.lease_seconds)
    if there is None:
        return Claim(run_key, value)
    if there.startswith(_RUNNING):
        refusal = Refusal(RUN_IN_PROGRESS, "this run is being worked on by an earlier request")
        return refusal.response(retry_after_seconds=occurrence.lease_seconds)
    return _stored(there)


def outcome_text(response: Response) -> str:
    """What is kept of a finished run; a long body is not worth keeping."""
    body = response.body if len(response.body) <= _LONGEST_STORED_BODY_BYTES else OK_BODY
    return json.dumps({"status": response.status, "body": body.decode("latin-1")})


def _stored(text: str) -> Response:
    document = json.loads(text)
    body = str(document["body"]).encode("latin-1")
    return Response(int(document["status"]), body, (*JSON_HEADERS, DUPLICATE_HEADER))
