"""What a job is told about its run; read from a request that was verified, no I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cronix_protocol import headers as wire

if TYPE_CHECKING:
    from collections.abc import Mapping

# Later seconds are no dates that `datetime` can hold, and no honest signer sends them.
_MOST_DIGITS = 11


@dataclass(frozen=True, slots=True)
class JobContext:
    """One run. The signature covers time, method, path and body; the `X-Cron-*` values travel beside it, unsigned.

    `headers` are lower-case names with the first value of each. `secret_index` is the place of the key that verified,
    None when `unverified` (only under `skip_verify=True`).
    """

    app: str
    name: str
    body: bytes
    headers: Mapping[str, str]
    secret_index: int | None
    unverified: bool = False

    @property
    def run_id(self) -> str:
        """The same for every attempt, replacement pod and duplicate of one slot; "" when the signer sent none."""
        return self.headers.get(_RUN_ID, "")

    @property
    def attempt(self) -> int:
        """1 for the first request of a run, then 2, 3, …; 1 when absent or unreadable."""
        return _whole_number(self.headers.get(_ATTEMPT)) or 1

    @property
    def fire_time(self) -> datetime | None:
        """The slot as scheduled (UTC), the right time to compute a report for; None when unknown."""
        return _instant(self.headers.get(_FIRE_TIME))

    @property
    def fire_time_actual(self) -> datetime | None:
        """When the signer started (UTC)."""
        return _instant(self.headers.get(_FIRE_TIME_ACTUAL))

    @property
    def previous_success_time(self) -> datetime | None:
        """When this job last succeeded (UTC); None when the signer does not know."""
        return _instant(self.headers.get(_PREVIOUS_SUCCESS))

    def text(self) -> str:
        """The body as UTF-8 text; raises `UnicodeDecodeError` rather than guess."""
        return self.body.decode()

    def json(self) -> object:
        """The body as JSON; raises `ValueError` when it is none."""
        return json.loads(self.text())


def _lower(name: str) -> str:
    return name.lower()


_RUN_ID = _lower(wire.RUN_ID)
_ATTEMPT = _lower(wire.ATTEMPT)
_FIRE_TIME = _lower(wire.FIRE_TIME)
_FIRE_TIME_ACTUAL = _lower(wire.FIRE_TIME_ACTUAL)
_PREVIOUS_SUCCESS = _lower(wire.PREVIOUS_SUCCESS_TIME)


def _whole_number(text: str | None) -> int | None:
    # isdigit alone also accepts other scripts' digits.
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        return None
    return int(text)


def _instant(text: str | None) -> datetime | None:
    seconds = _whole_number(text)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
