"""A proxy in front of the API server that answers, cuts, stalls and loses what a test tells it to; plain HTTP inside.

One request per connection, so that a fault hits one call and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import ssl
import threading
from collections.abc import Callable
from typing import Any

HEAD_END = b"\r\n\r\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One request, with its number from 1 since the last `reset`."""

    number: int
    method: str
    path: str

    @property
    def is_watch(self) -> bool:
        return "watch=true" in self.path

    @property
    def is_write(self) -> bool:
        return self.method != "GET" and "selfsubject" not in self.path


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a request instead of, or beside, being served.

    `status`: this answer, and the server never sees it. `lost`: no answer; the server has seen it iff `served`.
    `then`: called when the server has answered and the client has not yet. `stalls`: nothing ever comes.
    `event`: the one event of a watch that then ends.
    """

    status: int | None = None
    retry_after_seconds: int | None = None
    lost: bool = False
    served: bool = True
    then: Callable[[], None] | None = None
    stalls: bool = False
    event: dict[str, Any] | None = None


Decide = Callable[[Seen], Fault | None]


def nothing(_: Seen) -> Fault | None:
    """No fault."""
    return None


class FaultProxy:
    """Runs in a thread of its own; `decide` may be replaced at any time. `seen` has the requests since `reset`."""

    def __init__(self, server: str, authority_pem: str) -> None:
        host, _, port = server.removeprefix("https://").partition(":")
        self._upstream = (host, int(port))
        self._tls = ssl.create_default_context(cadata=authority_pem)
        self._loop = asyncio.new_event_loop()
        self._watches: set[asyncio.Task[Any]] = set()
        self._frozen = False
        self.decide: Decide = nothing
        self.seen: list[Seen] = []
        self.port = 0
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(10)

    def reset(self, decide: Decide = nothing) -> None:
        """Count from 1 again, with these faults."""
        self.seen, self.decide = [], decide

    def cut_watches(self) -> None:
        """Close every open watch in mid-air."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._watches])

    def freeze_watches(self) -> None:
        """An open watch on which anything comes from now on passes nothing on any more, and stays open."""
        self._frozen = True

    def thaw(self) -> None:
        """New watches work again; the frozen ones stay as they are until their client gives up."""
        self._frozen = False

    def close(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0.1))  # aborted transports close in the loop's next turns
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError):
            head = await reader.readuntil(HEAD_END)
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            body = await reader.readexactly(_length(head))
            request = Seen(len(self.seen) + 1, method, path)
            self.seen.append(request)
            fault = self.decide(request)
            try:
                if fault is not None and fault.stalls:
                    await reader.read()  # until the client has given up
                else:
                    await self._act(request, fault, _closing(head) + body, reader, writer)
            except asyncio.CancelledError:
                writer.transport.abort()
        writer.close()

    async def _act(
        self,
        request: Seen,
        fault: Fault | None,
        raw: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if fault is not None and (fault.status is not None or fault.event is not None):
            writer.write(_answer(fault))
            await writer.drain()
            return
        if fault is not None and fault.lost and not fault.served:
            return
        upstream, out = await asyncio.open_connection(*self._upstream, ssl=self._tls)
        try:
            out.write(raw)
            if request.is_watch:
                await self._pass_on(upstream, reader, writer)
            elif fault is None:
                writer.write(await upstream.read())
                await writer.drain()
            else:
                answer = await upstream.read()
                if fault.then is not None:
                    fault.then()
                if not fault.lost:
                    writer.write(answer)
                    await writer.drain()
        finally:
            out.transport.abort()

    async def _pass_on(
        self, upstream: asyncio.StreamReader, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            while data := await upstream.read(65536):
                if self._frozen:
                    await reader.read()  # until the client has given up: it does not even learn that the watch ended
                    return
                writer.write(data)
                await writer.drain()
        finally:
            self._watches.discard(task)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _closing(head: bytes) -> bytes:
    """The head with `Connection: close`, so that the server ends the answer by closing."""
    lines = [line for line in head[: -len(HEAD_END)].split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close"]) + HEAD_END


def _answer(fault: Fault) -> bytes:
    status = fault.status or 200
    document = fault.event or {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": "Injected",
    }  # fmt: skip
    body = json.dumps(document).encode() + b"\n"
    after = "" if fault.retry_after_seconds is None else f"Retry-After: {fault.retry_after_seconds}\r\n"
    head = f"HTTP/1.1 {status} Injected\r\nContent-Type: application/json\r\n{after}Content-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close" + HEAD_END + body
