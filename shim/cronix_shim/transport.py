"""One request over one fresh connection before one deadline: bytes out, an Answer in; the only socket of the signer.

Python's own clients (``http.client``, ``socket``) cost more to import than everything else the signer does together,
and time out per call, which lets a server that sends a byte a second hold a run for ever. Here each blocking call gets
what is left of the attempt's one deadline: DNS, connect, TLS, send and read.
"""

import _socket
import _thread
import time

from .answer import Answer, AnswerInvalid, read_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from cronix_protocol.joburl import Url

    from .tlsclient import TlsConnection

    _Address = tuple[int, int, int, str, tuple[object, ...]]

_RECEIVE_BYTES: "Final" = 65536


class AttemptFailed(Exception):
    """No answer came; the message says what failed and where, in words for a log."""


class Tls:
    """Files for https: trusted CAs (empty: the system's), client certificate and key (empty: none)."""

    __slots__ = ("ca_file", "cert_file", "key_file")

    def __init__(self, ca_file: str = "", cert_file: str = "", key_file: str = "") -> None:
        self.ca_file = ca_file
        self.cert_file = cert_file
        self.key_file = key_file


class Socket(_socket.socket):
    """The C socket, able to be weakly referred to, which is how TLS holds it."""

    __slots__ = ("__weakref__",)


class Deadline:
    """The end of an attempt on a clock that nobody can set."""

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, more than 0, or raise ``TimeoutError``."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"timed out after {self.seconds:g} s")
        return left


def send(url: "Url", tls: Tls, request: bytes, timeout_seconds: float, answer: Answer) -> None:
    """Connect to ``url``, send ``request`` and fill ``answer``, all within ``timeout_seconds``.

    With https the certificate must be good for ``url.host``, the host connected to, which is also the name sent (SNI).
    Raises ``AttemptFailed`` while no whole head of an answer has come. No proxy, no redirect, no connection reuse.
    """
    deadline = Deadline(timeout_seconds)
    try:
        plain = _connect(url, deadline)
        connection: Socket | TlsConnection = plain
        try:
            if url.scheme == "https":
                from . import tlsclient  # here: a plain http run must not pay for it

                connection = tlsclient.wrap(plain, url.host, tls, deadline.left)
            send_error = _send_all(connection, request, deadline)
            try:
                read_answer(_receiver(connection, deadline), answer)
            except (OSError, AnswerInvalid) as error:
                raise (send_error or error) from None
        finally:
            connection.close()
    except (OSError, AnswerInvalid, ValueError) as error:
        raise AttemptFailed(_words(error, deadline)) from None


def _words(error: Exception, deadline: Deadline) -> str:
    try:
        deadline.left()
    except TimeoutError as late:  # whatever a call said, this is why
        return str(late)
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return str(error) or type(error).__name__


def _receiver(connection: "Socket | TlsConnection", deadline: Deadline) -> "Callable[[], bytes]":
    def receive() -> bytes:
        connection.settimeout(deadline.left())
        try:
            return connection.recv(_RECEIVE_BYTES)
        except TimeoutError:
            deadline.left()  # raises, in our words
            raise

    return receive


def _send_all(connection: "Socket | TlsConnection", request: bytes, deadline: Deadline) -> OSError | None:
    """Send; when the server stops listening, return the error: it may have answered already (401, 413) and hung up."""
    view = memoryview(request)
    try:
        while view:
            connection.settimeout(deadline.left())
            view = view[connection.send(view) :]
    except (BrokenPipeError, ConnectionResetError) as error:
        return error
    return None


def _connect(url: "Url", deadline: Deadline) -> Socket:
    addresses = _resolve(url.host, url.port, deadline)
    error: Exception = AttemptFailed("no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            connection = Socket(family, kind, protocol)
        except OSError as no_family:  # no IPv6 in this kernel
            error = no_family
            continue
        try:
            # A share of what is left, so that an address that swallows packets leaves time for the next one.
            connection.settimeout(deadline.left() / (len(addresses) - tried))
            connection.connect(address)
        except OSError as refused:
            connection.close()
            error = refused
        except BaseException:  # a signal
            connection.close()
            raise
        else:
            return connection
    raise OSError(0, f"connect to {url.host} port {url.port}: {_words(error, deadline)}")


def _resolve(host: str, port: int, deadline: Deadline) -> "list[_Address]":
    """Look ``host`` up in a thread: getaddrinfo knows no timeout, and no signal gets through to it."""
    found: list[list[_Address]] = []
    failed: list[OSError] = []
    done = _thread.allocate_lock()

    def look_up() -> None:
        try:
            # bytes: a str would load the idna codec.
            found.append(_socket.getaddrinfo(host.encode("ascii"), port, 0, _socket.SOCK_STREAM))  # type: ignore[arg-type]
        except OSError as error:
            failed.append(error)
        finally:
            done.release()

    done.acquire()
    if ":" in host or host.replace(".", "").isdigit():  # an address: no server is asked
        look_up()
    else:
        try:
            _thread.start_new_thread(look_up, ())
        except RuntimeError as error:  # the pod's limit of processes
            raise OSError(0, f"look up {host}: {error}") from None
        if not done.acquire(timeout=deadline.left()):
            raise TimeoutError(f"look up {host}: no answer from DNS")
    if failed:
        raise OSError(0, f"look up {host}: {failed[0].strerror or failed[0]}")
    return found[0]
