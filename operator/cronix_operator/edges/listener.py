"""A port that answers GET requests from inside the operator's own event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web


class Listener:
    """Serves `routes` (path → handler) on every interface of `port`; without a port it serves nothing."""

    def __init__(
        self, port: int | None, routes: Mapping[str, Callable[[web.Request], Awaitable[web.Response]]]
    ) -> None:
        self._port = port
        self._routes = routes
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; OSError when the port is taken."""
        if self._port is None:
            return
        app = web.Application()
        for path, handler in self._routes.items():
            app.router.add_get(path, handler)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self._port).start()

    async def stop(self) -> None:
        """Close the listener."""
        if self._runner is not None:
            await self._runner.cleanup()
