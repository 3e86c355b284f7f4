"""Notices: one signed POST through the fetch's own guards, tried again a few times, and never in anybody's way."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from cronix_operator.core.announce import Announcement
from cronix_operator.core.errors import ReconcileError, Stalled, Waiting
from cronix_operator.core.model import Connection, Header, KeyMaterial, SecretKey, SigningKey
from cronix_operator.core.notice import notice_body
from cronix_operator.edges.notify import HttpNotifier
from cronix_operator.edges.source import HttpSource
from cronix_operator.notices import MAX_UNDER_WAY
from cronix_protocol import verify
from operator_fakes.builders import START, make_app
from operator_fakes.hostile import Handler, answers, says, serving
from operator_fakes.loopback import Resolver, loopback_is_open, to_loopback
from operator_fakes.run_world import Runs
from operator_fakes.world import KEY, in_loop

NOW = 1_763_812_800
MATERIAL = KeyMaterial(((SigningKey("current", SecretKey("keys", "current")), KEY),), (("X-Tenant", "blue"),))
HOOK = {"url": "https://hooks.example.com/cron"}
EVENT = Announcement("Warning", "AppRejected", "sync/0: AppRejected, HTTP 404")
BODY = notice_body(make_app(), EVENT, START)


async def deliver(url: str, resolver: Resolver | None = None, **spec: Any) -> None:
    app = make_app(notify={"url": url}, **{"allowInsecureHTTP": True, **spec})
    app = dataclasses.replace(app, connection=Connection((Header("X-Tenant", "blue", None),)))
    guards = HttpSource(resolver=resolver or to_loopback(), is_forbidden=loopback_is_open)
    await HttpNotifier(guards).deliver(app, BODY, MATERIAL, NOW)


async def refused(url: str, **spec: Any) -> ReconcileError:
    with pytest.raises(ReconcileError) as caught:
        await deliver(url, **spec)
    return caught.value


@in_loop
async def test_a_notice_is_one_signed_post_without_the_app_s_own_headers() -> None:
    bodies: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await reader.readexactly(len(BODY)))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    async with serving(handler) as server:
        await deliver(f"http://hooks.example.com:{server.port}/cron?to=me")
    (head,) = server.requests
    lines = head.decode().rstrip().split("\r\n")
    assert lines[0] == "POST /cron?to=me HTTP/1.1"
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert headers["host"] == f"hooks.example.com:{server.port}"
    assert "x-tenant" not in headers
    signature = headers["x-cron-signature"]
    (body,) = bodies
    assert verify(signature, secrets=[KEY], method="POST", path="/cron?to=me", body=body, now=NOW).ok


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://169.254.169.254/latest", "ForbiddenHost"),
        ("https://localhost/", "ForbiddenHost"),
        ("https://[::ffff:127.0.0.2]/", "ForbiddenHost"),
        ("http://vault.other.svc:8200/", "HostNotAllowed"),
    ],
)
def test_a_notice_reaches_nothing_that_a_fetch_may_not(url: str, reason: str) -> None:
    """S1, S2, S9: the tenant's word, but the operator's place in the network."""
    resolver = Resolver(["169.254.169.254"])
    fault = asyncio.run(refused(url, resolver=resolver))
    assert (fault.reason, resolver.asked) == (reason, [])
    assert fault.message.startswith("spec.notify.url: ")


def test_plain_http_to_elsewhere_needs_the_same_permission() -> None:
    fault = asyncio.run(refused("http://hooks.example.com/", allowInsecureHTTP=False))
    assert fault.reason == "InsecureURL"


def test_a_name_that_resolves_to_a_forbidden_address_is_not_called() -> None:
    """S3."""
    fault = asyncio.run(refused("https://hooks.example.com/", resolver=Resolver(["93.184.216.34", "127.0.0.2"])))
    assert fault.reason == "ForbiddenHost"


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (says(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"), Stalled),
        (answers(503, b"busy"), Waiting),
    ],
    ids=["redirect", "busy"],
)
def test_what_is_no_2xx_is_not_delivered(handler: Handler, kind: type[ReconcileError]) -> None:
    """S5: a redirect is not followed, and trying again is of no use."""

    @in_loop
    async def run() -> None:
        async with serving(handler) as server:
            fault = await refused(f"http://hooks.example.com:{server.port}/")
            assert isinstance(fault, kind)
            assert len(server.requests) == 1

    run()


async def settled() -> None:
    """Every notice is delivered or given up: their pauses take no time here."""
    for _ in range(30):
        await asyncio.sleep(0)


def texts(runs: Runs) -> list[tuple[str, str]]:
    return [(document["type"], document["reason"]) for document in map(json.loads, runs.world.office.taken)]


@in_loop
async def test_a_failure_and_its_recovery_are_told_and_a_success_is_not() -> None:
    runs = await Runs.standing(notify=HOOK)
    await runs.succeeds(0)
    await runs.fails(1)
    await runs.fails(2)
    await runs.succeeds(3)
    await settled()
    assert texts(runs) == [("failure", "AppRejected"), ("recovery", "Recovered")]
    document = json.loads(runs.world.office.taken[0])
    assert "no such job" in document["text"]
    assert (document["namespace"], document["name"], document["app"]) == ("shop", "billing", "billing")


@in_loop
async def test_without_a_url_nothing_is_sent() -> None:
    runs = await Runs.standing()
    await runs.fails(0)
    await settled()
    assert runs.world.office.tries == 0


@in_loop
async def test_a_receiver_that_comes_back_gets_the_notice() -> None:
    runs = await Runs.standing(notify=HOOK)
    runs.world.office.faults = [Waiting("NotifyFailed", "it answers 503")] * 2
    await runs.fails(0)
    await settled()
    assert texts(runs) == [("failure", "AppRejected")]
    assert runs.world.office.pauses == [0.0, 2.0, 10.0]
    assert "NotifyFailed" not in runs.world.events.reasons()


@pytest.mark.parametrize(
    ("fault", "tries"),
    [(Waiting("NotifyFailed", "it answers 503"), 4), (Stalled("Redirected", "it redirects"), 1)],
    ids=["away", "redirects"],
)
def test_a_notice_that_cannot_be_delivered_is_told_in_an_event(fault: ReconcileError, tries: int) -> None:
    @in_loop
    async def run() -> None:
        runs = await Runs.standing(notify=HOOK)
        runs.world.office.faults = [fault] * 9
        await runs.fails(0)
        await settled()
        assert runs.world.office.tries == tries
        assert runs.world.events.reasons()[1:] == ["AppRejected", "NotifyFailed"]
        assert fault.message in runs.world.events.seen[-1].message

    run()


@in_loop
async def test_a_receiver_that_never_answers_holds_up_nothing_and_fills_nothing() -> None:
    """Promise 7: runs are counted and told all the same, and what waits is bounded."""
    runs = await Runs.standing(notify=HOOK)
    never = asyncio.Event()
    runs.world.office.deliver = lambda *_: never.wait()  # type: ignore[assignment]  # a receiver that hangs
    app = make_app(notify=HOOK)
    for _ in range(3 * MAX_UNDER_WAY):
        runs.world.notices.tell(app, EVENT)
    await runs.fails(0)
    assert len(runs.world.ended) == 1
    assert len(runs.world.notices._tasks) == MAX_UNDER_WAY
    await runs.world.notices.stop()
    assert runs.world.notices._under_way == {}
