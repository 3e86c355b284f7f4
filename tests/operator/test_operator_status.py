"""What a person sees: conditions that neither flap nor lie, one write where something changed and none elsewhere."""

from __future__ import annotations

import base64
import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_operator.core.announce import announce
from cronix_operator.core.errors import ReconcileError, Stalled, Waiting
from cronix_operator.core.memory import Memory, recalled
from cronix_operator.core.nextrun import next_run
from cronix_operator.core.settle import Answer, after_attempt, is_due, secret_refs, settle
from cronix_operator.core.status import patch_for, summarize
from operator_fakes.builders import NAMESPACE, START, at, document, job, live_of, make_app, manifest, one, served
from operator_fakes.world import GONE, World, in_loop

APP = make_app()
OTHER = served("sync", app="other")
BROKEN: dict[str, tuple[Any, str, str, str]] = {
    "app away": (GONE, "FetchFailed", "True", "FetchFailed"),
    "login page": (b"<html>", "ManifestInvalid", "False", "Stalled"),
    "empty": (b"", "ManifestInvalid", "False", "Stalled"),
    "no jobs": (b'{"version":1,"app":"billing","jobs":[]}', "ManifestInvalid", "False", "Stalled"),
    "another app": (OTHER, "AppMismatch", "False", "Stalled"),
    "stalled": (Stalled("Redirected", "x redirects to y"), "Redirected", "False", "Stalled"),
}


async def standing(*jobs: dict[str, Any] | str, **spec: Any) -> World:
    world = World()
    world.site.answer = served(*(jobs or ("sync",)))
    world.apply(**spec)
    await world.walk()
    return world


@pytest.mark.parametrize(("answer", "reason", "ready", "kind"), list(BROKEN.values()), ids=list(BROKEN))
def test_a_broken_answer_keeps_the_last_good_manifest_and_says_so(
    answer: Any, reason: str, ready: str, kind: str
) -> None:
    """Promise 2, T4, K5: for days, and drift is repaired meanwhile."""

    @in_loop
    async def run() -> None:
        world = await standing("sync", "report")
        names = world.names()
        world.site.answer = answer
        for _ in range(12):
            await world.until_due()
        assert world.names() == names
        assert world.condition("Ready")["status"] == ready
        assert world.condition("Ready")["reason"] == reason
        assert world.condition(kind)["reason"] == reason
        del world.api.objects["cronjobs", NAMESPACE, "cronix-billing-sync-0"]
        await world.walk()
        assert world.names() == names

    run()


@pytest.mark.parametrize(("answer", "reason"), [case[:2] for case in BROKEN.values()], ids=list(BROKEN))
def test_conditions_do_not_flap_between_two_fetches(answer: Any, reason: str) -> None:
    """A walk that did not ask (a CronJob changed) knows what the last asking gave, with a good manifest or without."""

    @in_loop
    async def run() -> None:
        for first in (served("sync"), answer):
            world = World()
            world.site.answer = first
            world.apply()
            await world.walk()
            world.site.answer = answer
            await world.until_due()
            world.clear_writes()
            fetched = world.site.fetched
            for _ in range(3):
                world.wait(0.1)
                await world.walk()
            assert world.site.fetched == fetched
            assert world.condition("Ready")["reason"] == reason
            assert world.writes() == []

    run()


@in_loop
async def test_a_recovery_clears_what_was_wrong_and_keeps_the_time_since_when_it_is_ready() -> None:
    world = await standing()
    since = world.condition("Ready")["lastTransitionTime"]
    world.site.answer = GONE
    await world.until_due()
    assert world.condition("FetchFailed")
    assert world.status()["consecutiveFailures"] == 1
    world.site.answer = served("sync")
    await world.until_due()
    assert [c["type"] for c in world.status()["conditions"]] == ["Ready"]
    assert world.condition("Ready")["lastTransitionTime"] == since
    assert world.status()["consecutiveFailures"] == 0


@in_loop
async def test_another_app_id_never_runs_under_the_old_manifest() -> None:
    """After an edit of spec.app the last good manifest is not this app's: nothing is made from it."""
    world = await standing()
    world.site.answer = GONE
    world.apply(app="invoices")
    await world.walk()
    assert world.names() == {"cronix-billing-sync-0"}
    assert world.condition("Ready")["status"] == "False"


@in_loop
async def test_a_fault_of_ours_ends_in_this_apps_condition() -> None:
    """T8, promise 7: and is tried again."""
    world = await standing()

    def explode(method: str, path: str) -> None:
        if method == "PUT":
            raise RuntimeError("bug")

    world.api.before = explode
    world.site.answer = served(job("sync", "5 * * * *"))
    await world.until_due()
    assert world.condition("Ready")["reason"] == "InternalError"
    world.api.before = None
    await world.until_due()
    assert world.condition("Ready")["reason"] == "Succeeded"


@in_loop
async def test_an_app_that_has_failed_for_weeks_does_not_kill_its_worker() -> None:
    """T8: after 1,024 failures in a row 2**n was more than a float holds, and the worker died of its own back-off."""
    world = await standing()
    world.controller._tenants[NAMESPACE, "billing"].failures = 2000
    assert world.controller._backoff((NAMESPACE, "billing")) == 600


@in_loop
async def test_what_a_failed_walk_could_not_learn_stays_told() -> None:
    world = await standing()
    rows, upcoming = world.status()["jobs"], world.status()["nextRun"]

    def away(method: str, path: str) -> None:
        if "cronixapps" not in path:
            raise Waiting("ApiUnavailable", "gone")

    world.api.before = away
    await world.until_due()
    assert world.condition("Ready")["reason"] == "ApiUnavailable"
    assert (world.status()["jobs"], world.status()["nextRun"]) == (rows, upcoming)
    world.clear_writes()
    await world.walk()
    assert len(world.writes()) <= 1


@in_loop
async def test_one_faulty_job_makes_not_ready_and_is_named() -> None:
    world = await standing("sync", job("odd", timezone="Local"))
    assert world.condition("Ready")["status"] == "False"
    assert (world.condition("JobsInvalid")["reason"], world.condition("Stalled")["reason"]) == ("JobsInvalid",) * 2
    assert [row["name"] for row in world.status()["invalidJobs"]] == ["odd"]
    world.site.answer = served("sync", "odd")
    await world.until_due()
    assert "invalidJobs" not in world.status()


@in_loop
async def test_a_suspended_app_is_ready_and_says_so() -> None:
    world = await standing(suspend=True)
    assert (world.condition("Ready")["status"], world.condition("Ready")["reason"]) == ("True", "Suspended")
    assert "nextRun" not in world.status()


def test_only_a_real_change_is_written() -> None:
    status = summarize(APP, after_fetch(0), Waiting("FetchFailed", "x"), {}, START)
    assert patch_for(status, {}) == {"status": status}
    assert patch_for(status, status) is None
    assert patch_for(status, {**status, "somebodyElses": 1, "jobs": []}) is None
    later = {**status, "manifest": {**status["manifest"], "lastFetchTime": "2030-01-01T00:00:00Z"}}
    assert patch_for(later, status) is None
    changed = {**status, "manifest": {**status["manifest"], "hash": "sha256:x"}}
    assert patch_for(changed, status) == {"status": changed}


def test_a_field_that_no_longer_applies_is_removed() -> None:
    walked: dict[str, Any] = {"jobs": [], "summary": {}}
    assert patch_for(walked, {**walked, "nextRun": {"job": "a/0"}}) == {"status": {**walked, "nextRun": None}}
    assert patch_for({"app": "a"}, {"app": "a", "nextRun": {"job": "a/0"}}) is None


@pytest.mark.parametrize(
    ("schedule", "status", "upcoming"),
    [
        ("0 * * * *", {}, 3570),
        ("@every 90s", {"lastScheduleTime": "2026-11-22T12:00:01Z"}, 61),
        ("@every 90s", {"lastScheduleTime": "2026-11-22T11:00:01Z"}, 61),
        ("0 0 31 2 *", {}, None),
    ],
)
def test_the_next_run(schedule: str, status: dict[str, Any], upcoming: int | None) -> None:
    want = one(APP, job("sync", schedule))
    expected = None if upcoming is None else START + timedelta(seconds=upcoming)
    assert next_run(want, live_of(want, **status), START) == expected


def fetched(*jobs: dict[str, Any] | str) -> Answer:
    return Answer(manifest(*(jobs or ("sync",))), None)


def after_fetch(seconds: float, memory: Memory | None = None, fault: ReconcileError | None = None) -> Memory:
    answer = Answer(fault=fault) if fault else fetched()
    return after_attempt(APP, memory or Memory(), answer, at(seconds), 0.0)


def pauses(fault: ReconcileError, count: int) -> list[float]:
    memory, found = Memory(), []
    for _ in range(count):
        memory = after_fetch(0, memory, fault)
        found.append(memory.next_fetch_monotonic - at(0).monotonic)
    return found


def test_back_off_grows_up_to_the_interval_and_is_reset_by_a_success() -> None:
    assert pauses(GONE, 8) == [5, 10, 20, 40, 80, 160, 300, 300]
    assert pauses(GONE, 200)[-1] == 300
    recovered = after_fetch(0, after_fetch(0, None, GONE))
    assert (recovered.consecutive_failures, recovered.source_fault) == (0, None)


def test_what_a_person_must_mend_is_asked_at_the_interval() -> None:
    assert pauses(Stalled("AppMismatch", "x"), 2) == [300, 300]
    assert pauses(Waiting("X", "x", retry_after_seconds=7), 2) == [7, 7]


@pytest.mark.law
@settings(max_examples=50, deadline=None)
@given(st.floats(-1, 1, exclude_max=True))
def test_jitter_stays_within_a_tenth(jitter: float) -> None:
    memory = after_attempt(APP, Memory(), fetched(), at(0), jitter)
    assert 270 <= memory.next_fetch_monotonic - at(0).monotonic <= 330


def test_when_the_source_is_asked() -> None:
    memory = after_fetch(0)
    assert not is_due(APP, memory, at(299))
    assert is_due(APP, memory, at(300))
    for changed in ({"generation": 2}, {"reconcile_at": "now"}, {"approve_prune": "x"}):
        assert is_due(dataclasses.replace(APP, **changed), memory, at(1))
    assert is_due(APP, Memory(), at(0))


def test_settling() -> None:
    with pytest.raises(Waiting, match="not been fetched yet"):
        settle(APP, Memory(), Answer(), at(0))
    with pytest.raises(Waiting, match="refused"):
        settle(APP, Memory(), Answer(fault=GONE), at(0))
    memory = after_fetch(0)
    kept = settle(APP, memory, Answer(fault=GONE), at(9))
    assert (kept.good, kept.fresh, kept.fault) == (memory.good, False, GONE)
    again = settle(APP, memory, fetched(), at(9))
    assert again.good.changed_at == START
    other = settle(APP, memory, fetched("other"), at(9))
    assert other.good.changed_at == at(9).utc


def test_every_key_name_of_the_manifest_once_in_its_order() -> None:
    jobs = [job("a", auth={"secret_refs": ["X", "Y"]}), job("b", auth={"secret_refs": ["Y", "Z"]})]
    assert secret_refs(manifest(*jobs)) == ("X", "Y", "Z")
    assert secret_refs(None) == ()


NONSENSE = st.none() | st.text(max_size=5) | st.integers() | st.just([1]) | st.just({"a": 1})
ROWS = NONSENSE | st.fixed_dictionaries(dict.fromkeys(("specHash", "cronJobName", "cronJobUID"), NONSENSE))


@pytest.mark.law
@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "jobs": NONSENSE | st.lists(ROWS, max_size=3),
            "manifest": NONSENSE | st.fixed_dictionaries({"hash": NONSENSE, "lastChangeTime": NONSENSE}),
        }
    )
)
def test_a_forged_status_cannot_stop_the_start(status: dict[str, Any]) -> None:
    """T8: status too may be edited by somebody."""
    recalled(status)


@in_loop
async def test_events_are_few_and_in_the_plans_words() -> None:
    world = await standing(*(f"j{n}" for n in range(30)))
    assert world.events.reasons() == ["ManifestApplied"]
    assert "30 created" in world.events.seen[0].message
    world.events.seen.clear()
    world.site.answer = served(*(job(f"j{n}", timezone="Local") for n in range(30)))
    await world.until_due()
    assert len(world.events.seen) <= 10
    assert [event.reason for event in announce(GONE)] == ["FetchFailed"]


@in_loop
async def test_a_secret_that_cannot_be_a_header_is_told_without_its_text() -> None:
    """C5: the HTTP library would put the value into its error, and that into a condition."""
    world = World()
    value = "canary\r\nX-Evil: 1"
    world.api.put("secrets", NAMESPACE, "gate", data={"token": base64.b64encode(value.encode()).decode()})
    world.apply(
        connection={
            "headers": [{"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "token"}}}]
        }
    )
    await world.walk()
    ready = world.condition("Ready")
    assert ready["reason"] == "InvalidHeader"
    assert 'Secret "gate", key "token"' in ready["message"]
    assert "canary" not in f"{world.status()} {world.events.seen}"


@in_loop
async def test_a_missing_second_key_does_not_stop_the_first() -> None:
    """The first that is present signs, wherever the others should be."""
    world = World()
    world.site.answer = served("sync")
    keys = [{"name": n, "secretKeyRef": {"name": s, "key": "current"}} for n, s in (("OLD", "gone"), ("NEW", "keys"))]
    world.apply(signing={"keys": keys})
    await world.walk()
    assert world.condition("Ready")["status"] == "True"
    world.apply(signing={"keys": keys[:1]})
    world.site.answer = served("sync")
    await world.walk()
    assert "kubectl" in world.condition("Ready")["message"]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"source": {"service": {"name": "nowhere"}}}, 'Service "nowhere" does not exist'),
        ({"source": {"configMapKeyRef": {"name": "nowhere"}}}, 'Configmap "nowhere"'),
        ({"signing": {"secretRef": {"name": "nowhere"}}}, "create secret generic nowhere"),
        ({"source": {"inline": document("sync", app="other")}}, "write spec.app: other"),
        ({"source": {"inline": {"version": 2}}}, "spec.source.inline is not valid: version:"),
    ],
)
def test_what_a_new_user_gets_wrong_is_told_with_the_cure(spec: dict[str, Any], told: str) -> None:
    @in_loop
    async def run() -> None:
        world = World()
        world.apply(**spec)
        await world.walk()
        assert told.lower() in world.condition("Ready")["message"].lower()

    run()
