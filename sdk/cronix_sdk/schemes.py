"""Other senders' signatures, verified with the same care as ours; decides nothing that the protocol has not decided.

verifier = schemes.StandardWebhooks(secret=KeyFiles("/keys/webhook"))
verdict = verifier.verify(headers=request.headers, body=request.get_data())

Every verifier takes a list of keys (current, then next), compares in constant time, checks the body always, and
enforces the window on both sides wherever the scheme has a time. A verdict is true only when the signature is good.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cronix_protocol import Verification
from cronix_protocol import headers as wire
from cronix_protocol.schemes import github, qstash, signedform, standardwebhooks, stripe
from cronix_protocol.schemes.common import KeyUnfit
from cronix_protocol.signature import DEFAULT_WINDOW_SECONDS
from cronix_sdk import keys, response
from cronix_sdk.errors import SecretError
from cronix_sdk.request import Headers, lower_headers
from cronix_sdk.verifying import checked_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = logging.getLogger("cronix_sdk")


class _Verifier:
    """Keys, clock and window of one scheme; `secret` is what `Cron` takes: a text, a list, a callable, `KeyFiles`."""

    def __init__(
        self,
        secret: keys.Secret,
        *,
        replay_window_seconds: int = DEFAULT_WINDOW_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._window_seconds = checked_window(replay_window_seconds, "replay_window_seconds")
        self._clock = clock
        self._secret = secret
        self._check_form(keys.check_at_start(secret))

    def _check_form(self, secrets: Sequence[str]) -> None:
        """Raise `SecretError` where no key can be one of this scheme."""

    def _judge(self, body: object, check: Callable[[Sequence[str], bytes, int], Verification]) -> Verification:
        raw = bytes(body) if isinstance(body, (bytearray, memoryview)) else body
        if not isinstance(raw, bytes):
            message = (
                f"body: want the raw bytes of the request, got {type(body).__name__}; take them before any parsing"
            )
            return _unready(response.BODY_NOT_BYTES, message)
        try:
            secrets = keys.resolve(self._secret)
            self._check_form(secrets)
        except Exception as error:  # noqa: BLE001 - the callable is the app's; closed is the only safe way to fail
            reason = str(error) if isinstance(error, SecretError) else type(error).__name__
            _log.error("no usable secret, so nothing can be verified: %s", reason)
            return _unready(response.NO_USABLE_SECRET, "this app has no usable secret at the moment; see its log")
        return check(secrets, raw, int(self._clock()))


class StandardWebhooks(_Verifier):
    """`webhook-id`, `webhook-timestamp`, `webhook-signature`; keys are `whsec_<base64>`.

    Several signatures in one header are allowed; one that holds is enough. Drop duplicates by `webhook-id`.
    """

    def _check_form(self, secrets: Sequence[str]) -> None:
        for place, secret in enumerate(secrets):
            try:
                standardwebhooks.key_bytes(secret or "AA")  # an empty text keeps the place of an absent file
            except KeyUnfit as error:
                raise SecretError(f"secret {place}: {error}") from None

    def verify(self, *, headers: Headers, body: bytes) -> Verification:
        """The verdict on one request; `body` is its raw bytes."""
        lowered = lower_headers(headers)
        names = (wire.WEBHOOK_ID, wire.WEBHOOK_TIMESTAMP, wire.WEBHOOK_SIGNATURE)
        given = [lowered.get(name) for name in names]
        return self._judge(
            body,
            lambda secrets, raw, now: standardwebhooks.verify(
                *given, secrets=secrets, body=raw, now=now, window_seconds=self._window_seconds
            ),
        )


class GitHub(_Verifier):
    """`X-Hub-Signature-256`. It covers the body alone: no time, so no window, and no path.

    A captured request verifies for ever. Where that matters, have the signer's own header verified by `Cron`, too. The
    older SHA-1 header is never enough.
    """

    def __init__(self, secret: keys.Secret) -> None:
        super().__init__(secret)

    def verify(self, *, headers: Headers, body: bytes) -> Verification:
        """The verdict on one request; `body` is its raw bytes."""
        given = lower_headers(headers).get(wire.GITHUB_SIGNATURE.lower())
        return self._judge(body, lambda secrets, raw, _now: github.verify(given, secrets=secrets, body=raw))


class Stripe(_Verifier):
    """`Stripe-Signature`; keys are taken as they are, their `whsec_` included."""

    def verify(self, *, headers: Headers, body: bytes) -> Verification:
        """The verdict on one request; `body` is its raw bytes."""
        given = lower_headers(headers).get(wire.STRIPE_SIGNATURE.lower())
        return self._judge(
            body,
            lambda secrets, raw, now: stripe.verify(
                given, secrets=secrets, body=raw, now=now, window_seconds=self._window_seconds
            ),
        )


class QStash(_Verifier):
    """`Upstash-Signature`, a token that names URL and body; `secret` is the list of current and next signing key."""

    def verify(self, *, headers: Headers, body: bytes, url: str) -> Verification:
        """The verdict on one request; `url` is the address that the sender was given, `body` the raw bytes.

        Write `url` down; made from the request's own Host header it would say whatever the request says.
        """
        given = lower_headers(headers).get(wire.QSTASH_SIGNATURE.lower())
        return self._judge(
            body,
            lambda secrets, raw, now: qstash.verify(
                given, secrets=secrets, url=url, body=raw, now=now, window_seconds=self._window_seconds
            ),
        )


class SignedForm(_Verifier):
    """A form of `t` and `signature` as the body; it covers time and full URL, and any further field is refused."""

    def verify(self, *, body: bytes, url: str) -> Verification:
        """The verdict on one request; `url` is its full URL as the sender was given it, `body` the raw bytes."""
        return self._judge(
            body,
            lambda secrets, raw, now: signedform.verify(
                secrets=secrets, url=url, body=raw, now=now, window_seconds=self._window_seconds
            ),
        )


def _unready(code: str, message: str) -> Verification:
    return Verification(ok=False, status=response.STATUS_OF[code], code=code, message=message, secret_index=None)
