"""The attempt loop with clock, sleep and network in the test's hand: what is signed when, and for which run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cronix_protocol import verify
from cronix_protocol.jobfile import parse_job_file
from cronix_shim.fire import Interrupted, Run, World, fire
from cronix_shim.report import Log
from cronix_shim.transport import AttemptFailed
from shim.shim_helpers import APP_UID, KEY, headers_of, job_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cronix_protocol.joburl import Url
    from cronix_protocol.outcome import Outcome
    from cronix_shim.answer import Answer
    from cronix_shim.transport import Tls

START = 1_795_323_600
SLOT = START - 40


class Stage:
    """A world whose clock only the run moves: each attempt takes ``attempt_seconds``, each sleep what it says."""

    def __init__(self, *script: int | str | type[BaseException], attempt_seconds: float = 0.0) -> None:
        self.script = list(script)
        self.attempt_seconds = attempt_seconds
        self.clock = float(START)
        self.sleeps: list[float] = []
        self.sent: list[tuple[float, bytes]] = []
        self.targets: list[tuple[str, int, str]] = []
        self.settled = 0
        self.before_send: Callable[[int], None] = lambda _: None

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.clock += seconds

    def send(self, url: Url, tls: Tls, request: bytes, timeout_seconds: float, answer: Answer) -> None:
        self.sent.append((self.clock, request))
        self.targets.append((url.host, url.port, tls.ca_file))
        step = self.script[len(self.sent) - 1]
        self.before_send(len(self.sent))
        self.clock += self.attempt_seconds
        if isinstance(step, str):
            raise AttemptFailed(step)
        if not isinstance(step, int):
            raise step
        answer.status = step
        answer.body = b"body"

    def settle(self) -> None:
        self.settled += 1

    def run(self, job: Mapping[str, Any], *, manual: bool = False, environ: Mapping[str, str] | None = None) -> Outcome:
        world = World(
            now=lambda: self.clock,
            sleep=self.sleep,
            send=self.send,
            environ={"CRON_KEY": KEY} if environ is None else environ,
            log=Log(),
            settle=self.settle,
        )
        return fire(parse_job_file(json.dumps(job)), Run("run-id", SLOT, manual=manual), world)


def accepted(at: float, request: bytes) -> bool:
    """What a receiver says that gets the request at that time."""
    line, _, body = request.partition(b" ")[2].partition(b"\r\n\r\n")
    path = line.split(b" ", 1)[0].decode()
    method = request.partition(b" ")[0].decode()
    header = headers_of(request)["x-cron-signature"]
    return verify(header, secrets=[KEY], method=method, path=path, body=body, now=int(at)).ok


def test_second_attempt_400_seconds_later_is_accepted() -> None:
    """C4: each attempt has the time of its own start, so no retry is stale; the peer's first timestamp would be."""
    stage = Stage("timed out", 200, attempt_seconds=0)
    outcome = stage.run(
        job_file("http://h/run?x=1", retries={"max_attempts": 2, "min_seconds": 400, "max_seconds": 600})
    )
    assert outcome.outcome == "Succeeded"
    (first_at, first), (second_at, second) = stage.sent
    assert second_at - first_at == 400
    assert accepted(first_at, first)
    assert accepted(second_at, second)
    assert not accepted(second_at, first)


def test_slow_attempts_and_full_backoff_are_all_accepted() -> None:
    """Ten attempts over more than an hour."""
    stage = Stage(*["timed out"] * 9, 200, attempt_seconds=600)
    outcome = stage.run(
        job_file("http://h/run", timeout_seconds=600, retries={"max_attempts": 10, "min_seconds": 1, "max_seconds": 60})
    )
    assert (outcome.outcome, outcome.attempts) == ("Succeeded", 10)
    assert stage.sleeps == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert all(accepted(at, request) for at, request in stage.sent)
    assert outcome.end_time - outcome.start_time == 6000 + 243


def test_last_attempt_is_followed_by_no_wait() -> None:
    """Three attempts, two waits."""
    stage = Stage(500, "refused", 503)
    outcome = stage.run(job_file("http://h/", retries={"max_attempts": 3, "min_seconds": 5}))
    assert (outcome.outcome, stage.sleeps, outcome.http_status) == ("RetriesExhausted", [1, 1], 503)
    assert outcome.message == "3 attempts failed; the last: answered 503"


def test_jitter_comes_before_the_first_attempt_and_leaves_the_slot_alone() -> None:
    """The fire time is the slot's, the actual one is after the wait, and a late start waits less."""
    options = {"app_uid": APP_UID, "jitter_seconds": 3600}
    stage = Stage(500, 200)
    stage.run(job_file("http://h/", fire=options))
    (wait, _), sent = stage.sleeps, headers_of(stage.sent[0][1])
    assert 40 < wait < 3600
    assert (sent["x-cron-fire-time"], sent["x-cron-fire-time-actual"]) == (str(SLOT), str(int(START + wait)))
    later = Stage(200)
    later.clock += 10
    later.run(job_file("http://h/", fire=options))
    assert later.sleeps == [pytest.approx(wait - 10)]


def test_run_by_hand_and_late_start_wait_for_no_jitter() -> None:
    """Who starts a run by hand waits for it; and a slot long past has had its jitter."""
    options = {"app_uid": APP_UID, "jitter_seconds": 60}
    stage = Stage(200)
    stage.run(job_file("http://h/", fire=options), manual=True)
    late = Stage(200)
    late.clock += 100
    late.run(job_file("http://h/", fire=options))
    assert (stage.sleeps, late.sleeps) == ([], [])


def test_target_is_connected_to_while_host_and_path_are_the_manifests() -> None:
    """The Host header and the signed path are the job URL's; the connection goes elsewhere, with the CA given."""
    stage = Stage(200)
    fire_options = {"target_base_url": "http://billing.shop.svc:8080", "ca_file": "/ca.pem"}
    stage.run(job_file("https://billing.example.com:444/run?a=1", fire=fire_options))
    assert stage.targets == [("billing.shop.svc", 8080, "/ca.pem")]
    request = stage.sent[0][1]
    assert request.startswith(b"POST /run?a=1 HTTP/1.1\r\nHost: billing.example.com:444\r\n")
    assert accepted(START, request)


def test_signal_before_an_answer_interrupts() -> None:
    """No answer, so the pod must be replaced; an earlier 503 is told but settles nothing."""
    stage = Stage(503, Interrupted)
    outcome = stage.run(job_file("http://h/"))
    assert (outcome.outcome, outcome.attempts, stage.settled) == ("Interrupted", 2, 1)
    assert outcome.http_status is None


@pytest.mark.parametrize(("status", "name"), [(200, "Succeeded"), (404, "AppRejected"), (503, "Interrupted")])
def test_signal_while_the_body_is_read_keeps_the_answer(status: int, name: str) -> None:
    """2xx and a refusal are the end of the run, whatever comes after; a 503 is none."""

    class Reading(Stage):
        def send(self, url: Url, tls: Tls, request: bytes, timeout_seconds: float, answer: Answer) -> None:
            answer.status = status
            raise Interrupted

    assert Reading().run(job_file("http://h/")).outcome == name


def test_signal_in_a_wait_interrupts_at_once() -> None:
    """Between attempts and in the jitter."""

    class Waiting(Stage):
        def sleep(self, seconds: float) -> None:
            raise Interrupted

    outcome = Waiting(503).run(job_file("http://h/"))
    assert (outcome.outcome, outcome.attempts, outcome.http_status) == ("Interrupted", 1, 503)
    jittering = Waiting(200).run(job_file("http://h/", fire={"app_uid": APP_UID, "jitter_seconds": 3600}))
    assert (jittering.outcome, jittering.attempts) == ("Interrupted", 0)


def test_key_that_is_gone_at_the_second_attempt_stops_the_run() -> None:
    """Nothing is ever sent unsigned; the outcome counts what was sent."""
    environ = {"CRON_KEY": KEY}
    stage = Stage(503, 200)
    stage.before_send = lambda _: environ.clear()
    outcome = stage.run(job_file("http://h/"), environ=environ)
    assert (outcome.outcome, outcome.attempts, outcome.http_status, len(stage.sent)) == ("NoKey", 1, 503, 1)


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", "", None), ("DELETE", "", None), ("GET", "x", "1"), ("PUT", "", "0"), ("POST", "€", "3")],
)
def test_content_length_and_no_content_type(method: str, body: str, length: str | None) -> None:
    """A length where there is or may be a body; never a Content-Type that the manifest did not name."""
    stage = Stage(200)
    stage.run(job_file("http://h/", request={"method": method, "body": body}))
    sent = headers_of(stage.sent[0][1])
    assert sent.get("content-length") == length
    assert "content-type" not in sent
    assert stage.sent[0][1].endswith(b"\r\n\r\n" + body.encode())
    assert accepted(START, stage.sent[0][1])


def test_headers_of_the_tenant_win_over_the_manifests_and_ours_are_last() -> None:
    """connection headers replace manifest headers of the same name in any case; each name is sent once."""
    stage = Stage(200)
    fire_options = {"headers": [{"name": "x-tenant", "value": "b"}]}
    stage.run(
        job_file(
            "http://h/", fire=fire_options, request={"headers": {"X-Tenant": "a", "User-Agent": "me", "Accept": "*/*"}}
        )
    )
    sent = headers_of(stage.sent[0][1])
    assert (sent["x-tenant"], sent["user-agent"], sent["accept"]) == ("b", "me", "*/*")
    names = [line.split(b":")[0] for line in stage.sent[0][1].split(b"\r\n")[1:-2]]
    assert names[-8:-1] == [
        b"X-Cron-Signature",
        b"X-Cron-Run-Id",
        b"X-Cron-Schedule-Name",
        b"X-Cron-Fire-Time",
        b"X-Cron-Fire-Time-Actual",
        b"X-Cron-Attempt",
        b"Connection",
    ]


def test_clock_that_is_off_is_told_with_a_401() -> None:
    """A 401 whose Date is more than 300 s from our clock says why."""

    class Skewed(Stage):
        def send(self, url: Url, tls: Tls, request: bytes, timeout_seconds: float, answer: Answer) -> None:
            answer.status = 401
            answer.headers = {"date": "Sun, 06 Nov 1994 08:49:37 GMT"}

    assert "apart; signatures are good for 300 s" in Skewed().run(job_file("http://h/")).message
    assert Stage(401).run(job_file("http://h/")).message == "answered 401"
