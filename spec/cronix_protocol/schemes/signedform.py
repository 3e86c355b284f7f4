"""A signed form: ``t=…&signature=…`` as the body, HMAC-SHA256 over ``t.URL``; no I/O.

Source: the Rails receiver that checks a cron call with Stripe's ``verify_header(request.url, …)``. The signature covers
time and full URL and nothing else, so a receiver must not believe any other field of the form.
"""

from cronix_protocol.signature import DEFAULT_WINDOW_SECONDS, Verification, wire_bytes

from .common import accepted, is_lower_hex, mac_of, matching_key, refused, seconds_of, stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_FORM_BYTES = 1024


def sign(secret: str, *, url: str, timestamp: int) -> bytes:
    """Return the form; ``url`` is the full URL as the receiver's framework will tell it."""
    return f"t={timestamp}&signature={_mac(secret, str(timestamp), url)}".encode("ascii")


def verify(
    *,
    secrets: "Sequence[str]",
    url: str,
    body: bytes,
    now: int,
    window_seconds: int = DEFAULT_WINDOW_SECONDS,
) -> Verification:
    """Judge one request by its body and the full URL it came to; whatever they hold, it answers a ``Verification``."""
    fields = _fields(body)
    names = [name for name, _ in fields]
    if names.count("t") == 0 or names.count("signature") == 0:
        return refused("MissingSignature", "the form has no t and signature")
    if len(fields) != 2:
        return refused("MalformedForm", "the form holds more than t and signature; what is not signed is not believed")
    values = dict(fields)
    signed_at = seconds_of(values["t"])
    if signed_at is None or not is_lower_hex(values["signature"], 64):
        return refused("MalformedForm", "want t=<unix seconds>&signature=<64 hex digits>")
    if (verdict := stale(signed_at, now, window_seconds)) is not None:
        return verdict
    index = _match(secrets, values, url)
    return _mismatch(secrets, values, url) if index is None else accepted(index)


def _match(secrets: "Sequence[str]", values: dict[str, str], url: str) -> int | None:
    return matching_key(secrets, [values["signature"]], lambda secret: _mac(secret, values["t"], url))


def _mismatch(secrets: "Sequence[str]", values: dict[str, str], url: str) -> Verification:
    """Refuse; name the one rewrite that proxies make, where the signature proves that its sender has the key."""
    scheme, separator, rest = url.partition("://")
    other = {"http": "https", "https": "http"}.get(scheme)
    if separator and other and _match(secrets, values, f"{other}://{rest}") is not None:
        return refused(
            "WrongUrl", f"signed for {other}://…, the app sees {scheme}://…; let the proxy say X-Forwarded-Proto"
        )
    return refused("SignatureMismatch", "no configured secret gives this signature for time and URL")


def _mac(secret: str, timestamp: str, url: str) -> str:
    return mac_of(secret, timestamp.encode("ascii") + b"." + wire_bytes(url)).hex()


def _fields(body: bytes) -> list[tuple[str, str]]:
    """Return the form's pairs as written; both values are of characters that nobody escapes."""
    if len(body) > _MAX_FORM_BYTES or not body.isascii():
        return []
    pairs = (part.partition("=") for part in body.decode("ascii").split("&"))
    return [(name, value) for name, _, value in pairs]
