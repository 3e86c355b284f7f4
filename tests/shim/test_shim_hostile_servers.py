"""Against every kind of server: exact exit code, attempts, log lines and outcome, by the real program as a process.

All cases run at once, because most of them wait; a test then looks at its case.
"""

from __future__ import annotations

import concurrent.futures
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from shim.shim_helpers import Finished, Server, answer, closed_port, drips, headers_of, job_file, run, says

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

OK = answer(200, b"done")
RETRIED = ["WARN server error", "WARN server error", "ERROR retries exhausted"]
FAILED = ["WARN attempt failed", "WARN attempt failed", "ERROR retries exhausted"]
REJECTED = ["ERROR app rejected"]
SUCCESS = ["INFO success"]
SLOW: list[bytes | float] = [b"x", 0.4] * 40
OPT_IN = {"retry_on": [408, 425, 429, 503]}


@dataclass
class Case:
    """A server, what the job opts into, and the end: exit code, attempts, status, log, part of the message."""

    name: str
    handlers: list[Callable[[socket.socket], None]]
    exit_code: int
    attempts: int
    status: int | None
    words: list[str]
    message: str = ""
    excerpt: str = ""
    fire: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)


def failed(name: str, handler: Callable[[socket.socket], None], message: str) -> Case:
    return Case(name, [handler], 2, 2, None, FAILED, message)


def status(code: int, words: list[str], exit_code: int, attempts: int) -> Case:
    excerpt = "" if exit_code == 0 else f"body of {code}"
    return Case(
        str(code),
        [answer(code, f"body of {code}".encode())],
        exit_code,
        attempts,
        code,
        words,
        f"answered {code}",
        excerpt,
    )


CASES = [
    status(200, SUCCESS, 0, 1),
    status(201, SUCCESS, 0, 1),
    status(299, SUCCESS, 0, 1),
    Case("204", [answer(204)], 0, 1, 204, SUCCESS),
    Case("204 that keeps the connection", [says(b"HTTP/1.1 204 No\r\n\r\n", 5.0)], 0, 1, 204, SUCCESS),
    *(status(code, REJECTED, 1, 1) for code in (400, 401, 403, 404, 408, 410, 422, 425, 429, 499)),
    *(status(code, RETRIED, 2, 2) for code in (301, 302, 307, 308, 500, 502, 503, 504, 600, 999)),
    Case("304", [answer(304)], 2, 2, 304, RETRIED, "answered 304"),
    Case("101", [says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")], 2, 2, 101, RETRIED),
    Case("503 then 200", [answer(503), OK], 0, 2, 200, ["WARN server error", "INFO success"]),
    Case(
        "500 then 404", [answer(500), answer(404, b"gone")], 1, 2, 404, ["WARN server error", *REJECTED], "404", "gone"
    ),
    Case("nothing then 200", [says(), OK], 0, 2, 200, ["WARN attempt failed", "INFO success"]),
    Case(
        "503 then nothing",
        [answer(503), says()],
        2,
        2,
        None,
        [RETRIED[0], FAILED[0], RETRIED[2]],
        "closed the connection",
    ),
    *(
        Case(
            f"{code} where the job retries it",
            [answer(code), OK],
            0,
            2,
            200,
            ["WARN server error", "INFO success"],
            fire=OPT_IN,
        )
        for code in (408, 425, 429)
    ),
    Case("429 for ever where the job retries it", [answer(429)], 2, 2, 429, RETRIED, "answered 429", fire=OPT_IN),
    Case("404 is no matter of opting in", [answer(404)], 1, 1, 404, REJECTED, fire=OPT_IN),
    Case(
        "429 with Retry-After not honoured",
        [answer(429, Retry_After="1"), OK],
        0,
        2,
        200,
        ["WARN server error", "INFO success"],
        fire=OPT_IN,
    ),
    Case(
        "429 with Retry-After in seconds",
        [answer(429, Retry_After="1"), OK],
        0,
        2,
        200,
        ["WARN server error", "INFO success"],
        fire=OPT_IN | {"honor_retry_after": True},
    ),
    Case(
        "503 with Retry-After as a date far away, cut to max_seconds",
        [answer(503, Retry_After=formatdate(time.time() + 3600, usegmt=True)), OK],
        0,
        2,
        200,
        ["WARN server error", "INFO success"],
        fire={"honor_retry_after": True},
    ),
    Case(
        "100-continue then 200",
        [says(b"HTTP/1.1 100 Continue\r\n\r\n", 0.1, b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")],
        0,
        1,
        200,
        SUCCESS,
    ),
    failed("100-continue and nothing", says(b"HTTP/1.1 100 Continue\r\n\r\n"), "closed the connection"),
    failed("100-continue for ever", says(*[b"HTTP/1.1 100 Continue\r\n\r\n" * 700] * 20), "longer than 65536"),
    Case("HTTP/1.0", [says(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")], 0, 1, 200, SUCCESS),
    Case(
        "HTTP/1.0 that refuses",
        [says(b"HTTP/1.0 403 No\r\n\r\nuntil the end")],
        1,
        1,
        403,
        REJECTED,
        "",
        "until the end",
    ),
    Case(
        "bare line feeds",
        [says(b"HTTP/1.1 404 Not Found\nContent-Length: 3\n\nabcdef")],
        1,
        1,
        404,
        REJECTED,
        "",
        "abc",
    ),
    Case("no reason phrase", [says(b"HTTP/1.1 200\r\n\r\n")], 0, 1, 200, SUCCESS),
    Case(
        "chunked",
        [says(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n002\r\nde\r\n0\r\nT: r\r\n\r\n")],
        1,
        1,
        400,
        REJECTED,
        "",
        "abcde",
    ),
    Case("head in single bytes", [drips(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0.001)], 0, 1, 200, SUCCESS),
    failed("nothing", says(), "closed the connection"),
    failed("silence", says(30.0), "timed out after 1 s"),
    failed("garbage", says(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"), "not HTTP"),
    failed("another protocol", says(b"SSH-2.0-OpenSSH_9.6\r\n"), "not HTTP"),
    failed("HTTP/2", says(b"HTTP/2 200 OK\r\n\r\n"), "not HTTP"),
    failed("status of two digits", says(b"HTTP/1.1 20 OK\r\n\r\n"), "not HTTP"),
    failed("status with a sign", says(b"HTTP/1.1 +20 OK\r\n\r\n"), "not HTTP"),
    failed("status of four digits", says(b"HTTP/1.1 2000 OK\r\n\r\n"), "not HTTP"),
    failed("half a status line", says(b"HTTP/1.1 20"), "closed the connection"),
    failed("half a head", says(b"HTTP/1.1 200 OK\r\nContent-Le"), "closed the connection"),
    failed("head with a line that is no header", says(b"HTTP/1.1 200 OK\r\nwhat is this\r\n\r\n"), "no header"),
    failed(
        "head that never ends",
        says(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 8000 + b"\r\n"] * 400),
        "longer than 65536",
    ),
    failed("line that never ends", says(*[b"y" * 80000] * 100), "longer than 65536"),
    failed("a byte a second", drips(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50, 0.4), "timed out after 1 s"),
    Case("half a body", [says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")], 0, 1, 200, SUCCESS),
    Case(
        "half a body of a refusal",
        [says(b"HTTP/1.1 400 No\r\nContent-Length: 100\r\n\r\nhalf")],
        1,
        1,
        400,
        REJECTED,
        "",
        "half",
    ),
    Case(
        "half a body of a 500",
        [says(b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nhalf")],
        2,
        2,
        500,
        RETRIED,
        "answered 500",
        "half",
    ),
    Case(
        "body a byte a second",
        [says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *SLOW)],
        0,
        1,
        200,
        SUCCESS,
    ),
    Case("body without end", [says(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 400)], 0, 1, 200, SUCCESS),
    Case(
        "chunks without end",
        [says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"ffff\r\n" + b"x" * 65535 + b"\r\n"] * 400)],
        0,
        1,
        200,
        SUCCESS,
    ),
    Case(
        "chunk size of a liar",
        [says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")],
        0,
        1,
        200,
        SUCCESS,
    ),
    Case("length of a liar", [says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")], 0, 1, 200, SUCCESS),
    Case(
        "two lengths",
        [says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")],
        0,
        1,
        200,
        SUCCESS,
    ),
    Case(
        "gzip that was not asked for",
        [says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f\x8b")],
        0,
        1,
        200,
        SUCCESS,
    ),
]


# The deadline is what these are about; the others get so much time that a slow machine cannot make them fail.
TO_TIME_OUT = {"silence", "a byte a second", "body a byte a second"}


def _run_case(case: Case) -> tuple[Finished, Server]:
    changes = {"timeout_seconds": 1} if case.name in TO_TIME_OUT else {}
    with Server(*case.handlers) as server:
        return run(job_file(server.url(), fire=case.fire, **changes, **case.changes)), server


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, concurrent.futures.Future[tuple[Finished, Server]]]]:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        yield {case.name: pool.submit(_run_case, case) for case in CASES}


Results = dict[str, "concurrent.futures.Future[tuple[Finished, Server]]"]


def test_every_case_has_its_own_name() -> None:
    """None hides another."""
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_server(case: Case, results: Results) -> None:
    """Exit code, attempts, log and outcome are exactly the table's; the outcome and the log agree."""
    finished, server = results[case.name].result()
    assert finished.words == case.words, finished.stdout
    assert finished.exit_code == case.exit_code
    assert len(server.requests) == case.attempts
    outcome = finished.outcome
    names = {0: "Succeeded", 1: "AppRejected", 2: "RetriesExhausted"}
    assert (outcome.outcome, outcome.attempts, outcome.http_status) == (
        names[case.exit_code],
        case.attempts,
        case.status,
    )
    assert case.message in outcome.message
    assert outcome.excerpt == case.excerpt
    assert finished.stderr == b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_log_line_carries_what_the_peers_history_reader_needs(case: Case, results: Results) -> None:
    """time, level, msg, app, job and run_id on every line, attempt or attempts as the protocol has them."""
    finished, _ = results[case.name].result()
    run_id = finished.outcome.run_id
    for line in finished.lines:
        assert list(line)[:6] == ["time", "level", "msg", "app", "job", "run_id"]
        assert (line["app"], line["job"], line["run_id"]) == ("billing", "reconcile", run_id)
        wanted = {
            "trigger: success": {"attempt", "status", "duration_ms"},
            "trigger: app rejected": {"attempt", "status", "body_excerpt", "duration_ms"},
            "trigger: server error": {"attempt", "status", "body_excerpt", "duration_ms"},
            "trigger: attempt failed": {"attempt", "err", "duration_ms"},
            "trigger: retries exhausted": {"attempts", "last_status"},
        }[line["msg"]]
        assert wanted <= set(line) <= wanted | {"body_fault"} | {"time", "level", "msg", "app", "job", "run_id"}


def test_each_attempt_is_counted_and_all_share_the_run(results: Results) -> None:
    """X-Cron-Attempt goes up; run id, fire times and name stay."""
    finished, server = results["503 then 200"].result()
    first, second = (headers_of(request) for request in server.requests)
    assert (first["x-cron-attempt"], second["x-cron-attempt"]) == ("1", "2")
    same = ["x-cron-run-id", "x-cron-fire-time", "x-cron-fire-time-actual", "x-cron-schedule-name"]
    assert [first[name] for name in same] == [second[name] for name in same]
    assert first["x-cron-run-id"] == finished.outcome.run_id


def test_retry_after_is_waited_for_only_where_the_job_says_so(results: Results) -> None:
    """In seconds and as a date; the second is cut to the job's max_seconds."""
    assert results["429 with Retry-After not honoured"].result()[0].lines[-1]["attempt"] == 2
    for name in ("429 with Retry-After in seconds", "503 with Retry-After as a date far away, cut to max_seconds"):
        outcome = results[name].result()[0].outcome
        assert outcome.end_time - outcome.start_time >= 1


def test_body_that_broke_off_is_told_beside_the_success(results: Results) -> None:
    """The status stands; the line says what was missing."""
    for name, fault in (
        ("half a body", "closed the connection"),
        ("body a byte a second", "timed out after 1 s"),
        ("chunk size of a liar", "chunk without a size"),
        ("length of a liar", "no length"),
        ("two lengths", "no length"),
        ("gzip that was not asked for", "transfer encoding"),
    ):
        assert fault in results[name].result()[0].lines[-1]["body_fault"]
    assert "body_fault" not in results["body without end"].result()[0].lines[-1]


def test_redirects_are_never_followed(results: Results) -> None:
    """S5: the target of a Location gets nothing, signature least of all."""
    with Server(OK) as target, Server(answer(307, Location=target.url("/stolen"))) as server:
        finished = run(job_file(server.url()))
    assert (finished.exit_code, target.connections, len(server.requests)) == (2, 0, 2)


def test_closed_port() -> None:
    """Refused twice: exhausted, and the words say what was refused."""
    port = closed_port()
    finished = run(job_file(f"http://127.0.0.1:{port}/"))
    assert finished.words == FAILED
    assert finished.exit_code == 2
    assert f"connect to 127.0.0.1 port {port}: Connection refused" in finished.outcome.message
    assert (finished.outcome.http_status, finished.lines[-1]["last_status"]) == (None, 0)


def test_host_that_does_not_exist() -> None:
    """DNS says no: an attempt that failed, with the name that was looked up."""
    finished = run(job_file("http://no-such-host.invalid/", timeout_seconds=20, retries={"max_attempts": 1}))
    assert finished.exit_code == 2
    assert "look up no-such-host.invalid: " in finished.outcome.message
