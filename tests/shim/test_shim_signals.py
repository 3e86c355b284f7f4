"""SIGTERM: before an answer 143, so that the Job replaces the pod; after one, what the answer says (design §8)."""

from __future__ import annotations

import concurrent.futures
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shim.shim_helpers import APP_UID, Finished, Program, Server, answer, job_file, says

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

LATER = 60.0


@dataclass
class Case:
    """When the signal comes, and how the run ends. ``after`` is counted from the request's arrival."""

    name: str
    handler: Callable[[socket.socket], None]
    after: float
    exit_code: int
    outcome: str
    words: list[str]
    status: int | None = None
    number: int = signal.SIGTERM
    times: int = 1


def begins(status: int) -> Callable[[socket.socket], None]:
    """An answer whose body does not come to its end."""
    return says(f"HTTP/1.1 {status} X\r\nContent-Length: 99\r\n\r\nso far".encode(), LATER)


INTERRUPTED = "WARN interrupted"
CASES = [
    Case("while the server thinks", says(LATER), 0.1, 143, "Interrupted", [INTERRUPTED]),
    Case("three times", says(LATER), 0.1, 143, "Interrupted", [INTERRUPTED], times=3),
    Case("ctrl-c", says(LATER), 0.1, 130, "Interrupted", [INTERRUPTED], number=signal.SIGINT),
    Case("in a wait", answer(503), 1.0, 143, "Interrupted", ["WARN server error", INTERRUPTED], 503),
    Case("in the body of a success", begins(200), 1.0, 0, "Succeeded", ["INFO success"], 200),
    Case("in the body of a refusal", begins(404), 1.0, 1, "AppRejected", ["ERROR app rejected"], 404),
    Case("in the body of a 500", begins(500), 1.0, 143, "Interrupted", [INTERRUPTED], 500),
]


def stopped(case: Case) -> tuple[Finished, Server]:
    """Run against a server that takes a minute, where waits take a minute, and send the signal."""
    with Server(case.handler) as server:
        retries = {"min_seconds": 60, "max_seconds": 60}
        program = Program(job_file(server.url(), timeout_seconds=60, retries=retries))
        assert server.asked.wait(30)
        time.sleep(case.after)
        for _ in range(case.times):
            program.process.send_signal(case.number)
        return program.finish(timeout=30), server


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, concurrent.futures.Future[tuple[Finished, Server]]]]:
    with concurrent.futures.ThreadPoolExecutor(len(CASES)) as pool:
        yield {case.name: pool.submit(stopped, case) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_signal(case: Case, results: dict[str, concurrent.futures.Future[tuple[Finished, Server]]]) -> None:
    """Before an answer that settles the run: 143 at once. After 2xx: 0. After a refusal: 1. One request in all."""
    finished, server = results[case.name].result()
    assert (finished.exit_code, finished.words) == (case.exit_code, case.words)
    outcome = finished.outcome
    assert (outcome.outcome, outcome.attempts, outcome.http_status) == (case.outcome, 1, case.status)
    assert len(server.requests) == 1
    assert finished.seconds < LATER / 2


def catches_sigterm(pid: int) -> bool:
    """Whether the process has its handler, by the kernel's own record."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_sigterm_in_the_jitter() -> None:
    """Nothing was sent: 143 and no attempt."""
    slot = int(time.time()) // 60 * 60
    fire = {"app_uid": APP_UID, "cronjob": "c", "starting_deadline_seconds": 300, "jitter_seconds": 86400}
    with Server(answer(200)) as server:
        program = Program(job_file(server.url(), fire=fire), env={"CRONIX_JOB_NAME": f"c-{slot // 60}"})
        while not catches_sigterm(program.process.pid):
            time.sleep(0.01)
        time.sleep(0.3)  # from there to the jitter's sleep it is a few milliseconds
        program.process.send_signal(signal.SIGTERM)
        finished = program.finish(timeout=30)
    assert (finished.exit_code, finished.outcome.attempts, server.connections) == (143, 0, 0)
    assert finished.outcome.outcome == "Interrupted"
