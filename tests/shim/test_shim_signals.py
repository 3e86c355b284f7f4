"""SIGTERM: before an answer 143, so that the Job replaces the pod; after one, what the answer says (design §8)."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from shim.shim_helpers import APP_UID, Finished, Program, Server, answer, job_file, says

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

LATER = 60.0


def stopped(
    handler: Callable[[socket.socket], None], *, after: float, number: int = signal.SIGTERM, **job: Any
) -> tuple[Finished, Server]:
    """Run against a server that takes a minute, send the signal ``after`` seconds after the request came."""
    with Server(handler) as server:
        program = Program(job_file(server.url(), timeout_seconds=60, **job))
        assert server.asked.wait(30)
        time.sleep(after)
        program.process.send_signal(number)
        return program.finish(timeout=30), server


def test_sigterm_while_the_server_thinks() -> None:
    """No answer yet: 143, Interrupted, no further attempt, long before the attempt's deadline."""
    finished, server = stopped(says(LATER), after=0.1)
    assert finished.exit_code == 143
    assert finished.words == ["WARN interrupted"]
    assert (finished.outcome.outcome, finished.outcome.attempts, len(server.requests)) == ("Interrupted", 1, 1)
    assert finished.seconds < LATER / 2


def test_sigterm_in_a_wait_between_attempts() -> None:
    """At once, not at the end of the wait; the answer that was retried is told."""
    finished, server = stopped(answer(503), after=0.5, retries={"min_seconds": 60, "max_seconds": 60})
    assert (finished.exit_code, finished.outcome.outcome, finished.outcome.http_status) == (143, "Interrupted", 503)
    assert finished.words == ["WARN server error", "WARN interrupted"]
    assert finished.seconds < LATER / 2
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "name"), [(200, 0, "Succeeded"), (404, 1, "AppRejected"), (500, 143, "Interrupted")]
)
def test_sigterm_while_the_body_of_an_answer_comes(status: int, code: int, name: str) -> None:
    """2xx was said: 0. A refusal was said: 1. A 500 settles nothing: 143."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: 99\r\n\r\nso far".encode()
    finished, _ = stopped(says(head, LATER), after=0.7)
    assert (finished.exit_code, finished.outcome.outcome) == (code, name)
    assert finished.seconds < LATER / 2


def test_second_sigterm_does_not_break_the_report() -> None:
    """A person presses twice; outcome and exit code are the first one's."""
    with Server(says(LATER)) as server:
        program = Program(job_file(server.url(), timeout_seconds=60))
        assert server.asked.wait(30)
        for _ in range(3):
            program.process.send_signal(signal.SIGTERM)
        finished = program.finish(timeout=30)
    assert (finished.exit_code, finished.outcome.outcome) == (143, "Interrupted")


def test_sigterm_in_the_jitter() -> None:
    """Nothing was sent: 143 and no attempt."""
    slot = int(time.time()) // 60 * 60
    fire = {"app_uid": APP_UID, "cronjob": "c", "starting_deadline_seconds": 300, "jitter_seconds": 86400}
    with Server(answer(200)) as server:
        program = Program(job_file(server.url(), fire=fire), env={"CRONIX_JOB_NAME": f"c-{slot // 60}"})
        time.sleep(1)
        program.process.send_signal(signal.SIGTERM)
        finished = program.finish(timeout=30)
    assert (finished.exit_code, finished.outcome.attempts, server.connections) == (143, 0, 0)
    assert not finished.outcome.manual


def test_control_c_is_an_interruption_with_the_shells_code() -> None:
    """130 for whoever runs it by hand."""
    finished, _ = stopped(says(LATER), after=0.1, number=signal.SIGINT)
    assert (finished.exit_code, finished.outcome.outcome) == (130, "Interrupted")
