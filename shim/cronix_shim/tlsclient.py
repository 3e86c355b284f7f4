"""A TLS client on a connected socket: the certificate is verified before a byte is sent, or there is no connection.

This is OpenSSL through ``_ssl``, the C half of the ``ssl`` module: the other half, enums for the most part, takes twice
as long to import as the interpreter to start. No decision about TLS is taken here: a ``PROTOCOL_TLS_CLIENT`` context
requires a certificate and checks the host name by itself, in C. ``tests/shim/test_shim_tls.py`` holds it to that.
"""

import _ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .transport import Socket, Tls


class TlsConnection:
    """What the transport needs of a socket, encrypted."""

    __slots__ = ("_plain", "_tls")

    def __init__(self, plain: "Socket", tls: "Any") -> None:
        self._plain = plain
        self._tls = tls

    def settimeout(self, seconds: float) -> None:
        """Set the timeout of the next call."""
        self._plain.settimeout(seconds)

    def send(self, data: memoryview) -> int:
        """Send some of the data; return how much."""
        sent: int = self._tls.write(data)
        return sent

    def recv(self, count: int) -> bytes:
        """Return some bytes, ``b""`` at the end, announced or not: the body's length tells what is missing."""
        try:
            data: bytes = self._tls.read(count)
        except _ssl.SSLEOFError:
            return b""
        return data

    def close(self) -> None:
        """Close the connection."""
        self._plain.close()


def wrap(plain: "Socket", host: str, tls: "Tls", time_left: "Callable[[], float]") -> TlsConnection:
    """Shake hands with ``host`` and return the connection; raises ``OSError`` whose ``strerror`` says what is wrong.

    The certificate must be valid for ``host`` (a name or an address) under ``tls.ca_file``, or under the system's CAs
    where that is empty.
    """
    try:
        connection = _context(tls)._wrap_socket(plain, server_side=False, server_hostname=host.rstrip("."))
        plain.settimeout(time_left())
        connection.do_handshake()
    except _ssl.SSLCertVerificationError as error:
        raise OSError(0, f"TLS to {host}: {error.verify_message}") from None
    except _ssl.SSLError as error:
        raise OSError(0, f"TLS to {host}: {error.reason or error.strerror}") from None
    except FileNotFoundError as error:
        files = " ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
        raise OSError(0, f"TLS to {host}: one of {files}: {error.strerror}") from None
    return TlsConnection(plain, connection)


def _context(tls: "Tls") -> "Any":
    context: Any = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)
    if not context.check_hostname or context.verify_mode != _ssl.CERT_REQUIRED:
        raise OSError(0, "this interpreter's TLS would not verify the server")  # cannot be; must not be
    context.minimum_version = _ssl.PROTO_TLSv1_2
    # As ssl.create_default_context since 3.13: chains by the letter of RFC 5280, and a trusted CA need not be a root.
    context.verify_flags |= _ssl.VERIFY_X509_STRICT | _ssl.VERIFY_X509_PARTIAL_CHAIN
    context._set_alpn_protocols(b"\x08http/1.1")
    if tls.ca_file:
        context.load_verify_locations(tls.ca_file, None, None)
    else:
        context.set_default_verify_paths()
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file or None)
    return context
