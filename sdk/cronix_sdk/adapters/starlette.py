"""Starlette: routes that take the raw body through the request, so that a middleware which cached it is no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from cronix_sdk.adapters.asgi import path_as_sent
from cronix_sdk.request import MANIFEST_PATH, TRIGGER_PREFIX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cronix_sdk.cron import Cron

    Endpoint = Callable[[Request], Awaitable[StarletteResponse]]

# The SDK itself says which method is wrong, with the protocol's code.
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def endpoint(cron: Cron) -> Endpoint:
    """The one endpoint for all routes."""

    async def cron_endpoint(request: Request) -> StarletteResponse:
        answer = await cron.handle_async(
            method=request.method,
            path=path_as_sent(request.scope),
            headers=request.headers.raw,
            body=await _body(request, cron),
        )
        return StarletteResponse(answer.body, answer.status, dict(answer.headers))

    return cron_endpoint


def route_paths(cron: Cron) -> list[str]:
    """The paths to route: the manifest's, the triggers', and those of jobs with a URL of their own."""
    return [MANIFEST_PATH, f"{TRIGGER_PREFIX}{{rest:path}}", *cron.own_routes]


def routes(cron: Cron) -> list[Route]:
    """See `Cron.starlette`."""
    return [Route(path, endpoint(cron), methods=METHODS) for path in route_paths(cron)]


async def _body(request: Request, cron: Cron) -> bytes:
    """The whole body; what is missing of it shows in its length. See `adapters.asgi.read_body` about the timeout."""
    import asyncio

    try:
        return await asyncio.wait_for(_limited(request, cron.max_body_bytes), cron.body_timeout_seconds)
    except (TimeoutError, ClientDisconnect, RuntimeError):
        # RuntimeError: Starlette's word for a stream that somebody has read already.
        return b""


async def _limited(request: Request, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit_bytes:
            break
    return b"".join(chunks)
