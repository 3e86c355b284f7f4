"""Duplicate protection: claimed after verification, released on failure, kept when done."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cronix_sdk import Cron, GiveUp, MemoryRunStore, Response, RunStore, SetupError
from sdk.sdk_helpers import NOW, OTHER_KEY, fire, make_cron


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def counting_cron(store: RunStore | None = None, **arguments: object) -> tuple[Cron, list[int]]:
    cron = make_cron(duplicates=store if store is not None else MemoryRunStore(), **arguments)
    calls: list[int] = []

    @cron.job("count", schedule="@hourly")
    def count() -> dict[str, int]:
        calls.append(1)
        return {"call": len(calls)}

    return cron, calls


def test_a_retry_of_a_run_that_is_done_gets_the_stored_answer() -> None:
    """200 with the first outcome and a header that says so; the job ran once."""
    cron, calls = counting_cron()
    first = fire(cron, "count", run_id="r-1", attempt="1")
    second = fire(cron, "count", at=NOW + 5, run_id="r-1", attempt="2")
    assert first.body == second.body == b'{"ok":true,"result":{"call":1}}'
    assert ("x-cron-duplicate", "true") in second.headers
    assert ("x-cron-duplicate", "true") not in first.headers
    assert calls == [1]


def test_another_run_is_another_run() -> None:
    """The run id is the key, per job."""
    cron, calls = counting_cron()
    for number in range(3):
        assert fire(cron, "count", at=NOW + number, run_id=f"r-{number}").status == 200
    assert len(calls) == 3


@pytest.mark.parametrize("failure", [RuntimeError("x"), GiveUp("x"), Response(503)])
def test_a_failed_run_is_released_so_that_the_retry_does_the_work(failure: Exception | Response) -> None:
    """An id claimed before the work and never given back is how work gets lost."""
    cron = make_cron(duplicates=MemoryRunStore())
    outcomes: list[Exception | Response | None] = [failure, None]

    @cron.job("flaky", schedule="@hourly")
    def flaky() -> Response | None:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert fire(cron, "flaky", run_id="r-1").status >= 400
    assert fire(cron, "flaky", at=NOW + 1, run_id="r-1").json() == {"ok": True}
    assert outcomes == []


def test_a_second_request_while_the_run_is_running_gets_409() -> None:
    """Two replicas of the signer, one piece of work; the 409 says how long to wait at most."""
    cron = make_cron(duplicates=MemoryRunStore())
    inside, leave = threading.Event(), threading.Event()

    @cron.job("slow", schedule="@hourly", timeout_seconds=60)
    def slow() -> None:
        inside.set()
        assert leave.wait(10)

    answers: list[Response] = []
    thread = threading.Thread(target=lambda: answers.append(fire(cron, "slow", run_id="r-1")))
    thread.start()
    assert inside.wait(10)
    during = fire(cron, "slow", at=NOW + 1, run_id="r-1")
    leave.set()
    thread.join(10)
    assert (during.status, during.code) == (409, "RunInProgress")
    assert ("retry-after", "90") in during.headers
    assert answers[0].status == 200
    assert ("x-cron-duplicate", "true") in fire(cron, "slow", at=NOW + 2, run_id="r-1").headers


def test_a_captured_request_cannot_be_run_again_under_another_run_id() -> None:
    """C2: the run id is not signed, so each signature belongs to the first run id that came with it.

    503, not a refusal for good: two schedules of one job may honestly be signed in the same second, and the signer
    comes back with a fresh signature.
    """
    cron, calls = counting_cron()
    assert fire(cron, "count", run_id="r-1").status == 200
    for forged in ("r-2", "r-3"):
        answer = fire(cron, "count", run_id=forged)
        assert (answer.status, answer.code) == (503, "SignatureReplayed")
    assert fire(cron, "count", at=NOW + 1, run_id="r-2").status == 200
    assert len(calls) == 2


def test_a_captured_request_sent_again_as_it_is_runs_nothing() -> None:
    """Also without any run id, where the signature is the only name."""
    cron, calls = counting_cron()
    for _ in range(3):
        assert fire(cron, "count").status == 200
    assert len(calls) == 1


def test_a_signature_is_remembered_as_long_as_it_could_verify() -> None:
    """Signed 300 s ahead of this clock, it verifies for 600 s: so long it stays bound to its run."""
    clock = Clock()
    cron, calls = counting_cron(MemoryRunStore(clock=clock), clock=clock)
    signed_at = NOW + 300
    assert fire(cron, "count", at=signed_at, run_id="r-1").status == 200
    clock.now = signed_at + 300
    assert fire(cron, "count", at=signed_at, run_id="r-2").code == "SignatureReplayed"
    clock.now += 1
    assert fire(cron, "count", at=signed_at, run_id="r-2").code == "StaleTimestamp"
    assert len(calls) == 1


def test_an_unverified_request_claims_nothing() -> None:
    """Else anybody could block a run by sending its id first."""
    store = MemoryRunStore()
    cron, calls = counting_cron(store)
    assert fire(cron, "count", key=OTHER_KEY, run_id="r-1").status == 401
    assert len(store) == 0
    assert fire(cron, "count", run_id="r-1").status == 200
    assert len(calls) == 1


def test_a_run_whose_process_died_is_free_again_after_its_lease() -> None:
    """timeout_seconds + 30 s; an outcome is kept for remember_seconds."""
    clock = Clock()
    store = MemoryRunStore(clock=clock)
    cron, _calls = counting_cron(store, clock=clock, remember_seconds=1000)
    run_key = "cronix/billing/count/run/r-1"
    assert store.claim(run_key, "running:a-process-that-died", 90) is None
    assert fire(cron, "count", run_id="r-1").code == "RunInProgress"
    clock.now += 90
    assert fire(cron, "count", at=int(clock.now), run_id="r-1").status == 200
    clock.now += 999
    assert ("x-cron-duplicate", "true") in fire(cron, "count", at=int(clock.now), run_id="r-1").headers
    clock.now += 1
    assert fire(cron, "count", at=int(clock.now), run_id="r-1").json() == {"ok": True, "result": {"call": 2}}


def test_a_run_that_outlives_its_lease_does_not_overwrite_its_successor(caplog: pytest.LogCaptureFixture) -> None:
    """The claim is checked when the outcome is written; the job is done all the same and the log tells."""
    store = MemoryRunStore()
    cron = make_cron(duplicates=store)
    key = "cronix/billing/long/run/r-1"

    @cron.job("long", schedule="@hourly")
    def long() -> None:
        mine = store.claim(key, "x", 1)
        assert mine is not None
        store.remove(key, expected=mine)
        assert store.claim(key, "running:successor", 60) is None

    assert fire(cron, "long", run_id="r-1").status == 200
    assert store.claim(key, "x", 1) == "running:successor"
    assert "outlived its lease" in caplog.text


class BrokenStore(MemoryRunStore):
    """A database that goes away at the operation that a test names."""

    def __init__(self, broken: str) -> None:
        super().__init__()
        self.broken = broken

    def claim(self, key: str, value: str, seconds: int) -> str | None:
        self._fail("claim")
        return super().claim(key, value, seconds)

    def replace(self, key: str, value: str, seconds: int, *, expected: str) -> bool:
        self._fail("replace")
        return super().replace(key, value, seconds, expected=expected)

    def remove(self, key: str, *, expected: str) -> None:
        self._fail("remove")
        super().remove(key, expected=expected)

    def _fail(self, operation: str) -> None:
        if operation == self.broken:
            raise ConnectionError("the database is away")


def test_without_its_store_a_run_is_not_started_but_one_that_is_done_stays_done() -> None:
    """claim fails: 503, retried. replace fails: 200, the work is done. remove fails: the failure is told as it was."""
    cron, calls = counting_cron(BrokenStore("claim"))
    answer = fire(cron, "count", run_id="r-1")
    assert (answer.status, answer.code, calls) == (503, "StoreUnavailable", [])
    cron, calls = counting_cron(BrokenStore("replace"))
    assert fire(cron, "count", run_id="r-1").status == 200
    cron = make_cron(duplicates=BrokenStore("remove"))
    cron.job("boom", schedule="@hourly")(lambda: 1 // 0)
    assert fire(cron, "boom", run_id="r-1").code == "HandlerFailed"


def test_a_long_answer_is_not_stored() -> None:
    """The duplicate hears that it is done; the store stays small."""
    cron = make_cron(duplicates=MemoryRunStore())
    cron.job("big", schedule="@hourly")(lambda: "x" * 100_000)
    assert len(fire(cron, "big", run_id="r-1").body) > 100_000
    assert fire(cron, "big", at=NOW + 1, run_id="r-1").json() == {"ok": True}


def test_the_store_in_memory_is_bounded() -> None:
    """Expired entries go first, then the oldest."""
    clock = Clock()
    store = MemoryRunStore(max_entries=3, clock=clock)
    store.claim("short", "v", 1)
    for number in range(2):
        store.claim(f"long-{number}", "v", 100)
    clock.now += 2
    store.claim("long-2", "v", 100)
    assert store.claim("long-0", "w", 1) == "v"
    store.claim("long-3", "v", 100)
    assert len(store) == 3
    assert store.claim("long-0", "w", 1) is None
    with pytest.raises(SetupError, match="at least 2"):
        MemoryRunStore(max_entries=1)


class StoreMachine(RuleBasedStateMachine):
    """The store in memory against a plain model, with time passing."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = MemoryRunStore(clock=self.clock)
        self.model: dict[str, tuple[str, float]] = {}

    def alive(self, key: str) -> str | None:
        value, until = self.model.get(key, ("", 0.0))
        return value if until > self.clock.now else None

    @rule(target=keys, key=st.sampled_from("abc"))
    def name(self, key: str) -> str:
        return key

    @rule(key=keys, value=st.sampled_from("xy"), seconds=st.integers(1, 5))
    def claim(self, key: str, value: str, seconds: int) -> None:
        there = self.alive(key)
        assert self.store.claim(key, value, seconds) == there
        if there is None:
            self.model[key] = (value, self.clock.now + seconds)

    @rule(key=keys, value=st.sampled_from("xy"), expected=st.sampled_from("xy"), seconds=st.integers(1, 5))
    def replace(self, key: str, value: str, expected: str, seconds: int) -> None:
        same = self.alive(key) == expected
        assert self.store.replace(key, value, seconds, expected=expected) is same
        if same:
            self.model[key] = (value, self.clock.now + seconds)

    @rule(key=consumes(keys), expected=st.sampled_from("xy"))
    def remove(self, key: str, expected: str) -> None:
        self.store.remove(key, expected=expected)
        if self.model.get(key, ("", 0.0))[0] == expected:
            del self.model[key]

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @invariant()
    def bounded(self) -> None:
        assert len(self.store) <= len("abc")


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
test_the_store_in_memory_agrees_with_a_model = pytest.mark.law(StoreMachine.TestCase)


def test_fifty_threads_with_one_run_do_the_work_once() -> None:
    """Every answer is 200 or 409; the job ran exactly once."""
    cron, calls = counting_cron()
    answers: list[int] = []
    barrier = threading.Barrier(50)

    def request(number: int) -> None:
        barrier.wait(10)
        answers.append(fire(cron, "count", at=NOW + number, run_id="r-1").status)

    threads = [threading.Thread(target=request, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(answers) == 50
    assert set(answers) <= {200, 409}
    assert len(calls) == 1


def test_a_stored_outcome_is_plain_json() -> None:
    """What a Redis or SQL store holds can be read by people."""
    store = MemoryRunStore()
    cron, _ = counting_cron(store)
    fire(cron, "count", run_id="r-1")
    text = store.claim("cronix/billing/count/run/r-1", "x", 1)
    assert text is not None
    assert json.loads(text) == {"status": 200, "body": '{"ok":true,"result":{"call":1}}'}
