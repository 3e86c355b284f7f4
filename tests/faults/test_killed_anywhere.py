"""The operator killed with SIGKILL after any one of its API calls: the next one finishes the work, once."""

from __future__ import annotations

import time

import pytest

from e2e.e2e_helpers import wait_until
from faults.fault_proxy import Decide, Fault, Seen
from faults.faults_helpers import WHOLE, Figures, Stage


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

    def calls() -> int:
        return sum(map(_about_the_app, stage.proxy.seen))

    # Events are posted after the status: a walk is over when nothing more comes.
    while True:
        before = calls()
        time.sleep(2)
        if calls() == before:
            return before


@pytest.mark.timeout(900)
@pytest.mark.parametrize("answered", [True, False], ids=["after the server has it", "before the server has it"])
def test_killed_after_every_call_of_a_walk(stage: Stage, figures: Figures, answered: bool) -> None:
    """K6: whichever call was the last: the next process converges, creates nothing twice and deletes nothing else."""
    calls = _calls_of_a_walk(stage)
    assert calls >= 6
    numbers = list(range(1, calls + 1)) if WHOLE else sorted({2, calls // 2, calls - 1})
    slowest = 0.0
    for number in numbers:
        before = stage.now()
        stage.proxy.reset(_kill_after(stage, number, answered=answered))
        stage.edit()
        wait_until(lambda: not stage.operator.is_alive, 60, f"killed at call {number} of {calls}")
        stage.proxy.reset()
        stage.operator.start()
        slowest = max(slowest, stage.wait_in_step())
        stage.assert_no_more_than_asked(before)
    side = "after" if answered else "before"
    figures.add(f"operator killed -9 at each API call, {side} the server has it", slowest)
