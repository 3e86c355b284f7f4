"""For an app's own tests: requests that are signed as the signer signs them. Do not use it in production code."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cronix_protocol import headers as wire
from cronix_protocol import sign
from cronix_sdk.errors import SetupError
from cronix_sdk.keys import without_line_end
from cronix_sdk.request import MANIFEST_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cronix_sdk.cron import Cron
    from cronix_sdk.response import Response


def signed_headers(
    secret: str,
    *,
    method: str,
    path: str,
    body: bytes = b"",
    now: int | None = None,
    run_id: str = "",
    attempt: int = 1,
    fire_time: datetime | None = None,
    job: str = "",
) -> dict[str, str]:
    """The headers of one signed request, for any framework's test client; `now` in Unix seconds, else the clock's."""
    at = int(time.time()) if now is None else now
    slot = at - at % 60 if fire_time is None else int(fire_time.timestamp())
    headers = {
        wire.SIGNATURE: sign(without_line_end(secret), method=method, path=path, body=body, timestamp=at),
        wire.FIRE_TIME: str(slot),
        wire.FIRE_TIME_ACTUAL: str(at),
        wire.ATTEMPT: str(attempt),
        wire.RUN_ID: run_id or f"test-run-{slot}",
    }
    if job:
        headers[wire.SCHEDULE_NAME] = job
    return headers


class CronTestClient:
    """Fires an app's jobs and fetches its manifest, through the whole of `Cron.handle`, without a server.

    A job's exception is raised here, unless `raise_exceptions=False`: then its 500 is the answer, as in production.
    """

    def __init__(
        self, cron: Cron, *, secret: str, raise_exceptions: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self._cron = cron
        self._secret = secret
        self._raise_exceptions = raise_exceptions
        self._clock = clock

    def fire(
        self,
        name: str,
        *,
        body: bytes | None = None,
        run_id: str = "",
        attempt: int = 1,
        fire_time: datetime | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One trigger of a declared job, with the manifest's method, URL, headers and (unless given) body."""
        request = self._cron.request_of(name)
        parts = urlsplit(request.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = request.body.encode() if body is None else body
        signed = signed_headers(
            self._secret,
            method=request.method,
            path=path,
            body=sent,
            now=int(self._clock()),
            run_id=run_id,
            attempt=attempt,
            fire_time=fire_time,
            job=name,
        )
        answer = self._cron.handle(
            method=request.method,
            path=path,
            headers={**dict(request.headers), **signed, **(headers or {}), "content-length": str(len(sent))},
            body=sent,
        )
        if self._raise_exceptions and answer.error is not None:
            raise answer.error
        return answer

    def manifest(self) -> Response:
        """The manifest, fetched as the operator does."""
        headers = signed_headers(self._secret, method="GET", path=MANIFEST_PATH, now=int(self._clock()))
        return self._cron.handle(method="GET", path=MANIFEST_PATH, headers=headers, body=b"")


def slot(text: str) -> datetime:
    """A scheduled time from RFC 3339 text, such as `slot("2025-11-01T10:00:00Z")`; UTC where it names no offset."""
    instant = datetime.fromisoformat(text)
    if instant.microsecond:
        raise SetupError(f"{text}: a slot is whole seconds")
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
