"""Loopback servers that misbehave on purpose, inside the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class HostileServer:
    """A TCP server on loopback; `requests` has the head of each request as it came."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[bytes] = []
        self.connections = 0


@contextlib.asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileServer]:
    """Serve with `handler`, called once the head of a request is read."""
    found = HostileServer(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            found.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await handler(reader, writer)
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.create_task(serve(reader, writer)))

    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # the transports close in the loop's next turn


def says(*parts: bytes | float) -> Handler:
    """Send the parts, sleeping where a number stands; then close."""

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)

    return handle


def answers(status: int, body: bytes = b"", **headers: str) -> Handler:
    """A plain answer with a right Content-Length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return says("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def endless(start: bytes, chunk: bytes, pause_seconds: float = 0.0) -> Handler:
    """Send `start`, then `chunk` for ever."""

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause_seconds)

    return handle
