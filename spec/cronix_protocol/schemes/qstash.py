"""QStash's signature: a JWT (HS256) that binds the URL, a time and the body's SHA-256; no I/O.

Source: upstash.com/docs/qstash/howto/signature. The subject is the job's URL byte for byte: receivers compare it so.
"""

from cronix_protocol import lightjson
from cronix_protocol.signature import DEFAULT_WINDOW_SECONDS, Verification, sha256_digest

from .common import MAX_HEADER_LENGTH, accepted, base64url_text, mac_of, matching_key, refused, stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

ISSUER: "Final" = "Upstash"
LIFETIME_SECONDS: "Final" = 300
BACKDATE_SECONDS: "Final" = 30
"""How far iat and nbf lie before the attempt: receivers allow no tolerance, and one whose clock is a moment behind
would refuse with a 4xx, which ends the run."""

_JWT_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def sign(secret: str, *, url: str, body: bytes, timestamp: int, token_id: str) -> str:
    """Return the ``Upstash-Signature`` value; it is good from 30 s before ``timestamp`` to 270 s after it."""
    issued_at = timestamp - BACKDATE_SECONDS
    header = lightjson.dumps_flat({"alg": "HS256", "typ": "JWT"})
    claims = lightjson.dumps_flat(
        {
            "iss": ISSUER,
            "sub": url,
            "exp": issued_at + LIFETIME_SECONDS,
            "nbf": issued_at,
            "iat": issued_at,
            "jti": token_id,
            "body": base64url_text(sha256_digest(body)),
        }
    )
    signed = ".".join(base64url_text(part.encode("ascii")).rstrip("=") for part in (header, claims))
    return f"{signed}.{_signature(secret, signed)}"


def verify(
    token: str | None,
    *,
    secrets: "Sequence[str]",
    url: str,
    body: bytes,
    now: int,
    window_seconds: int = DEFAULT_WINDOW_SECONDS,
) -> Verification:
    """Judge one request by its ``Upstash-Signature``; whatever it holds, the answer is a ``Verification``.

    The MAC is checked before a claim is read: what comes out of the token was written by a holder of the key.
    """
    if token is None:
        return refused("MissingSignature", "the request has no Upstash-Signature header")
    parts = token.split(".") if len(token) <= MAX_HEADER_LENGTH else []
    if len(parts) != 3 or not all(part and _JWT_CHARACTERS.issuperset(part) for part in parts):
        return refused("MalformedHeader", "Upstash-Signature is not a JWT; want header.claims.signature")
    index = matching_key(secrets, [parts[2]], lambda secret: _signature(secret, f"{parts[0]}.{parts[1]}"))
    if index is None:
        return refused("SignatureMismatch", "no configured secret gives this signature for the token")
    header, claims = _object_of(parts[0]), _object_of(parts[1])
    if header is None or claims is None or header.get("alg") != "HS256" or "crit" in header:
        return refused("MalformedHeader", "Upstash-Signature is not a JWT of two JSON objects with alg HS256")
    refusal = _judge_claims(claims, url, body, now, window_seconds)
    return accepted(index) if refusal is None else refusal


def _judge_claims(
    claims: "Mapping[str, object]", url: str, body: bytes, now: int, window_seconds: int
) -> Verification | None:
    """Return the refusal that the claims call for, or ``None``."""
    from hmac import compare_digest

    texts = [claims.get(name) for name in ("iss", "sub", "body")]
    times = [claims.get(name) for name in ("iat", "nbf", "exp")]
    issuer, subject, digest = (text if isinstance(text, str) else None for text in texts)
    issued_at, not_before, expires = (time if type(time) is int else None for time in times)
    if (
        issuer is None
        or subject is None
        or digest is None
        or issued_at is None
        or not_before is None
        or expires is None
    ):
        return refused("MalformedHeader", "the token lacks one of iss, sub, iat, nbf, exp, body")
    if issuer != ISSUER:
        return refused("WrongIssuer", f"the token's issuer is not {ISSUER}")
    if subject != url:
        return refused("WrongUrl", f"the token is for {ascii(subject)[:300]}, this is {ascii(url)[:300]}")
    if (verdict := stale(issued_at, now, window_seconds)) is not None:
        return verdict
    if not not_before - window_seconds <= now < expires:
        return refused("StaleTimestamp", f"the token is good from {not_before} to {expires}, now it is {now}")
    want = base64url_text(sha256_digest(body)).rstrip("=")
    if not compare_digest(want.encode(), digest.rstrip("=").encode("utf-8", "replace")):
        return refused("BodyMismatch", "the body is not the one that the token was made for")
    return None


def _signature(secret: str, signed: str) -> str:
    return base64url_text(mac_of(secret, signed.encode("ascii"))).rstrip("=")


def _object_of(part: str) -> "Mapping[str, object] | None":
    from binascii import Error, a2b_base64

    standard = part.replace("-", "+").replace("_", "/")
    try:
        value = lightjson.loads(a2b_base64(standard + "=" * (-len(part) % 4), strict_mode=True).decode())
    except (Error, ValueError):
        return None
    return value if isinstance(value, dict) else None
