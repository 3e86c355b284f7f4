"""Servers that misbehave on purpose, and the signer run as its image runs it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cronix_protocol.outcome import Outcome, parse_outcome

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parents[2]
KEY = "canary-key-0123456789abcdef"
APP_UID = "5d3c9a36-6d2f-4a55-9a20-9f1a3d7c0a11"

# What the image's ENTRYPOINT does, on the source tree: nothing of the environment or of site-packages is seen.
PROGRAM = (
    f"import sys; sys.path[:0] = [{str(ROOT / 'spec')!r}, {str(ROOT / 'shim')!r}]\n"
    "import posix\n"
    "from cronix_shim.__main__ import main\n"
    "posix._exit(main())\n"
)


def says(*parts: bytes | float) -> Callable[[socket.socket], None]:
    """Send the parts one after the other, sleeping where a number stands; then close."""

    def handle(connection: socket.socket) -> None:
        for part in parts:
            if isinstance(part, bytes):
                connection.sendall(part)
            else:
                time.sleep(part)

    return handle


def drips(text: bytes, every_seconds: float) -> Callable[[socket.socket], None]:
    """Send one byte at a time."""
    return says(*(part for byte in text for part in (bytes([byte]), every_seconds)))


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[[socket.socket], None]:
    """A plain answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return says("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def read_request(connection: socket.socket) -> bytes:
    """Read head and, by Content-Length, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            break
        body += more
    return head + b"\r\n\r\n" + body


class Server:
    """Answers the n-th connection with the n-th handler, the last one again and again; keeps what it was asked."""

    def __init__(
        self,
        *handlers: Callable[[socket.socket], None],
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        reads: bool = True,
    ) -> None:
        self._handlers = handlers
        self._tls = tls
        self._reads = reads
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind((host, 0))
        self._listener.listen(16)
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def url(self, path: str = "/run", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            handler = self._handlers[min(self.connections, len(self._handlers) - 1)]
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection, handler), daemon=True).start()

    def _talk(self, connection: socket.socket, handler: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                request = read_request(connection) if self._reads else b""
                if request:
                    self.requests.append(request)
                    self.asked.set()
                handler(connection)
                # Closing with unread data would reset the connection and could lose the answer.
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def headers_of(request: bytes) -> dict[str, str]:
    """Header names in lower case to values; a name that comes twice fails."""
    lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    assert len(dict(pairs)) == len(pairs), f"a header is sent twice: {pairs}"
    return dict(pairs)


def job_file(url: str, *, fire: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A job file for ``url``: two attempts without a wait between them, ten seconds each."""
    retries = {"max_attempts": 2, "min_seconds": 0, "max_seconds": 1} | changes.pop("retries", {})
    request = {"method": "POST", "url": url, "headers": {}, "body": '{"n":1}'} | changes.pop("request", {})
    job = {"name": "reconcile", "schedules": ["* * * * *"], "timezone": "UTC", "request": request}
    job["policy"] = {"timeout_seconds": changes.pop("timeout_seconds", 10), "retries": retries}
    text: dict[str, Any] = {"app": "billing", "job": job, "secret_refs": ["env:CRON_KEY"], "schedule_index": 0}
    if fire is not None:
        text["fire"] = dict(fire)
    return text | changes


def _command(prelude: str) -> list[str]:
    """The signer from source; or the one of an image's unpacked files, where CRONIX_SIGNER_ROOT names their folder.

    For the latter /tmp must be the same inside (mount --bind), and it needs root.
    """
    root = os.environ.get("CRONIX_SIGNER_ROOT")
    if root and not prelude:
        return ["/usr/sbin/chroot", root, "/usr/bin/python3.13", "-I", "-S", "-B", "/usr/lib/cronix-signer.pyc"]
    return [sys.executable, "-I", "-S", "-c", PROGRAM.replace("import posix\n", "import posix\n" + prelude)]


class Finished:
    """What a run of the program left behind."""

    def __init__(self, exit_code: int, stdout: bytes, stderr: bytes, message: str, seconds: float) -> None:
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr
        self.message = message
        self.seconds = seconds
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in stdout.splitlines() if line.startswith(b"{")]

    @property
    def outcome(self) -> Outcome:
        outcome = parse_outcome(self.message)
        assert outcome is not None, f"no outcome in {self.message!r}; stdout {self.stdout!r}; stderr {self.stderr!r}"
        return outcome

    @property
    def words(self) -> list[str]:
        """Level and msg of each line."""
        return [f"{line['level']} {line['msg'].removeprefix('trigger: ')}" for line in self.lines]


class Program:
    """The signer as a process; ``finish`` waits for it."""

    def __init__(
        self,
        job: Mapping[str, Any] | str | None,
        *,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        stdout: int = subprocess.PIPE,
        prelude: str = "",
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._message = Path(self._folder.name, "termination-log")
        self._message.write_text("left over from an earlier container, longer than what will be written " * 100)
        environment = {"CRON_KEY": KEY, "CRONIX_TERMINATION_LOG": str(self._message)}
        if job is not None:
            environment["CRONIX_JOB"] = job if isinstance(job, str) else json.dumps(job)
        self._start = time.monotonic()
        self.process = subprocess.Popen(
            [*_command(prelude), *arguments],
            env=environment | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd="/",
            process_group=0,  # a signal for the tests' group is not one for the signer
        )

    def finish(self, timeout: float = 60) -> Finished:
        stdout, stderr = self.process.communicate(timeout=timeout)
        seconds = time.monotonic() - self._start
        with self._folder:
            message = self._message.read_text()
        return Finished(self.process.returncode, stdout or b"", stderr, message, seconds)


def run(job: Mapping[str, Any] | str | None, **options: Any) -> Finished:
    """Run the program to its end."""
    return Program(job, **options).finish()
