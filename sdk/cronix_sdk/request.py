"""A request as the web server saw it → what the signer sent; no I/O, and nothing here decodes or normalises a path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cronix_protocol.headers import SCHEDULE_NAME, SIGNATURE

Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]

MANIFEST_PATH = "/.well-known/cron-manifest"
TRIGGER_PREFIX = "/api/v1/scheduled/"
SIGNATURE_HEADER = SIGNATURE.lower()
SCHEDULE_NAME_HEADER = SCHEDULE_NAME.lower()


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request. `path` is path and query as sent; `headers` have lower-case names and the first value of each."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def signature(self) -> str | None:
        """The value of X-Cron-Signature, None when there is none."""
        return self.headers.get(SIGNATURE_HEADER)

    @property
    def declared_length(self) -> int | None:
        """What Content-Length promises; None when absent or unreadable."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def lower_headers(headers: Headers) -> dict[str, str]:
    """Lower-case names, first value wins when a name is repeated; bytes are read as latin-1, as HTTP has them."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lowered: dict[str, str] = {}
    for name, value in pairs:
        text = name if isinstance(name, str) else name.decode("latin-1")
        lowered.setdefault(text.lower(), value if isinstance(value, str) else value.decode("latin-1"))
    return lowered


def as_sent(path: str) -> str:
    """Path and query of a request target: a proxy's absolute form loses its origin, an empty one becomes `/`."""
    if path.startswith("/"):
        return path
    scheme, separator, rest = path.partition("://")
    if not separator or not scheme.isalpha():
        return path or "/"
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"


def route_of(path: str) -> str:
    """The path without its query: what a route is looked up by."""
    return path.partition("?")[0]


def wire_text(latin1: str) -> str:
    """A header-like text of a WSGI server (bytes dressed as latin-1) → the text whose UTF-8 is those very bytes."""
    try:
        return latin1.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a server that decoded it already
        return latin1


def one_word(text: str) -> str:
    """A value fit for a `key=value` log line: what could forge a second field or a second line is escaped."""
    short = text if len(text) <= _LOGGED_CHARACTERS else text[:_LOGGED_CHARACTERS] + "…"
    return short if short.isascii() and short.isprintable() and short and " " not in short else ascii(short)


_LOGGED_CHARACTERS = 200
