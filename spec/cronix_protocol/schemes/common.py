"""What the schemes share: base64 and MACs without heavy imports, and the verdicts of a receiver; no I/O."""

from binascii import b2a_base64

from cronix_protocol.signature import Verification, hmac_digest, wire_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

MAX_HEADER_LENGTH = 8192
MAX_SIGNATURES = 32
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_HEX = frozenset("0123456789abcdef")


class KeyUnfit(ValueError):
    """A key cannot be one of this scheme; the text says what is wanted and never shows the key."""


def base64_text(data: bytes) -> str:
    """Return standard base64 with padding."""
    return b2a_base64(data, newline=False).decode("ascii")


def base64url_text(data: bytes) -> str:
    """Return URL-safe base64 with padding."""
    return b2a_base64(data, newline=False).translate(_URL_SAFE).decode("ascii")


def mac_of(key: str, message: bytes) -> bytes:
    """Return HMAC-SHA256 with the UTF-8 of a text as key; an empty key is ``KeyUnfit``."""
    if not key:
        raise KeyUnfit("the key is empty")
    return hmac_digest(wire_bytes(key), message)


def accepted(index: int) -> Verification:
    """The verdict on a request that ``secrets[index]`` has signed."""
    return Verification(ok=True, status=200, code="", message="", secret_index=index)


def refused(code: str, message: str) -> Verification:
    """The verdict on a request that is not to be believed; ``message`` holds no secret."""
    return Verification(ok=False, status=401, code=code, message=message, secret_index=None)


def is_lower_hex(text: str, length: int) -> bool:
    """Tell whether a text is hex in the one spelling that senders write."""
    return len(text) == length and _HEX.issuperset(text)


def seconds_of(text: str) -> int | None:
    """Return the Unix seconds that a text tells in plain ASCII digits, ``None`` for any other text."""
    # isdigit() alone takes other scripts' digits, int() takes blanks, signs and underscores: ASCII first.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


def stale(timestamp: int, now: int, window_seconds: int) -> Verification | None:
    """Refuse what was signed more than the window before or after ``now``; ``None`` for what is fresh.

    A refusal is false in a condition: ask ``is not None``.
    """
    if abs(now - timestamp) <= window_seconds:
        return None
    return refused(
        "StaleTimestamp", f"signed at {timestamp}, now it is {now}: more than {window_seconds} s apart; clock skew?"
    )


def matching_key(secrets: "Sequence[str]", given: "Collection[str]", expected: "Callable[[str], str]") -> int | None:
    """Return the place of the first secret whose ``expected`` text is among ``given``, compared in constant time.

    Texts are compared, not what they decode to: base64 and hex have several spellings of the same bytes, and only the
    sender's own is taken. Empty secrets, and those that no sender can hold, are passed over.
    """
    from hmac import compare_digest  # here, not above: the signer never verifies

    if isinstance(secrets, (str, bytes)):
        raise TypeError("secrets must be a list of strings; a bare string would make each character a key")
    candidates = [wire_bytes_or_none(text) for text in given]
    for index, secret in enumerate(secrets):
        try:
            want = expected(secret).encode("ascii") if secret else None
        except (KeyUnfit, UnicodeEncodeError):
            continue
        if want is not None and any(text is not None and compare_digest(want, text) for text in candidates):
            return index
    return None


def wire_bytes_or_none(text: str) -> bytes | None:
    """Return the bytes of a text as a server handed it over, ``None`` where no bytes can stand for it."""
    try:
        return wire_bytes(text)
    except UnicodeEncodeError:
        return None
