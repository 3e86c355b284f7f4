"""The operator killed with SIGKILL after any one of its API calls: the next one finishes the work, once."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable

import pytest

from cronix_cluster.audit import AuditMark
from e2e.e2e_helpers import wait_until
from faults.conftest import Stage
from faults.fault_proxy import Decide, Fault, Seen

pytestmark = pytest.mark.disruptive

WHOLE = os.environ.get("CRONIX_FAULTS") == "whole"


def _about_the_app(call: Seen) -> bool:
    """The calls of a walk: not those by which kopf finds out what there is to watch, and not the watches."""
    return "/namespaces/" in call.path and not call.is_watch


def _kill_after(stage: Stage, number: int, *, answered: bool) -> Decide:
    """Kill at the walk's call of this number, before or after the server has it."""
    count = [0]

    def decide(call: Seen) -> Fault | None:
        if not _about_the_app(call):
            return None
        count[0] += 1
        if count[0] != number:
            return None
        if answered:
            return Fault(lost=True, then=stage.operator.kill)
        stage.operator.kill()
        return Fault(lost=True, served=False)

    return decide


def _calls_of_a_walk(stage: Stage) -> int:
    """How many calls an edit costs from first to last, Events included."""
    stage.proxy.reset()
    stage.edit()
    stage.wait_in_step()
    time.sleep(1)
    return sum(map(_about_the_app, stage.proxy.seen))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("answered", [True, False], ids=["after the server has it", "before the server has it"])
def test_killed_after_every_call_of_a_walk(
    stage: Stage, audit: Callable[[], AuditMark], answered: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """K6: whichever call was the last: the next process converges, creates nothing twice and deletes nothing else."""
    calls = _calls_of_a_walk(stage)
    assert calls >= 6
    numbers = list(range(1, calls + 1)) if WHOLE else sorted({2, calls // 2, calls - 1})
    slowest = 0.0
    for number in numbers:
        before = {name: body["metadata"]["uid"] for name, body in stage.live().items()}
        mark = audit()
        stage.proxy.reset(_kill_after(stage, number, answered=answered))
        stage.edit()
        wait_until(lambda: not stage.operator.is_alive, 60, f"killed at call {number} of {calls}")
        stage.proxy.reset()
        started = time.monotonic()
        stage.operator.start()
        stage.wait_in_step()
        slowest = max(slowest, time.monotonic() - started)
        _assert_no_more_than_asked(stage, before, mark)
    with capsys.disabled():
        print(f"\n[faults] killed at {len(numbers)} of {calls} calls; in step {slowest:.1f} s after the restart")


def _assert_no_more_than_asked(stage: Stage, before: dict[str, str], mark: AuditMark) -> None:
    after = {name: body["metadata"]["uid"] for name, body in stage.live().items()}
    kept = before.keys() & after.keys()
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    writes = mark.writes(resource="cronjobs", namespace=stage.place.namespace)
    done = Counter((entry.verb, entry.name) for entry in writes if entry.status < 300)
    created = {name: count for (verb, name), count in done.items() if verb == "create"}
    deleted = {name: count for (verb, name), count in done.items() if verb == "delete"}
    assert created == dict.fromkeys(after.keys() - before.keys(), 1)
    assert deleted == dict.fromkeys(before.keys() - after.keys(), 1)
