"""The control plane itself goes: the API server is killed, etcd stands still; nothing is lost or made twice."""

from __future__ import annotations

import signal
import time

import pytest

from faults.bare_server import BareServer
from faults.faults_helpers import REQUESTS_PER_SECOND, WHOLE, Figures, Stage

DOWN_SECONDS = 10
FROZEN_SECONDS = 30 if WHOLE else 5


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM] if WHOLE else [signal.SIGKILL])
def test_the_api_server_goes_in_the_middle_of_the_work_and_comes_back(
    stage: Stage, server: BareServer, figures: Figures, number: signal.Signals
) -> None:
    """K6: the process lives on, asks a bounded number of times, and finishes what it had begun."""
    before = stage.now()
    stage.proxy.reset()
    stage.edit()
    started = time.monotonic()
    try:
        server.signal("apiserver", number)
        time.sleep(DOWN_SECONDS)
        asked, away_seconds = len(stage.proxy.seen), time.monotonic() - started
    finally:
        server.start("apiserver")
    seconds = stage.wait_in_step()
    stage.assert_no_more_than_asked(before)
    assert asked <= REQUESTS_PER_SECOND * away_seconds
    assert stage.operator.is_alive
    figures.add(f"API server ended with {number.name}, away for {DOWN_SECONDS} s", seconds, asked)


@pytest.mark.timeout(300)
def test_etcd_stands_still_in_the_middle_of_the_work(stage: Stage, server: BareServer, figures: Figures) -> None:
    """K6: requests hang and time out; when it goes on, so does the operator."""
    before = stage.now()
    stage.proxy.reset()
    stage.edit()
    server.signal("etcd", signal.SIGSTOP)
    try:
        time.sleep(FROZEN_SECONDS)
        asked = len(stage.proxy.seen)
    finally:
        server.signal("etcd", signal.SIGCONT)
    seconds = stage.wait_in_step(180)
    stage.assert_no_more_than_asked(before)
    assert asked <= REQUESTS_PER_SECOND * FROZEN_SECONDS
    assert stage.operator.is_alive
    figures.add(f"etcd frozen for {FROZEN_SECONDS} s", seconds, asked)
