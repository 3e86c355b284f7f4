"""/healthz and /readyz over HTTP: 200 while the loop turns and nothing is missing, 503 with the reason otherwise."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from cronix_operator.edges.listener import Listener


class HealthServer(Listener):
    """Serves the probes on every interface, for the kubelet calls from the node.

    It lives in the operator's own event loop on purpose: a loop that is blocked cannot answer, which is what the
    liveness probe is there to find. `ill` and `unready` give the reason, or nothing.
    """

    def __init__(self, port: int, ill: Callable[[], str], unready: Callable[[], str]) -> None:
        super().__init__(port, {"/healthz": self._alive, "/readyz": self._ready})
        self._ill = ill
        self._unready = unready

    async def _alive(self, _request: web.Request) -> web.Response:
        return _answer(self._ill())

    async def _ready(self, _request: web.Request) -> web.Response:
        return _answer(self._ill() or self._unready())


def _answer(fault: str) -> web.Response:
    return web.Response(status=503, text=f"{fault}\n") if fault else web.Response(text="ok\n")
