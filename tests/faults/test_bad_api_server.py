"""An API server that is busy, broken, away or deaf: the operator lives, converges, and asks no more than needed."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable

import pytest

from cronix_cluster.audit import AuditMark
from e2e.bulk import Call, accepted, cron_jobs
from e2e.e2e_helpers import wait_until
from faults.conftest import Stage
from faults.fault_proxy import Decide, Fault, Seen

pytestmark = pytest.mark.disruptive

WHOLE = os.environ.get("CRONIX_FAULTS") == "whole"


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
def test_an_edit_during_trouble_is_carried_out_when_it_is_over(
    stage: Stage, audit: Callable[[], AuditMark], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """K6: bounded requests meanwhile, the process alive, nothing made twice, nothing deleted that was not to go."""
    trouble, before = TROUBLES[name], {n: b["metadata"]["uid"] for n, b in stage.live().items()}
    mark = audit()
    stage.proxy.reset(trouble.decide())
    stage.edit()
    time.sleep(trouble.seconds)
    asked = len(stage.proxy.seen)
    stage.proxy.decide = lambda call: None
    started = time.monotonic()
    stage.wait_in_step()

    after = {n: b["metadata"]["uid"] for n, b in stage.live().items()}
    assert all(after[n] == before[n] for n in before.keys() & after.keys())
    deleted = [e.name for e in mark.writes(resource="cronjobs", namespace=stage.place.namespace) if e.verb == "delete"]
    assert set(deleted) <= before.keys() - after.keys()
    assert stage.operator.is_alive
    assert asked <= 30 * trouble.seconds, "no hot loop"
    with capsys.disabled():
        seconds = time.monotonic() - started
        print(f"\n[faults] {name}: {asked} requests during it, in step {seconds:.1f} s after")


FAILURE = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
GONE = {"type": "ERROR", "object": {**FAILURE, "code": 410, "reason": "Expired"}}
BROKEN = {"type": "ERROR", "object": {**FAILURE, "code": 500, "message": "etcd is unwell"}}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("event", [None, GONE, BROKEN], ids=["cut", "410 Gone", "ERROR 500"])
def test_what_was_deleted_while_the_watch_was_away_is_made_anew(
    stage: Stage, event: dict[str, object] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """K6: a watch that ends, by a cut, by 410 or by another error, hides nothing for good and ends no process."""
    victim = "cronix-shop-stays-0"
    uid = stage.live()[victim]["metadata"]["uid"]
    stage.proxy.reset(lambda call: Fault(lost=True, served=False) if call.is_watch else None)
    stage.proxy.cut_watches()
    path = cron_jobs(stage.place.namespace, victim)
    accepted([stage.bulk.one(Call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1"}))])
    time.sleep(2)
    told = [0]

    def once_per_watch(call: Seen) -> Fault | None:
        if event is None or not call.is_watch or told[0] >= 2:
            return None
        told[0] += 1
        return Fault(event=event)

    stage.proxy.decide = once_per_watch
    started = time.monotonic()
    stage.edit()  # whatever the watch of the CronJobs hides, the one of the CronixApps comes back with this
    stage.wait_in_step(120)
    live = wait_until(lambda: stage.live().get(victim), 30, "the deleted one")
    assert live["metadata"]["uid"] != uid
    assert stage.operator.is_alive
    with capsys.disabled():
        print(f"\n[faults] watch {'cut' if event is None else event['object']}: {time.monotonic() - started:.1f} s")
