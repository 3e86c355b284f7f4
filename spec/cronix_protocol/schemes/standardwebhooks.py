"""Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body`` with a base64 key, as three headers; no I/O.

Source: the specification 1.0 at www.standardwebhooks.com. The message id is the run id, so that a receiver that drops
duplicates by ``webhook-id`` runs each slot once.
"""

from binascii import Error, a2b_base64

from cronix_protocol.signature import DEFAULT_WINDOW_SECONDS, Verification, hmac_digest

from .common import (
    MAX_HEADER_LENGTH,
    MAX_SIGNATURES,
    KeyUnfit,
    accepted,
    base64_text,
    matching_key,
    refused,
    seconds_of,
    stale,
    wire_bytes_or_none,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = "whsec_"
_SIGNATURE_LENGTH = 47  # v1, and the base64 of 32 bytes


def key_bytes(secret: str) -> bytes:
    """Return the key that ``whsec_<base64>`` stands for (the prefix may be missing), or raise ``KeyUnfit``."""
    text = secret.removeprefix(_PREFIX).rstrip("=")
    try:
        key = a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (Error, ValueError):  # neither may be shown: its text could quote the key
        key = b""
    if not key:
        raise KeyUnfit("not a key of Standard Webhooks; want whsec_ and the base64 of 24 to 64 random bytes")
    return key


def sign(secrets: "Sequence[str]", *, message_id: str, body: bytes, timestamp: int) -> str:
    """Return the ``webhook-signature`` value: one ``v1,<base64>`` for each key, with blanks between them."""
    signed = _signed_bytes(message_id.encode("ascii"), str(timestamp).encode("ascii"), body)
    return " ".join(_signature(secret, signed) for secret in secrets)


def verify(
    message_id: str | None,
    timestamp: str | None,
    signatures: str | None,
    *,
    secrets: "Sequence[str]",
    body: bytes,
    now: int,
    window_seconds: int = DEFAULT_WINDOW_SECONDS,
) -> Verification:
    """Judge one request by its three headers; whatever they hold, the answer is a ``Verification``."""
    if message_id is None or timestamp is None or signatures is None:
        return refused("MissingSignature", "want the headers webhook-id, webhook-timestamp and webhook-signature")
    if max(len(message_id), len(timestamp), len(signatures)) > MAX_HEADER_LENGTH:
        return refused("MalformedHeader", f"a webhook-* header is longer than {MAX_HEADER_LENGTH} characters")
    signed_at = seconds_of(timestamp)
    if signed_at is None:
        return refused("MalformedHeader", "webhook-timestamp is not Unix seconds")
    # A dot in the id would let one signed text be read as another id, time and body.
    identity = wire_bytes_or_none(message_id)
    if not identity or b"." in identity:
        return refused("MalformedHeader", "webhook-id is empty or holds a dot")
    given = [part for part in signatures.split(" ") if part.startswith("v1,") and len(part) == _SIGNATURE_LENGTH]
    if not given or len(given) > MAX_SIGNATURES:
        return refused("MalformedHeader", "webhook-signature has no v1,<base64>, or too many of them")
    if (verdict := stale(signed_at, now, window_seconds)) is not None:
        return verdict
    signed = _signed_bytes(identity, timestamp.encode("ascii"), body)
    index = matching_key(secrets, given, lambda secret: _signature(secret, signed))
    if index is None:
        return refused("SignatureMismatch", "no configured secret gives this signature for id, time and body")
    return accepted(index)


def _signature(secret: str, signed: bytes) -> str:
    return "v1," + base64_text(hmac_digest(key_bytes(secret), signed))


def _signed_bytes(message_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    return message_id + b"." + timestamp + b"." + body
