"""ASGI 3: the raw body and the path as sent, before any framework has touched them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cronix_sdk.request import as_sent, route_of, wire_text

if TYPE_CHECKING:
    from cronix_sdk.cron import Cron
    from cronix_sdk.response import Response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

_PATH_SAFE = "/:@!$&'()*+,;=-._~"


def path_as_sent(scope: Scope) -> str:
    """Path and query as they came over the wire: `raw_path`, which common servers give, else a re-quoted `path`."""
    raw = scope.get("raw_path")
    if raw:
        # Some test clients put the query into raw_path as well.
        path = wire_text(raw.decode("latin-1")).partition("?")[0]
    else:
        path = quote(scope["path"], safe=_PATH_SAFE, errors="surrogateescape")
    query = wire_text(scope.get("query_string", b"").decode("latin-1"))
    return as_sent(f"{path}?{query}" if query else path)


async def read_body(receive: Receive, limit_bytes: int, timeout_seconds: float) -> bytes:
    """The body, a little over the limit at most; what has come when the client is gone or nothing more comes.

    A middleware that has read the body leaves nothing to receive, and a server then waits for ever: hence the timeout.
    """
    import asyncio

    chunks: list[bytes] = []
    size = 0
    while size <= limit_bytes:
        try:
            message = await asyncio.wait_for(receive(), timeout_seconds)
        except TimeoutError:
            break
        if message["type"] != "http.request":
            break
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if not message.get("more_body", False):
            break
    return b"".join(chunks)


def asgi_app(cron: Cron, inner: AsgiApp | None) -> AsgiApp:
    """See `Cron.asgi`."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = path_as_sent(scope) if scope["type"] == "http" else ""
        if path and (inner is None or cron.serves(route_of(path))):
            body = await read_body(receive, cron.max_body_bytes, cron.body_timeout_seconds)
            answer = await cron.handle_async(method=scope["method"], path=path, headers=scope["headers"], body=body)
            await send_response(answer, send)
        elif inner is not None:
            await inner(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    return application


async def send_response(answer: Response, send: Send) -> None:
    """Hand the answer to the server."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
