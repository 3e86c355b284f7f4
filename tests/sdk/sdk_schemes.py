"""The schemes with both their ends: what the signer makes of a request, and what the SDK says to it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cronix_protocol import Verification
from cronix_protocol.schemes import Outgoing, form_body, scheme_headers
from cronix_sdk import schemes

NOW = 1_730_000_000
KEY = "the current key, longer than thirty-two bytes"
NEXT = "the next key, which is longer than thirty-two bytes"
URL = "https://billing.example.com/run?a=%20b"
BODY = b'{"month": "2025-10"}'
FORM = "SignedForm"


def webhook_key(text: str) -> str:
    return "whsec_" + base64.b64encode(text.encode()).decode()


@dataclass(frozen=True)
class Sent:
    """One request as it reaches the app."""

    headers: dict[str, str]
    body: bytes
    url: str = URL


@dataclass(frozen=True)
class Scheme:
    """One scheme with both its ends; `header` is the one that holds the signature, `signed` all that it covers."""

    kind: str
    verifier: Callable[..., Any]
    header: str
    has_time: bool = True
    needs_url: bool = False

    def key(self, text: str) -> str:
        return webhook_key(text) if self.kind == "StandardWebhooks" else text

    def send(self, key: str = KEY, *, at: int = NOW, body: bytes = BODY, url: str = URL) -> Sent:
        outgoing = Outgoing(url=url, body=body, run_id="run-1", attempt=1, timestamp=at)
        if self.kind == FORM:
            return Sent({}, form_body(key, outgoing), url)
        return Sent(dict(scheme_headers(self.kind, [self.key(key)], outgoing)), body, url)

    def receive(
        self, sent: Sent, *keys: str, now: int = NOW, body: object = None, secret: Any = None, **options: Any
    ) -> Verification:
        clock = {"clock": lambda: now + 0.5} if self.kind != "GitHub" else {}
        verifier = self.verifier(secret or [self.key(key) for key in keys or (KEY,)], **clock, **options)
        given: dict[str, Any] = {"body": sent.body if body is None else body}
        if self.kind != FORM:
            given["headers"] = sent.headers
        if self.needs_url:
            given["url"] = sent.url
        verdict = verifier.verify(**given)
        assert isinstance(verdict, Verification)
        assert verdict.ok == bool(verdict) == (verdict.status == 200) == (verdict.secret_index is not None)
        return verdict


SCHEMES = [
    Scheme("StandardWebhooks", schemes.StandardWebhooks, "webhook-signature"),
    Scheme("GitHub", schemes.GitHub, "X-Hub-Signature-256", has_time=False),
    Scheme("Stripe", schemes.Stripe, "Stripe-Signature"),
    Scheme("QStash", schemes.QStash, "Upstash-Signature", needs_url=True),
    Scheme(FORM, schemes.SignedForm, "", needs_url=True),
]
BY_KIND = {scheme.kind: scheme for scheme in SCHEMES}
