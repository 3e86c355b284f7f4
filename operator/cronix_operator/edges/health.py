"""/healthz and /readyz over HTTP: 200 while the work loop turns, 503 when it does not."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web


class HealthServer:
    """Serves the probes on every interface, for the kubelet calls from the node."""

    def __init__(self, port: int, is_turning: Callable[[], bool]) -> None:
        self._port = port
        self._is_turning = is_turning
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; OSError when the port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._answer)
        app.router.add_get("/readyz", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self._port).start()

    async def stop(self) -> None:
        """Close the listener."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, _request: web.Request) -> web.Response:
        if self._is_turning():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the work loop has not turned for 30 s\n")
