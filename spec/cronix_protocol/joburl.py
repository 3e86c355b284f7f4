"""Text of a URL in, its parts or what is wrong with it out; nothing is decoded, encoded or normalised; no I/O."""

_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_IPV6 = frozenset("abcdefABCDEF0123456789:.")
_DEFAULT_PORT = {"http": 80, "https": 443}


class Url:
    """An http or https URL in the parts that a request needs.

    ``authority`` is host and port as written (the ``Host`` header); ``host`` has no brackets; ``path`` is path and
    query exactly as written, at least ``/``, without fragment; ``text`` is all of it as it was written.
    """

    __slots__ = ("authority", "host", "path", "port", "scheme", "text")

    def __init__(self, scheme: str, authority: str, host: str, port: int, path: str, text: str) -> None:
        self.scheme = scheme
        self.authority = authority
        self.host = host
        self.port = port
        self.path = path
        self.text = text


def split_url(text: str) -> Url:
    """Return the parts of an absolute http(s) URL, or raise ``ValueError`` saying what to write instead.

    Nothing is decoded, encoded or normalised. Only printable ASCII without blanks is taken: what else to put on the
    request line would be a guess, and the signature covers it.
    """
    if not (text.isascii() and text.isprintable()) or " " in text:
        position, char = next((i, char) for i, char in enumerate(text) if not "!" <= char <= "~")
        raise ValueError(f"U+{ord(char):04X} at {position}; percent-encode everything but printable ASCII")
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _DEFAULT_PORT:
        raise ValueError("want http://HOST/… or https://HOST/…")
    rest = rest.partition("#")[0]
    cut = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if "@" in authority:
        raise ValueError("user and password in a URL would end up in logs; send an Authorization header instead")
    host, port_text = _split_authority(authority)
    port = _DEFAULT_PORT[scheme]
    if port_text:
        if not (port_text.isdigit() and len(port_text) <= 5 and 1 <= int(port_text) <= 65535):
            raise ValueError(f"port {port_text!r} is not in 1..65535")
        port = int(port_text)
    return Url(scheme, authority, host, port, path if path.startswith("/") else "/" + path, text)


def _split_authority(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        host, bracket, after = authority[1:].partition("]")
        if not bracket or ":" not in host or not _IPV6.issuperset(host) or (after and not after.startswith(":")):
            raise ValueError("write an IPv6 host as [ADDRESS] or [ADDRESS]:PORT, without zone")
        return host, after[1:]
    host, _, port_text = authority.partition(":")
    if not host or not _HOST.issuperset(host) or len(host) > 253:
        raise ValueError("the URL names no host that DNS can hold; use letters, digits, '-' and '.'")
    return host, port_text
