"""One signed POST of a notice, by the guards of the manifest's fetch; of the answer nothing but its status counts."""

from __future__ import annotations

from typing import Protocol

from cronix_operator.core.errors import ReconcileError, Stalled, Waiting
from cronix_operator.core.model import App, Endpoint, KeyMaterial
from cronix_operator.core.notice import NOTIFY_FAILED
from cronix_protocol import sign
from cronix_protocol.joburl import split_url


class Guarded(Protocol):
    async def post(self, app: App, endpoint: Endpoint, body: bytes, signature: str, material: KeyMaterial) -> int: ...


class HttpNotifier:
    """Delivers notices to spec.notify.url."""

    def __init__(self, http: Guarded) -> None:
        self._http = http

    async def deliver(self, app: App, body: bytes, material: KeyMaterial, timestamp: int) -> None:
        """One try; Stalled when the URL may not be called, Waiting when another try is worth it."""
        url = app.notify_url or ""
        path = split_url(url).path  # parse_app has read it
        signature = sign(material.keys[0][1], method="POST", path=path, body=body, timestamp=timestamp)
        try:
            status = await self._http.post(app, Endpoint(url), body, signature, material)
        except ReconcileError as exc:
            text = exc.message.replace("fetching ", "posting to ").replace("fetched", "called")
            raise type(exc)(exc.reason, text.replace("spec.source:", "spec.notify.url:")) from exc
        if 300 <= status < 400:
            raise Stalled(
                "Redirected", "spec.notify.url redirects, and redirects are never followed; write where it leads to"
            )
        if not 200 <= status < 300:
            raise Waiting(NOTIFY_FAILED, f"spec.notify.url answers {status}")
