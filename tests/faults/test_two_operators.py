"""Two operators with the same rights and no election, by mistake or while one replaces the other: they do not fight."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from faults.faults_helpers import USER, WHOLE, Before, Figures, MakeStage, Stage

QUIET_SECONDS = 12


def _updates(stage: Stage, before: Before) -> Counter[str]:
    writes = before.mark.writes(user=USER, resource="cronjobs", namespace=stage.place.namespace)
    return Counter(entry.name for entry in writes if entry.verb == "update" and entry.status < 300)


def _assert_quiet(stage: Stage) -> None:
    before = stage.now()
    time.sleep(QUIET_SECONDS)
    assert before.mark.writes(user=USER, namespace=stage.place.namespace) == []


@pytest.mark.skipif(not WHOLE, reason="takes a minute: `make test-faults` has it")
@pytest.mark.timeout(400)
def test_two_at_once_come_to_the_same_end_and_rest(stages: MakeStage, figures: Figures) -> None:
    """K6: nothing made twice, nothing deleted twice, each object written at most once by each, and then silence.

    One of them stands still for a while and wakes up with what it knew.
    """
    stage, other = stages(), stages()
    slowest = 0.0
    for _ in range(6 if WHOLE else 2):
        before = stage.now()
        stage.edit()
        slowest = max(slowest, stage.wait_in_step())
        time.sleep(1)
        stage.assert_no_more_than_asked(before)
        assert all(count <= 2 for count in _updates(stage, before).values())
    time.sleep(QUIET_SECONDS)  # both have told in status what they did
    _assert_quiet(stage)

    before = stage.now()
    other.operator.signal(signal.SIGSTOP)
    stage.edit()
    slowest = max(slowest, stage.wait_in_step())
    stage.drift()
    other.operator.signal(signal.SIGCONT)
    stage.wait_repaired()
    slowest = max(slowest, stage.wait_in_step())
    time.sleep(QUIET_SECONDS)
    stage.assert_no_more_than_asked(before)
    _assert_quiet(stage)
    assert stage.operator.is_alive
    assert other.operator.is_alive
    figures.add("two operators at once without an election", slowest)
