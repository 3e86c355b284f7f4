"""One deadline over DNS, connect, send and read, which nothing can stretch; the next address is tried in time."""

from __future__ import annotations

import _socket
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cronix_protocol.joburl import split_url
from cronix_shim.answer import Answer
from cronix_shim.transport import AttemptFailed, Tls, send
from shim.shim_helpers import Server, answer

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = answer(200, b"done")


def call(url: str, seconds: float, request: bytes = REQUEST) -> Answer:
    got = Answer()
    send(split_url(url), Tls(), request, seconds, got)
    return got


class BlackHole:
    """A listening socket whose queue is full: further connections hang as if packets were dropped."""

    def __enter__(self) -> int:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        address = self.listener.getsockname()
        self.waiting = []
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(address)
            self.waiting.append(waiting)
        return int(address[1])

    def __exit__(self, *_: object) -> None:
        for one in [*self.waiting, self.listener]:
            one.close()


def test_dns_that_never_answers_costs_no_more_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """getaddrinfo has no timeout of its own; the attempt ends all the same, while it still hangs."""
    release = threading.Event()

    def hang(*_: object) -> list[Any]:
        release.wait(60)
        return []

    monkeypatch.setattr(_socket, "getaddrinfo", hang)
    try:
        with pytest.raises(AttemptFailed, match=r"timed out after 0\.3 s"):
            call("http://slow.example/", 0.3)
    finally:
        assert not release.is_set()
        release.set()


def test_connection_that_nobody_answers() -> None:
    """A full queue: the deadline ends it."""
    with BlackHole() as port, pytest.raises(AttemptFailed, match=r"timed out after 0\.3 s"):
        call(f"http://127.0.0.1:{port}/", 0.3)


def test_address_that_swallows_packets_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address gets its share of what is left."""
    with BlackHole() as dead, Server(OK) as server:
        entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (dead, server.port)]
        monkeypatch.setattr(_socket, "getaddrinfo", lambda *_: entries)
        assert call("http://two.example/", 2).status == 200


def test_first_address_refused_second_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with localhost on ::1 and 127.0.0.1; a family that the kernel lacks is passed over too."""
    with Server(OK) as server:
        entries = [
            (999, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(_socket, "getaddrinfo", lambda *_: entries)
        assert call("http://three.example/", 5).status == 200


def test_server_that_does_not_read() -> None:
    """Sending has the same deadline: a megabyte into a window that stays shut."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with pytest.raises(AttemptFailed, match=r"timed out after 0\.5 s"):
            call(f"http://127.0.0.1:{listener.getsockname()[1]}/", 0.5, REQUEST + b"x" * 8_000_000)


def test_drip_ends_at_the_deadline_of_the_attempt() -> None:
    """C-performance: single bytes cannot stretch an attempt, neither in the head nor in the body."""

    def drip(connection: socket.socket) -> None:
        for _ in range(600):
            connection.sendall(b"H")
            time.sleep(0.05)

    with Server(drip) as server:
        started = time.monotonic()
        with pytest.raises(AttemptFailed, match=r"timed out after 0\.5 s"):
            call(server.url(), 0.5)
        assert time.monotonic() - started < 30 / 2  # the server drips for 30 s


def test_no_descriptor_is_left_open() -> None:
    """Whatever the end: the socket is closed."""
    open_files = Path("/proc/self/fd")
    before = len(list(open_files.iterdir()))
    for _ in range(5):
        with pytest.raises(AttemptFailed):
            call("http://127.0.0.1:1/", 1)
    assert len(list(open_files.iterdir())) <= before + 1
