"""GitHub's webhook signature: HMAC over the body alone, in hex; no I/O.

Source: docs.github.com, "Validating webhook deliveries". It covers neither time nor path, so a captured request stays
good for ever; a receiver that minds verifies X-Cron-Signature as well, or remembers run ids.
"""

from cronix_protocol.signature import Verification, hmac_digest, wire_bytes

from .common import KeyUnfit, accepted, is_lower_hex, mac_of, matching_key, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = "sha256="


def sign(secret: str, *, body: bytes) -> str:
    """Return the ``X-Hub-Signature-256`` value."""
    return _PREFIX + mac_of(secret, body).hex()


def sign_sha1(secret: str, *, body: bytes) -> str:
    """Return the value of the older ``X-Hub-Signature``, for receivers that know no other."""
    if not secret:
        raise KeyUnfit("the key is empty")
    try:
        from _sha1 import sha1  # type: ignore[import-not-found,unused-ignore]  # absent in typeshed; no OpenSSL
    except ImportError:
        from hashlib import sha1
    return "sha1=" + hmac_digest(wire_bytes(secret), body, sha1).hex()


def verify(signature: str | None, *, secrets: "Sequence[str]", body: bytes) -> Verification:
    """Judge one request by its ``X-Hub-Signature-256``; whatever it holds, the answer is a ``Verification``."""
    if signature is None:
        return refused("MissingSignature", "the request has no X-Hub-Signature-256 header")
    if not (signature.startswith(_PREFIX) and is_lower_hex(signature[len(_PREFIX) :], 64)):
        return refused("MalformedHeader", "X-Hub-Signature-256 is not sha256=<64 hex digits>")
    index = matching_key(secrets, [signature], lambda secret: sign(secret, body=body))
    if index is None:
        return refused("SignatureMismatch", "no configured secret gives this signature for the body")
    return accepted(index)
