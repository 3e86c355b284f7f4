"""Servers on loopback: an API server by a test's handler, the rules about addresses but for this one, resolvers."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from aiohttp import web

from cronix_operator.core.targets import Address, is_forbidden_address


def loopback_is_open(address: Address) -> bool:
    """The real rule, but for the one address where the test's server lives."""
    return address != ipaddress.ip_address("127.0.0.1") and is_forbidden_address(address)


class Resolver:
    """Gives each lookup the next list of addresses, the last one again; remembers what was asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def to_loopback() -> Resolver:
    return Resolver(["127.0.0.1"])


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """What answers every request, as the path of a kubeconfig that leads to it."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {"token": "t"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        try:
            yield file.name
        finally:
            await runner.cleanup()
