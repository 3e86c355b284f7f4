"""Bytes of an HTTP/1.x answer in, status and body out, whatever the server does; reads only through ``receive``.

The answer is the status line: once its head has come whole, nothing in the body can take the status back. A run that
the app has acknowledged must not be sent again because the connection broke while it said goodbye.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

MAX_HEAD_BYTES: "Final" = 64 * 1024
MAX_BODY_BYTES: "Final" = 64 * 1024
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class AnswerInvalid(Exception):
    """What came is no HTTP answer; the message says what is wrong with it."""


class Answer:
    """What has come so far. ``status`` is 0 until a whole final head was read; ``fault`` tells why a body ends early.

    It is filled in place, so that whoever interrupts the reading knows what the server had said by then.
    """

    __slots__ = ("body", "fault", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.fault = ""


def read_answer(receive: "Callable[[], bytes]", answer: Answer) -> None:
    """Fill ``answer`` from ``receive``, which returns some bytes, or ``b""`` at the end of the stream.

    Interim answers (100, 103) are skipped, 101 is final. Raises ``AnswerInvalid``, or whatever ``receive`` raises, only
    as long as ``status`` is 0; after that a broken, endless or late body ends in ``fault``. At most 64 KiB of head and
    64 KiB of body are read.
    """
    stream = _Stream(receive)
    while True:
        status, headers = _read_head(stream)
        if status == 101 or not 100 <= status <= 199:
            break
    answer.headers = headers
    answer.status = status
    body = bytearray()
    try:
        if status not in {204, 304} and status >= 200:
            _read_body(stream, headers, body)
    except (AnswerInvalid, OSError) as error:
        answer.fault = str(error)
    finally:
        answer.body = bytes(body[:MAX_BODY_BYTES])


class _Stream:
    """What was received and not yet taken."""

    __slots__ = ("_buffer", "_head_left", "_receive")

    def __init__(self, receive: "Callable[[], bytes]") -> None:
        self._receive = receive
        self._buffer = bytearray()
        self._head_left = MAX_HEAD_BYTES

    def _more(self) -> None:
        data = self._receive()
        if not data:
            raise AnswerInvalid("the server closed the connection in the middle of its answer")
        self._buffer += data

    def line(self) -> bytes:
        """Take one line without its end; lines count against the limit of the head."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > self._head_left:
                break
            self._more()
        self._head_left -= end + 1
        if end < 0 or self._head_left < 0:
            raise AnswerInvalid(f"the head of the answer is longer than {MAX_HEAD_BYTES} bytes")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def exactly(self, count: int, into: bytearray) -> None:
        """Move ``count`` bytes to ``into``; those that come before the stream breaks are moved too."""
        while True:
            part = self._buffer[:count]
            into += part
            del self._buffer[: len(part)]
            count -= len(part)
            if not count:
                return
            self._more()

    def rest(self, limit: int, into: bytearray) -> None:
        """Move all until the stream ends, ``limit`` bytes at most, to ``into``."""
        while True:
            into += self._buffer
            self._buffer.clear()
            if len(into) >= limit or not (data := self._receive()):
                return
            self._buffer += data


def _read_head(stream: _Stream) -> tuple[int, dict[str, str]]:
    first = stream.line()
    version, _, rest = first.partition(b" ")
    code = rest[:3] if rest[3:4] in {b"", b" "} else b""
    if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not code.isdigit() or not b"100" <= code <= b"999":
        raise AnswerInvalid("the server's answer is not HTTP/1.x")
    headers: dict[str, str] = {}
    while line := stream.line():
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN.issuperset(name):
            raise AnswerInvalid("the head of the answer has a line that is no header")
        key = name.decode("ascii").lower()
        text = value.decode("latin-1").strip(" \t")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return int(code), headers


def _read_body(stream: _Stream, headers: dict[str, str], body: bytearray) -> None:
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked":
            raise AnswerInvalid("the body has a transfer encoding that was not asked for")
        _read_chunks(stream, body)
        return
    length = headers.get("content-length")
    if length is None:
        stream.rest(MAX_BODY_BYTES, body)
        return
    if not (length.isascii() and length.isdigit()):
        raise AnswerInvalid("the body has no length that can be read")
    stream.exactly(int(length) if len(length) < 9 and int(length) < MAX_BODY_BYTES else MAX_BODY_BYTES, body)


def _read_chunks(stream: _Stream, body: bytearray) -> None:
    while len(body) < MAX_BODY_BYTES:
        size_text = stream.line().partition(b";")[0].strip(b" \t")
        if not 0 < len(size_text) <= 8 or not frozenset(b"0123456789abcdefABCDEF").issuperset(size_text):
            raise AnswerInvalid("the body has a chunk without a size")
        size = int(size_text, 16)
        if size == 0:
            return
        stream.exactly(min(size, MAX_BODY_BYTES), body)
        if size >= MAX_BODY_BYTES:
            return
        if stream.line():
            raise AnswerInvalid("the body has a chunk longer than its size")
