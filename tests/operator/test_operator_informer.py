"""Lists and watches over real HTTP: what is told, from where it goes on, and that nothing that went stays untold."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from cronix_operator.core.model import KubeObject
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.informer import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, Informer
from operator_fakes.loopback import serving
from operator_fakes.world import in_loop

PATH = "/apis/batch/v1/cronjobs"
SELECTOR = "app.kubernetes.io/managed-by=cronix-operator"
Object = dict[str, Any]
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


def cron_job(name: str, version: int, **spec: Any) -> Object:
    meta = {"namespace": "shop", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": meta, "spec": spec}


class Server:
    """What a list answers, page by page, and what each watch says before it ends; the last one says nothing more.

    `asked`: the query of each request. In a watch bytes are sent as they are, an int is an HTTP status, `CUT` breaks
    the connection, `SILENT` leaves it open and says nothing more.
    """

    CUT, SILENT = object(), object()

    def __init__(self) -> None:
        self.pages: list[list[Object]] = [[]]
        self.version = 10
        self.watches: list[list[object]] = []
        self.asked: list[dict[str, str]] = []
        self.open = 0
        self.after_watch: Callable[[], None] = lambda: None

    @property
    def lists(self) -> int:
        return sum("watch" not in query for query in self.asked)

    async def until_asked(self, count: int) -> None:
        """Until there were so many requests."""
        for _ in range(1000):
            if len(self.asked) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.asked)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(query)
        assert query["labelSelector"] == SELECTOR
        if "watch" not in query:
            number = int(query.get("continue", "0"))
            more = str(number + 1) if number + 1 < len(self.pages) else ""
            meta = {"resourceVersion": str(self.version), "continue": more}
            return web.json_response({"metadata": meta, "items": self.pages[number]})
        script = self.watches.pop(0) if self.watches else None
        self.after_watch()
        if script and isinstance(script[0], int):
            return web.json_response({"kind": "Status", "message": "no"}, status=script[0])
        response = web.StreamResponse()
        await response.prepare(request)
        self.open += 1
        for event in script or []:
            if event is self.CUT:
                assert request.transport is not None
                request.transport.abort()
                return response
            if event is self.SILENT:
                await asyncio.sleep(60)
            await response.write(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n")
        if script is None:
            await asyncio.sleep(60)
        return response


class Listener:
    """Notes what it is told; raises on the names in `bad`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.bad: set[str] = set()
        self.pauses: list[float] = []

    def saw(self, body: KubeObject, *, deleted: bool) -> None:
        name = body["metadata"]["name"]
        if name in self.bad:
            raise KeyError(name)
        self.told.append(("deleted" if deleted else "saw", name))

    def went(self, namespace: str, name: str, uid: str) -> None:
        assert (namespace, uid) == ("shop", f"uid-{name}")
        self.told.append(("went", name))

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def until(self, *told: tuple[str, str]) -> None:
        """Until it was told so much; then it must be exactly this."""
        for _ in range(1000):
            if len(self.told) >= len(told):
                break
            await asyncio.sleep(0.01)
        assert self.told == list(told)


@contextlib.asynccontextmanager
async def informed(server: Server, listener: Listener, silence_seconds: float = 60) -> AsyncIterator[None]:
    """An informer at work; it must still be at the end."""
    async with serving(server.answer) as kubeconfig, ApiServer(kubeconfig) as api:
        informer = Informer(api, PATH, SELECTOR, listener.saw, listener.went, listener.sleep, silence_seconds)
        task = asyncio.create_task(informer.run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@in_loop
async def test_all_there_is_is_told_once_and_then_each_change() -> None:
    """A page of 500 is not all there is; a deletion comes with the object as it was."""
    server, listener = Server(), Listener()
    server.pages = [[cron_job("a", 3), cron_job("b", 4)], [cron_job("c", 5)]]
    server.watches = [[
        {"type": "MODIFIED", "object": cron_job("b", 11)},
        {"type": "BOOKMARK", "object": {"kind": "CronJob", "metadata": {"resourceVersion": "12"}}},
        {"type": "DELETED", "object": cron_job("a", 13)},
        {"type": "ADDED", "object": cron_job("d", 14)},
    ]]  # fmt: skip
    listed = [("saw", "a"), ("saw", "b"), ("saw", "c")]
    async with informed(server, listener):
        await listener.until(*listed, ("saw", "b"), ("deleted", "a"), ("saw", "d"))
        await server.until_asked(4)
    first, second = [query for query in server.asked if "watch" in query]
    assert (first["resourceVersion"], first["allowWatchBookmarks"]) == ("10", "true")
    assert second["resourceVersion"] == "14"
    assert server.lists == 2, "two pages, once"


@pytest.mark.parametrize("end", [Server.CUT, b'{"type":"MODIFIED","obj'], ids=["cut", "half an event"])
def test_a_watch_that_breaks_goes_on_where_it_was(end: object) -> None:
    """Nothing is listed again, and nothing that happens meanwhile is lost."""

    @in_loop
    async def run() -> None:
        server, listener = Server(), Listener()
        server.watches = [
            [{"type": "ADDED", "object": cron_job("a", 11)}, end],
            [{"type": "ADDED", "object": cron_job("b", 12)}],
        ]
        async with informed(server, listener):
            await listener.until(("saw", "a"), ("saw", "b"))
        assert server.lists == 1
        assert [query["resourceVersion"] for query in server.asked if "watch" in query][:2] == ["10", "11"]

    run()


@in_loop
async def test_a_watch_that_falls_silent_is_asked_anew_from_where_it_was() -> None:
    """A connection that is dead without having ended: a server that is there sends bookmarks. No list, no warning."""
    server, listener = Server(), Listener()
    server.watches = [
        [{"type": "ADDED", "object": cron_job("a", 11)}, Server.SILENT],
        [{"type": "ADDED", "object": cron_job("b", 12)}],
    ]
    async with informed(server, listener, silence_seconds=1):
        await listener.until(("saw", "a"), ("saw", "b"))
    assert server.lists == 1
    assert [query["resourceVersion"] for query in server.asked if "watch" in query][:2] == ["10", "11"]
    assert set(listener.pauses) == {FIRST_PAUSE_SECONDS}


@pytest.mark.parametrize("end", [[GONE], [410], [403], [{"type": "ADDED", "object": {}}]], ids=str)
def test_what_went_while_nobody_watched_is_told_by_the_next_list(end: list[object]) -> None:
    """Also the last one, of which no list can tell: kopf says nothing of either."""

    @in_loop
    async def run() -> None:
        server, listener = Server(), Listener()
        server.pages = [[cron_job("a", 3)]]
        server.watches = [end]
        server.after_watch = lambda: setattr(server, "pages", [[]])
        async with informed(server, listener):
            await listener.until(("saw", "a"), ("went", "a"))
        assert server.lists == 2

    run()


@in_loop
async def test_one_object_that_cannot_be_handled_does_not_hide_the_others() -> None:
    """Promise 7; and it is not told again and again."""
    server, listener = Server(), Listener()
    listener.bad = {"bad", "worse"}
    server.pages = [[cron_job("bad", 3), cron_job("a", 4)]]
    server.watches = [[{"type": "ADDED", "object": cron_job(name, 11 + n)} for n, name in enumerate(["worse", "b"])]]
    async with informed(server, listener):
        await listener.until(("saw", "a"), ("saw", "b"))
        await server.until_asked(3)
    assert server.asked[-1]["resourceVersion"] == "12"


@in_loop
async def test_an_object_of_megabytes_arrives() -> None:
    """The longest that Kubernetes stores is a MiB and a half; a line of it comes in many pieces."""
    server, listener = Server(), Listener()
    server.watches = [[{"type": "ADDED", "object": cron_job("big", 11, text="x" * 2_000_000)}]]
    async with informed(server, listener):
        await listener.until(("saw", "big"))


@in_loop
async def test_a_server_that_refuses_is_asked_ever_more_slowly_and_one_that_hangs_up_not_without_a_pause() -> None:
    server, listener = Server(), Listener()
    server.watches = [[status] for status in [500] * 8]
    server.watches += [[], [], []]
    async with informed(server, listener):
        await server.until_asked(8 + 9 + 3)
    growing, level = listener.pauses[:8], listener.pauses[8:11]
    assert growing == sorted(growing)
    assert (growing[0], growing[-1]) == (FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
    assert level == [FIRST_PAUSE_SECONDS] * 3


@in_loop
async def test_watches_do_not_use_up_the_connections_of_requests() -> None:
    """Three for each namespace that is watched: a hundred namespaces are three hundred."""
    server, listeners = Server(), [Listener() for _ in range(150)]
    async with serving(server.answer) as kubeconfig, ApiServer(kubeconfig) as api:
        tasks = [asyncio.create_task(Informer(api, PATH, SELECTOR, one.saw, one.went).run()) for one in listeners]
        for _ in range(1000):
            if server.open == len(tasks):
                break
            await asyncio.sleep(0.01)
        assert server.open == len(tasks)
        reply = await asyncio.wait_for(api.request("GET", PATH, query={"labelSelector": SELECTOR}), 20)
        assert reply.ok
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
