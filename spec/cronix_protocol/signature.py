"""A secret and a request in, a header value or a verdict out; no clock, no I/O.

The signed bytes are ``str(t) "." METHOD "." PATH "." BODY``, the MAC is HMAC-SHA256 with the UTF-8 bytes of the
secret *string* as key, and the header is ``X-Cron-Signature: t=<unix>,v1=<64 lower-case hex digits>`` (clauses W1-W9).
The signer imports this module in every run, so it loads neither OpenSSL nor ``hmac`` before it must.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

try:  # the interpreter's own SHA-256 (3.12 on); hashlib would load OpenSSL, a third of the signer's start
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]  # private, absent in 3.11 and in typeshed
except ImportError:
    from hashlib import sha256

DEFAULT_WINDOW_SECONDS: "Final" = 300
MIN_WINDOW_SECONDS: "Final" = 30
"""A receiver must not set a shorter window (W9); the receiver checks that once, where it is configured."""

_MAX_TIMESTAMP = 2**53 - 1
_MAX_HEADER_LENGTH = 8192
_HEX = frozenset("0123456789abcdefABCDEF")
_BLOCK = 64
_INNER = bytes(b ^ 0x36 for b in range(256))
_OUTER = bytes(b ^ 0x5C for b in range(256))


class Verification:
    """The verdict on one request: true in a condition only when the signature is good.

    ``status`` and ``code`` are what a receiver answers (200 and ``""`` when ok); ``message`` is for people and holds no
    secret; ``secret_index`` is the place in ``secrets`` of the key that matched, ``None`` unless ok.
    """

    __slots__ = ("code", "message", "ok", "secret_index", "status")

    ok: bool
    status: int
    code: str
    message: str
    secret_index: int | None

    def __init__(self, *, ok: bool, status: int, code: str, message: str, secret_index: int | None) -> None:
        self.ok = ok
        self.status = status
        self.code = code
        self.message = message
        self.secret_index = secret_index

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"Verification(ok={self.ok}, status={self.status}, code={self.code!r}, secret_index={self.secret_index})"


def sign(secret: str, *, method: str, path: str, body: bytes = b"", timestamp: int) -> str:
    """Return the ``X-Cron-Signature`` value that ``verify`` accepts for this request.

    ``path`` is path and query exactly as they go over the wire (``""`` means ``/``); ``timestamp`` is Unix seconds,
    0 to 2**53-1. Raises ``ValueError`` for an empty secret or a timestamp out of range (W1-W4).
    """
    if not secret:
        raise ValueError("the signing secret is empty; give a non-empty string")
    if not 0 <= timestamp <= _MAX_TIMESTAMP:
        raise ValueError(f"timestamp {timestamp} is not in 0..2**53-1; give Unix seconds")
    mac = hmac_digest(wire_bytes(secret), _signed_bytes(timestamp, wire_bytes(method), wire_bytes(path), body))
    return f"t={timestamp},v1={mac.hex()}"


def verify(
    header: str | None,
    *,
    secrets: "Sequence[str]",
    method: str,
    path: str,
    body: bytes,
    now: int,
    window_seconds: int = DEFAULT_WINDOW_SECONDS,
) -> Verification:
    """Judge one request; whatever header, method, path and body hold, the answer is a ``Verification``.

    Checked in this order: header present, header well formed, ``abs(now - t) <= window_seconds``, MAC under one of
    ``secrets`` (empty strings are skipped, the first that matches wins) (W5-W8). Raises ``TypeError`` only for the
    programming error of passing one string, or bytes, for the list of secrets.
    """
    if isinstance(secrets, (str, bytes)):
        raise TypeError("secrets must be a list of strings; a bare string would make each character a key")
    if header is None:
        return _refused("MissingSignature", "the request has no X-Cron-Signature header")
    parsed = _parse(header)
    if isinstance(parsed, str):
        return _refused("MalformedHeader", parsed)
    if len(secrets) == 0:
        return _refused("MalformedHeader", "this receiver has no secret to verify with")
    timestamp, given = parsed
    if abs(now - timestamp) > window_seconds:
        return _refused(
            "StaleTimestamp", f"signed at {timestamp}, now it is {now}: more than {window_seconds} s apart; clock skew?"
        )
    try:
        signed = _signed_bytes(timestamp, wire_bytes(method), wire_bytes(path), body)
    except UnicodeEncodeError:
        return _refused("SignatureMismatch", "method or path holds characters that no request line can carry")
    index = _matching_secret(given, signed, secrets)
    if index is None:
        return _refused("SignatureMismatch", "no configured secret gives this signature for method, path and body")
    return Verification(ok=True, status=200, code="", message="", secret_index=index)


def _refused(code: str, message: str) -> Verification:
    return Verification(ok=False, status=401, code=code, message=message, secret_index=None)


def _matching_secret(given: str, signed: bytes, secrets: "Sequence[str]") -> int | None:
    from hmac import compare_digest  # here, not above: the signer never verifies

    for index, secret in enumerate(secrets):
        if not secret:
            continue
        try:
            key = wire_bytes(secret)
        except UnicodeEncodeError:  # no signer can hold such a key
            continue
        if compare_digest(hmac_digest(key, signed).hex(), given):
            return index
    return None


def _parse(header: str) -> tuple[int, str] | str:
    """Return (t, v1 in lower case), or what is wrong with the header as text. Duplicate keys: the last wins (W6)."""
    if len(header) > _MAX_HEADER_LENGTH:
        return f"X-Cron-Signature is longer than {_MAX_HEADER_LENGTH} characters"
    timestamp = mac = ""
    for segment in header.split(","):
        key, equals, value = segment.partition("=")
        if not equals:
            return "X-Cron-Signature has a segment without '='; want t=<unix>,v1=<hex>"
        if key == "t":
            timestamp = value
        elif key == "v1":
            mac = value
    # isdigit() alone takes other scripts' digits, int() takes blanks, signs and underscores: ASCII first.
    if not (timestamp.isascii() and timestamp.isdigit()):
        return "X-Cron-Signature has no t=<unix seconds>"
    significant = timestamp.lstrip("0")
    if len(significant) > 16 or (t := int(significant or "0")) > _MAX_TIMESTAMP:
        return "X-Cron-Signature has a t beyond 2**53-1"
    if len(mac) != 64 or not _HEX.issuperset(mac):
        return "X-Cron-Signature has no v1=<64 hex digits>"
    return t, mac.lower()


def _signed_bytes(timestamp: int, method: bytes, path: bytes, body: bytes) -> bytes:
    # bytes.upper() touches ASCII only; str.upper() would turn a hostile "ß" into "SS".
    return b"%d.%b.%b.%b" % (timestamp, method.upper(), path or b"/", body)


def hmac_digest(key: bytes, message: bytes, new: "Callable[[bytes], Any]" = sha256) -> bytes:
    """Return HMAC (RFC 2104) with SHA-256, or with another hash of 64-byte blocks."""
    if len(key) > _BLOCK:
        key = new(key).digest()
    key = key.ljust(_BLOCK, b"\0")
    inner = new(key.translate(_INNER))
    inner.update(message)
    outer = new(key.translate(_OUTER))
    outer.update(inner.digest())
    digest: bytes = outer.digest()
    return digest


def sha256_digest(data: bytes) -> bytes:
    """Return the 32 bytes of SHA-256, without what ``import hashlib`` costs."""
    digest: bytes = sha256(data).digest()
    return digest


def wire_bytes(text: str) -> bytes:
    """Return UTF-8; bytes that the environment or a server smuggled in as surrogates come out as they were.

    Raises ``UnicodeEncodeError`` for a surrogate that stands for no byte.
    """
    return text.encode("utf-8", "surrogateescape")
