"""Stripe's webhook signature: HMAC-SHA256 over ``timestamp.body``, as ``t=…,v1=…``; no I/O.

Source: docs.stripe.com/webhooks, "Verify webhook signatures manually". The key is the text as it is: its ``whsec_`` is
part of it.
"""

from cronix_protocol.signature import DEFAULT_WINDOW_SECONDS, Verification

from .common import (
    MAX_HEADER_LENGTH,
    MAX_SIGNATURES,
    accepted,
    is_lower_hex,
    mac_of,
    matching_key,
    refused,
    seconds_of,
    stale,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def sign(secrets: "Sequence[str]", *, body: bytes, timestamp: int) -> str:
    """Return the ``Stripe-Signature`` value: the time, and one ``v1=<hex>`` for each key."""
    signed = b"%d.%b" % (timestamp, body)
    return ",".join([f"t={timestamp}", *(f"v1={mac_of(secret, signed).hex()}" for secret in secrets)])


def verify(
    header: str | None,
    *,
    secrets: "Sequence[str]",
    body: bytes,
    now: int,
    window_seconds: int = DEFAULT_WINDOW_SECONDS,
) -> Verification:
    """Judge one request by its ``Stripe-Signature``; whatever it holds, the answer is a ``Verification``."""
    if header is None:
        return refused("MissingSignature", "the request has no Stripe-Signature header")
    if len(header) > MAX_HEADER_LENGTH:
        return refused("MalformedHeader", f"Stripe-Signature is longer than {MAX_HEADER_LENGTH} characters")
    pairs = [segment.partition("=")[::2] for segment in header.split(",")]
    times = [value for name, value in pairs if name == "t"]
    given = [value for name, value in pairs if name == "v1"]
    signed_at = seconds_of(times[0]) if len(times) == 1 else None
    if signed_at is None:
        return refused("MalformedHeader", "Stripe-Signature has not exactly one t=<unix seconds>")
    if not given or len(given) > MAX_SIGNATURES or not all(is_lower_hex(value, 64) for value in given):
        return refused("MalformedHeader", "Stripe-Signature has no v1=<64 hex digits>, or one that is something else")
    if (verdict := stale(signed_at, now, window_seconds)) is not None:
        return verdict
    signed = times[0].encode("ascii") + b"." + body
    index = matching_key(secrets, given, lambda secret: mac_of(secret, signed).hex())
    if index is None:
        return refused("SignatureMismatch", "no configured secret gives this signature for time and body")
    return accepted(index)
