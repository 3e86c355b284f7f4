"""While a key is replaced: the app says that a key is not its own, and the same attempt is made with the next one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cronix_protocol import verify
from cronix_protocol.jobfile import parse_job_file
from cronix_shim.answer import Answer
from cronix_shim.fire import Run, World, fire
from cronix_shim.report import Log
from shim.shim_helpers import KEY, Server, answer, headers_of, job_file, run, says

SLOT = 1_795_323_560
OTHER, THIRD = "other-key-0123456789abcdef", "third-key-0123456789abcdef"
NOT_MINE = answer(401, b'{"code":"SignatureMismatch","message":"no key matches"}')
OK = answer(200, b"done")


def refs(folder: Path, *keys: str) -> list[str]:
    """Key files in this order."""
    for number, key in enumerate(keys):
        (folder / f"k{number}").write_text(key)
    return [f"file:{folder}/k{number}" for number in range(len(keys))]


def signer_of(request: bytes) -> str:
    """The key that signed a request."""
    header = headers_of(request)["x-cron-signature"]
    for key in (KEY, OTHER, THIRD):
        if verify(header, secrets=[key], method="POST", path="/run", body=b'{"n":1}', now=int(time.time())).ok:
            return key
    raise AssertionError("signed with none of the keys")


def test_a_key_that_the_app_does_not_know_yet_costs_no_run(tmp_path: Path) -> None:
    """Same attempt, same run id; it is told, and it uses up no retry."""
    job = job_file("http://h/", secret_refs=refs(tmp_path, OTHER, THIRD, KEY), retries={"max_attempts": 1})
    with Server(NOT_MINE, NOT_MINE, OK) as server:
        job["job"]["request"]["url"] = server.url()
        finished = run(job)
    assert [signer_of(request) for request in server.requests] == [OTHER, THIRD, KEY]
    assert {headers_of(request)["x-cron-attempt"] for request in server.requests} == {"1"}
    assert len({headers_of(request)["x-cron-run-id"] for request in server.requests}) == 1
    assert finished.words == ["WARN key refused", "WARN key refused", "INFO success"]
    assert (finished.exit_code, finished.outcome.attempts) == (0, 1)


def test_when_no_key_is_the_apps_own_the_run_is_rejected(tmp_path: Path) -> None:
    """Each key once, then exit 1, as with a single one."""
    with Server(NOT_MINE) as server:
        finished = run(job_file(server.url(), secret_refs=refs(tmp_path, KEY, OTHER, KEY)))
    assert [signer_of(request) for request in server.requests] == [KEY, OTHER]
    assert (finished.exit_code, finished.outcome.outcome) == (1, "AppRejected")


@pytest.mark.parametrize(
    "refusal",
    [
        answer(401),
        answer(401, b"SignatureMismatch"),
        answer(401, b'"SignatureMismatch"'),
        answer(401, b'{"code":"StaleTimestamp","message":"SignatureMismatch"}'),
        answer(401, b'{"code":"SignatureMismatch"\xff}'),
        answer(403, b'{"code":"SignatureMismatch"}'),
        answer(400, b'{"code":"SignatureMismatch"}'),
    ],
)
def test_any_other_refusal_is_final(tmp_path: Path, refusal: object) -> None:
    """A job may have run before it answered that: it is not sent again."""
    with Server(refusal) as server:  # type: ignore[arg-type]  # what answer() returns
        finished = run(job_file(server.url(), secret_refs=refs(tmp_path, KEY, OTHER)))
    assert [signer_of(request) for request in server.requests] == [KEY]
    assert finished.exit_code == 1


def test_no_further_key_is_tried_when_the_attempts_time_is_over() -> None:
    """A refusal that comes with the last second ends the attempt; clock and network are the test's."""
    clock, sent = [float(SLOT)], []

    def send(_url: object, _tls: object, _request: bytes, timeout_seconds: float, got: Answer) -> None:
        sent.append(timeout_seconds)
        clock[0] += 6
        got.status, got.body = 401, b'{"code":"SignatureMismatch"}'

    world = World(
        now=lambda: clock[0],
        sleep=lambda _: None,
        send=send,
        environ={"A": KEY, "B": OTHER, "C": THIRD},
        log=Log(),
        settle=lambda: None,
    )
    job = job_file("http://h/run", secret_refs=["env:A", "env:B", "env:C"], timeout_seconds=10)
    outcome = fire(parse_job_file(json.dumps(job)), Run("run-id", SLOT, manual=False), world)
    assert sent == [10, 4]
    assert (outcome.outcome, outcome.attempts) == ("AppRejected", 1)


def test_the_next_key_gets_what_is_left_of_the_attempts_time(tmp_path: Path) -> None:
    """All keys of one attempt share its deadline: the job's deadlines were computed from that."""
    late = says(1.2, b'HTTP/1.1 401 No\r\nContent-Length: 28\r\n\r\n{"code":"SignatureMismatch"}')
    job = job_file("http://h/", secret_refs=refs(tmp_path, OTHER, KEY), retries={"max_attempts": 1}, timeout_seconds=2)
    with Server(late, says(1.2)) as server:
        job["job"]["request"]["url"] = server.url()
        finished = run(job)
    assert len(server.requests) == 2
    assert finished.exit_code == 2
    assert "within" in finished.outcome.message or "timed out" in finished.outcome.message
