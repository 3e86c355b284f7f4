"""An API server that is busy, broken, away or deaf: the operator lives, converges, and asks no more than needed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest

from e2e.bulk import Call, accepted, cron_jobs
from e2e.e2e_helpers import wait_until
from faults.fault_proxy import Decide, Fault, Seen, nothing
from faults.faults_helpers import REQUESTS_PER_SECOND, WHOLE, Figures, Stage


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """`decide` is in force for `seconds` around an edit of the manifest; only a whole run does the `slow` ones."""

    decide: Callable[[], Decide]
    seconds: float = 6.0
    slow: bool = False


def _no_watch(call: Seen) -> bool:
    return not call.is_watch


def _every(n: int, fault: Fault, which: Callable[[Seen], bool] = _no_watch) -> Callable[[], Decide]:
    """This fault for every n-th of the requests in question."""

    def make() -> Decide:
        count = [0]

        def decide(call: Seen) -> Fault | None:
            if not which(call):
                return None
            count[0] += 1
            return fault if count[0] % n == 0 else None

        return decide

    return make


def _writes(call: Seen) -> bool:
    return call.is_write


TROUBLES: dict[str, Trouble] = {
    "every second write conflicts": Trouble(_every(2, Fault(status=409), _writes)),
    "every second request is throttled": Trouble(_every(2, Fault(status=429, retry_after_seconds=1))),
    "every third request fails": Trouble(_every(3, Fault(status=500))),
    "every second answer to a write is lost": Trouble(_every(2, Fault(lost=True), _writes)),
    "every second write is lost on its way": Trouble(_every(2, Fault(lost=True, served=False), _writes)),
    "nothing is answered at all": Trouble(_every(1, Fault(lost=True, served=False), lambda call: True), 10.0),
    "every list and write hangs": Trouble(_every(1, Fault(stalls=True)), 40.0, slow=True),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [n for n, t in TROUBLES.items() if WHOLE or not t.slow])
def test_an_edit_during_trouble_is_carried_out_when_it_is_over(stage: Stage, figures: Figures, name: str) -> None:
    """K6: bounded requests meanwhile, the process alive, nothing made twice, nothing deleted that was not to go."""
    trouble, before = TROUBLES[name], stage.now()
    stage.proxy.reset(trouble.decide())
    stage.edit()
    started = time.monotonic()
    time.sleep(trouble.seconds)
    asked, troubled_seconds = len(stage.proxy.seen), time.monotonic() - started
    stage.proxy.decide = nothing
    seconds = stage.wait_in_step()

    stage.assert_no_more_than_asked(before)
    assert stage.operator.is_alive
    assert asked <= REQUESTS_PER_SECOND * troubled_seconds, "no hot loop"
    figures.add(name, seconds, asked)


FAILURE: dict[str, object] = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
GONE: dict[str, object] = {"type": "ERROR", "object": {**FAILURE, "code": 410, "reason": "Expired"}}
BROKEN: dict[str, object] = {"type": "ERROR", "object": {**FAILURE, "code": 500, "message": "etcd is unwell"}}
AWAY: dict[str, dict[str, object] | None] = {"cut": None, "ended by 410 Gone": GONE, "ended by ERROR 500": BROKEN}


def _once_for_each_watch(event: dict[str, object] | None) -> Decide:
    """All of them, the CronJobs' and the CronixApps', end with this event when they come back."""
    told: set[str] = set()

    def decide(call: Seen) -> Fault | None:
        resource = call.path.partition("?")[0]
        if event is None or not call.is_watch or resource in told:
            return None
        told.add(resource)
        return Fault(event=event)

    return decide


def _cut_watches(stage: Stage, of: str) -> None:
    """From now on no watch of these can be opened; lists and writes work."""
    away = Fault(lost=True, served=False)
    stage.proxy.reset(lambda call: away if call.is_watch and of in call.path else None)
    stage.proxy.cut_watches()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", AWAY)
def test_what_was_deleted_while_the_watch_was_away_is_made_anew(stage: Stage, figures: Figures, how: str) -> None:
    """K6: a watch that ends, by a cut, by 410 or by another error, hides nothing for good and ends no process.

    Nothing else happens that would make the operator look.
    """
    victim = "cronix-shop-stays-0"
    uid = stage.uids()[victim]
    path = cron_jobs(stage.place.namespace, victim)
    _cut_watches(stage, of="/namespaces/")
    accepted([stage.bulk.one(Call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1"}))])
    time.sleep(2)
    stage.proxy.decide = _once_for_each_watch(AWAY[how])
    started = time.monotonic()
    live = wait_until(lambda: stage.uids().get(victim), 120, "the deleted one")
    seconds = time.monotonic() - started
    assert live != uid
    wait_until(stage.is_in_step, 30, "the status says so")
    assert stage.operator.is_alive
    figures.add(f"watch {how}, a CronJob deleted meanwhile", seconds)


@pytest.mark.skipif(not WHOLE, reason="takes a minute and more: `make test-faults` has it")
@pytest.mark.timeout(300)
def test_a_watch_that_falls_silent_is_given_up(stage: Stage, figures: Figures) -> None:
    """K6: a connection that is dead without having ended; no walk is due meanwhile. A server bookmarks each minute."""
    victim = "cronix-shop-stays-0"
    uid = stage.uids()[victim]
    stage.proxy.freeze_watches()
    path = cron_jobs(stage.place.namespace, victim)
    accepted([stage.bulk.one(Call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1"}))])
    started = time.monotonic()
    time.sleep(5)
    stage.proxy.thaw()
    time.sleep(5)
    assert victim not in stage.uids(), "the watch is silent"
    live = wait_until(lambda: stage.uids().get(victim), 150, "the deleted one")
    assert live != uid
    assert stage.operator.is_alive
    figures.add("watch silent, a CronJob deleted meanwhile: from then on", time.monotonic() - started)


def test_an_app_deleted_while_its_watch_was_away_gets_no_cron_jobs_any_more(stage: Stage) -> None:
    """K6: the operator sees garbage collection take its CronJobs, does not know why, and makes none of them anew."""
    before = stage.now()
    _cut_watches(stage, of="/cronixapps")
    stage.place.kubectl("delete", "cxa", "shop")
    wait_until(lambda: not stage.live(), 60, "garbage collection has taken them")
    time.sleep(3)
    stage.proxy.decide = nothing
    time.sleep(2)
    assert stage.live() == {}
    assert {verb for verb, _ in stage.done_since(before)} == {"delete"}
    assert stage.operator.is_alive
