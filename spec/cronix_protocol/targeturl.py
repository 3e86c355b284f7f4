"""Is this URL one that can be signed and sent exactly as it stands; pure.

The signature covers path and query byte for byte, so a URL is never rewritten here: what would need rewriting on its
way to the wire is refused, with what to write instead.
"""

import re

_HTTP_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#\\]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL | re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_SENDABLE = re.compile(r"[^!-~]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_MAX_LENGTH = 4096


def protocol_fault(url: str) -> str | None:
    """Why the protocol refuses the URL (RFC "request": http or https with a host), or None."""
    parts = _HTTP_URL.fullmatch(url)
    if parts is None:
        return "must start with http:// or https://"
    if _CONTROL.search(url):
        return "has a control character in it"
    if not parts["authority"].rpartition("@")[2].partition(":")[0]:
        return "has no host; write http:// or https://, a host and a path"
    return None


def target_fault(url: str) -> str | None:
    """Why the signer cannot send to the URL exactly as it stands, or None; asks more than the protocol."""
    if (fault := protocol_fault(url)) is not None:
        return fault
    if len(url) > _MAX_LENGTH:
        return f"is {len(url)} characters long; at most {_MAX_LENGTH} are sent"
    if (odd := _NOT_SENDABLE.search(url)) is not None:
        advice = "%20" if odd.group() == " " else "percent-escapes, a host in punycode"
        return f"has a character that cannot be sent as it is; write {advice}"
    if "#" in url:
        return "has a fragment, which is never sent; leave out # and what follows"
    if _BAD_ESCAPE.search(url):
        return "has a % that starts no escape; write %25"
    authority = url.split("/", 3)[2].partition("?")[0]
    if "@" in authority:
        return "carries credentials; take them out, the request is signed (or use spec.connection.headers)"
    return _authority_fault(authority)


def _authority_fault(authority: str) -> str | None:
    host, colon, port = authority, "", ""
    if not authority.endswith("]"):
        head, colon, port = authority.rpartition(":")
        host = head if colon else authority
    if not _HOST.fullmatch(host):
        return "has a host that is neither a name nor an address; IPv6 goes into brackets"
    if colon and not (_PORT.fullmatch(port) and int(port) <= 65535):
        return "has a port that is not 1 to 65535"
    return None
