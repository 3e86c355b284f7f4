"""What an answer to a probe does not say, and the random key that tells whether the app verifies at all."""

from __future__ import annotations

import dataclasses

import pytest

from cronix_operator.core.errors import Denied, Waiting
from cronix_operator.core.model import App, Endpoint, Fetched, KeyMaterial
from operator_fakes.builders import job, served
from operator_fakes.keyring import NEW, OLD, again, give, running, states
from operator_fakes.world import RANDOM_KEY, Site, World, in_loop


class Stubborn(Site):
    """Answers the first key, and something that is no word about the key to each other one."""

    def __init__(self, fault: Waiting) -> None:
        super().__init__()
        self.fault = fault

    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched:
        try:
            return await super().fetch(app, endpoint, material, timestamp, etag)
        except Denied:
            raise self.fault from None


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (Waiting("FetchFailed", "answered 404"), "unknown"),
        (Waiting("FetchFailed", "answered 503"), "unknown"),
        (Denied("FetchFailed", "answered 401", names_key=False), "refused"),
    ],
    ids=["404", "503", "a bare 401, where another key got the manifest"],
)
def test_what_is_no_word_about_the_key_is_not_read_as_one(fault: Waiting, state: str) -> None:
    @in_loop
    async def run() -> None:
        world = World()
        site = world.site = Stubborn(fault)
        world.restart()
        site.answer, site.accepts = served("sync"), {OLD}
        give(world, current=OLD, previous=NEW)
        world.apply()
        await world.walk()
        assert states(world)["previous"] == (state, False)
        assert states(world)["current"][0] == ("accepted" if state == "refused" else "unknown")
        assert world.condition("SignatureNotEnforced") == {}
        count = len(site.signed)
        await again(world)
        assert len(site.signed) == count + 1, "and it is not asked again at the next fetch"

    run()


@in_loop
async def test_an_app_that_stops_answering_in_a_round_is_not_asked_about_the_rest() -> None:
    """Promise 7: it must not hold a worker for each of eight keys, and not at the next fetch either."""
    world = World()
    site = world.site = Stubborn(Waiting("FetchFailed", "no complete answer within 10 s"))
    world.restart()
    names = [f"k{n}" for n in range(8)]
    site.answer, site.accepts = served("sync"), {"key-0-0123456789"}
    give(world, **{n: f"key-{n[1]}-0123456789" for n in names})
    keys = [{"name": n, "secretKeyRef": {"name": "keys", "key": n}} for n in names]
    world.apply(signing={"keys": keys}, annotations={"cronix.dev/probe-signature": "off"})
    await world.walk()
    assert site.signed == ["key-0-0123456789", "key-1-0123456789"]
    await again(world)
    assert len(site.signed) == 3


@in_loop
async def test_a_bare_401_to_every_key_is_no_word_about_the_keys() -> None:
    """A proxy before the app wants a login: nobody learns from that which key is right."""
    world = await running(OLD, keys={"current": OLD, "previous": NEW})
    world.site.answer = Denied("FetchFailed", "answered 401", names_key=False)
    await again(world, 3600)
    assert world.condition("NoKeyAccepted") == {}
    assert world.condition("FetchFailed")["reason"] == "FetchFailed"
    assert states(world) == {"current": ("accepted", True), "previous": ("refused", False)}


# --- the random key -------------------------------------------------------------------------------------------------


class Trusting(Site):
    """An app that does not look at the signature."""

    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched:
        self.accepts.add(material.keys[0][1])
        return await super().fetch(app, endpoint, material, timestamp, etag)


async def trusting(annotations: dict[str, str] | None = None) -> World:
    world = World()
    world.site = Trusting()
    world.restart()
    world.site.answer = served("sync")
    give(world, current=NEW, previous=OLD)
    world.apply(annotations=annotations)
    await world.walk()
    world.clear_writes()
    return world


@in_loop
async def test_an_app_that_does_not_verify_is_reported_and_nothing_is_concluded_from_it() -> None:
    world = await trusting()
    told = world.condition("SignatureNotEnforced")
    assert (told["status"], "probe-signature=off" in told["message"]) == ("True", True)
    assert states(world) == {"current": ("unknown", True), "previous": ("unknown", False)}
    assert world.condition("KeyRotation") == {}
    assert world.condition("Ready")["status"] == "True"
    assert world.site.signed == [NEW, RANDOM_KEY]
    assert world.events.reasons().count("SignatureNotEnforced") == 1
    for _ in range(11):
        await again(world)
    assert world.events.reasons().count("SignatureNotEnforced") == 1, "once, not at each look"
    assert world.site.signed.count(RANDOM_KEY) == 1
    assert world.writes() == []


@in_loop
async def test_an_app_that_verifies_at_last_is_believed_within_the_hour() -> None:
    world = await trusting()
    site = Site()
    site.answer, site.accepts = served("sync"), {NEW}
    world.site = site
    world.controller._ports = dataclasses.replace(world.controller._ports, source=site)
    await again(world, 3601)
    assert world.condition("SignatureNotEnforced") == {}
    assert states(world)["current"] == ("accepted", True)


@in_loop
async def test_a_public_manifest_may_be_declared_so() -> None:
    """`cronix.dev/probe-signature: off`: no random key, no condition."""
    world = await trusting({"cronix.dev/probe-signature": "off"})
    assert RANDOM_KEY not in world.site.signed
    assert world.condition("SignatureNotEnforced") == {}
    assert states(world) == {"current": ("unknown", True), "previous": ("unknown", False)}
    assert world.status()["lastHandledProbeSignature"] == "off"


@in_loop
async def test_the_condition_goes_when_the_manifest_is_declared_public_later() -> None:
    world = await trusting()
    world.apply(annotations={"cronix.dev/probe-signature": "off"})
    await world.walk()
    assert world.condition("SignatureNotEnforced") == {}
    assert "signature" not in world.status() or world.status()["signature"] is None


@in_loop
async def test_a_random_key_is_tried_when_somebody_asks_and_that_is_echoed() -> None:
    world = await running(OLD, keys={"current": OLD})
    world.site.signed.clear()
    world.apply(annotations={"cronix.dev/probe-signature": "friday"})
    await world.walk()
    assert world.site.signed == [OLD, RANDOM_KEY]
    assert world.status()["lastHandledProbeSignature"] == "friday"
    world.restart()
    world.watch()
    await again(world)
    assert world.site.signed[2:] == [OLD], "the echo survives a restart"


@in_loop
async def test_a_random_key_is_tried_once_a_week_and_costs_no_write() -> None:
    """The time alone is not written; it travels with the next change. A restart within the week tries none."""
    world = await running(OLD, keys={"current": OLD})
    yearly = [job(name, "0 0 1 1 *") for name in ("sync", "report")]  # no slot passes, so no other row changes
    world.site.answer = served(*yearly)
    await again(world)
    world.clear_writes()
    world.site.signed.clear()
    day = 24 * 3600
    for _ in range(28):
        await again(world, day)
    assert 3 <= world.site.signed.count(RANDOM_KEY) <= 4
    assert world.writes() == []

    world.site.answer = served(yearly[0], job("report", "0 0 2 1 *"))
    await again(world)
    assert len(world.writes("cronixapps")) == 1
    world.restart()
    world.watch()
    world.site.signed.clear()
    await again(world)
    assert RANDOM_KEY not in world.site.signed
