"""At most one operator writes: the lease is taken once, runs out by a clock that never stops, and fences writes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_operator.core.errors import Waiting
from cronix_operator.core.lease import Terms
from cronix_operator.core.model import Now
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.lease import LeaseLock
from cronix_operator.settings import SettingsInvalid, read_settings
from operator_fakes.builders import at
from operator_fakes.loopback import serving
from operator_fakes.memory_api import MemoryApi
from operator_fakes.world import in_loop

TERMS = Terms(duration_seconds=15, renew_deadline_seconds=10, retry_seconds=2)
LEASE = ("leases", "home", "cronix")


class Arena:
    """Two candidates, one API server, one clock that moves by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.api = MemoryApi()
        self.one, self.two = self.candidate("one"), self.candidate("two")

    def candidate(self, name: str) -> LeaseLock:
        return LeaseLock(cast("ApiServer", self.api), ("home", "cronix"), name, TERMS, self.now)

    def now(self) -> Now:
        return at(self.seconds)

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.api.objects[LEASE]["spec"]
        return spec

    def away(self) -> None:
        def no_answer(method: str, path: str) -> None:
            raise Waiting("ApiUnavailable", "the API server did not answer")

        self.api.before = no_answer

    def back(self) -> None:
        self.api.before = None


@in_loop
async def test_the_first_one_leads_and_the_other_waits_as_long_as_it_renews() -> None:
    arena = Arena()
    assert await arena.one._try()
    for _ in range(20):
        arena.seconds += 2
        assert not await arena.two._try()
        assert await arena.one._try()
        assert (arena.one.is_leader, arena.two.is_leader) == (True, False)
    assert (arena.spec["holderIdentity"], arena.spec["leaseTransitions"]) == ("one", 0)


@in_loop
async def test_a_silent_leader_is_followed_after_the_lease_s_duration_and_not_before() -> None:
    """SIGKILL: nothing was given back."""
    arena = Arena()
    await arena.one._try()
    assert not await arena.two._try()
    arena.seconds += 14.9
    assert not await arena.two._try()
    arena.seconds += 0.2
    assert await arena.two._try()
    assert (arena.spec["holderIdentity"], arena.spec["leaseTransitions"]) == ("two", 1)


@in_loop
async def test_a_leader_that_was_stopped_and_wakes_writes_nothing() -> None:
    """SIGSTOP: it has not yet looked at the lease, but its clock has gone on."""
    arena = Arena()
    await arena.one._try()
    arena.one.fence()
    await arena.two._try()
    arena.seconds += 60
    assert await arena.two._try()
    with pytest.raises(Waiting) as refused:
        arena.one.fence()
    assert refused.value.reason == "NotLeader"
    assert not await arena.one._try()
    arena.two.fence()


@in_loop
async def test_it_stops_writing_before_another_may_begin() -> None:
    arena = Arena()
    await arena.one._try()
    await arena.two._try()
    arena.seconds += TERMS.renew_deadline_seconds
    assert not arena.one.is_leader
    assert not await arena.two._try(), "five seconds are left for what is on its way"


@in_loop
async def test_the_deadline_counts_from_before_the_request() -> None:
    """An answer that comes late must not make the lease longer than the others believe it to be."""
    arena = Arena()

    def slow(method: str, path: str) -> None:
        arena.seconds += 4.0

    arena.api.before = slow
    assert await arena.one._try()
    arena.seconds += 2.1
    assert not arena.one.is_leader


@in_loop
async def test_with_the_api_server_away_nothing_is_written_and_nothing_is_lost() -> None:
    arena = Arena()
    await arena.one._try()
    await arena.two._try()
    arena.away()
    arena.seconds += 120
    assert not await arena.one._try()
    with pytest.raises(Waiting):
        arena.one.fence()
    arena.back()
    assert await arena.one._try(), "nobody else could take it there"
    arena.one.fence()


@in_loop
async def test_of_two_that_claim_at_once_one_wins() -> None:
    arena = Arena()

    def between(method: str, path: str) -> None:
        if method == "POST":
            arena.api.before = None
            arena.api.put("leases", "home", "cronix", spec={"holderIdentity": "two", "leaseDurationSeconds": 15})

    arena.api.before = between
    assert not await arena.one._try()
    assert arena.spec["holderIdentity"] == "two"
    assert not arena.one.is_leader


@in_loop
async def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    arena = Arena()
    await arena.one._try()
    await arena.two._try()
    await arena.one.release()
    assert not arena.one.is_leader
    assert await arena.two._try()
    writes = len(arena.api.writes)
    await arena.one.release()
    assert len(arena.api.writes) == writes, "what is not ours is not given back"


@in_loop
async def test_losing_the_lease_is_noticed_when_somebody_else_has_it() -> None:
    terms = Terms(3, 2, 0)
    arena = Arena()
    arena.one._terms = terms
    await arena.one._try()
    await arena.two._try()
    arena.seconds += 60
    assert await arena.two._try()
    await asyncio.wait_for(arena.one.until_lost(), 5)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 20)),
        st.tuples(st.sampled_from(["one", "two", "release one", "release two"]), st.floats(0, 6)),
    ),
    max_size=60,
)


@pytest.mark.law
@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_there_are_never_two_leaders(steps: list[tuple[str, float]]) -> None:
    """Whatever the two do, and however slow the API server answers each request."""
    arena = Arena()

    async def play() -> None:
        for what, seconds in steps:
            if what == "wait":
                arena.seconds += seconds
                continue
            slow = lambda method, path, step=seconds: setattr(arena, "seconds", arena.seconds + step)  # noqa: E731
            arena.api.before = slow
            candidate = arena.one if what.endswith("one") else arena.two
            await (candidate.release() if what.startswith("release") else candidate._try())
            assert not (arena.one.is_leader and arena.two.is_leader)

    asyncio.run(play())


@in_loop
async def test_each_write_asks_the_fence_and_a_repetition_asks_again() -> None:
    """The lease may run out while a busy API server makes us wait."""
    asked: list[str] = []
    seen: list[str] = []

    async def busy(request: web.Request) -> web.Response:
        seen.append(request.method)
        return web.json_response({}, status=429, headers={"Retry-After": "0"})

    def fence() -> None:
        asked.append("fence")
        if len(asked) == 3:
            raise Waiting("NotLeader", "not any more")

    async with serving(busy) as kubeconfig, ApiServer(kubeconfig, fence=fence) as api:
        await api.request("GET", "/x")
        assert asked == []
        with pytest.raises(Waiting, match="not any more"):
            await api.request("PUT", "/x", body={})
    assert seen.count("PUT") == 2


@pytest.mark.parametrize(
    "env",
    [
        {"CRONIX_LEASE_DURATION_SECONDS": "10"},
        {"CRONIX_LEASE_RETRY_SECONDS": "10"},
        {"CRONIX_LEASE_RENEW_DEADLINE_SECONDS": "15"},
    ],
)
def test_times_that_would_let_two_lead_are_refused(env: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match="chart: leaderElection"):
        read_settings({"CRONIX_SIGNER_IMAGE": "x", **env})
