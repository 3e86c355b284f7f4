"""Random headers, job files and answers: no exception that is not declared. CRONIX_FUZZ_CASES=100000 for a long run."""

import contextlib
import json
import os
import random
from collections.abc import Callable

import pytest

from cronix_protocol import lightjson, sign, verify
from cronix_protocol.headers import header_fault
from cronix_protocol.jobfile import JobFileInvalid, parse_job_file
from cronix_protocol.outcome import parse_outcome, printable
from cronix_protocol.runid import parse_rfc3339, slot_from_job_name
from cronix_shim.answer import Answer, AnswerInvalid, read_answer
from cronix_shim.attempts import http_date, retry_after_seconds, valid_traceparent
from shim.shim_helpers import APP_UID, KEY, job_file

CASES = int(os.environ.get("CRONIX_FUZZ_CASES", "200"))
SEED = int(os.environ.get("CRONIX_FUZZ_SEED", str(random.randrange(2**32))))
NOW = 1_730_000_000
GOOD = sign(KEY, method="POST", path="/x", body=b"b", timestamp=NOW)
FIRE = {
    "app_uid": APP_UID,
    "cronjob": "c",
    "retry_on": [429],
    "headers": [{"name": "A", "value": "b"}],
    "ca_file": "/x",
}
GOOD_JOB = json.dumps(job_file("https://h.example:8/run?x=1", fire=FIRE | {"target_base_url": "http://[::1]:80"}))
GOOD_OUTCOME = (
    '{"version":1,"outcome":"Succeeded","run_id":"x","scheduled_time":1,"manual":false,"start_time":1.5,"end_time":2,'
    '"attempts":1,"http_status":200,"message":"answered 200","excerpt":""}'
)
GOOD_ANSWER = (
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
)
SPICE = [
    "\ud800",
    "\u202e",
    "\0",
    "\r\n",
    "\uff15",
    "\U0001d7d9",
    "NaN",
    "1e999",
    "-0",
    "9" * 4400,
    "true",
    "null",
    "[" * 2000,
    '"',
    "\\",
    "\\ud800",
]
SPICE += [
    "{}",
    "[]",
    "=",
    ",",
    "t=",
    "v1=",
    ":",
    "/",
    "?",
    "#",
    "@",
    "[",
    "]",
    "%",
    "€",
    "\x7f",
    "\ufeff",
    "0",
    "-1",
    " ",
    "\t",
    "ß",
]


def mutated(text: str, rng: random.Random) -> str:
    """The text with some pieces cut, doubled, swapped or spiced."""
    for _ in range(rng.randrange(1, 6)):
        a, b = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        piece = rng.choice(["", text[a:b] * 2, text[a:b][::-1], rng.choice(SPICE), chr(rng.randrange(256))])
        text = text[:a] + piece + (text[b:] if rng.random() < 0.8 else text[a:])
        text = text[:20000]
    return text


def fuzz_verify(rng: random.Random) -> None:
    header, path, method = (mutated(text, rng) for text in (GOOD, "/x", "POST"))
    verdict = verify(header, secrets=["", KEY], method=method, path=path, body=b"b", now=NOW)
    assert verdict.ok in {True, False}
    if verdict.ok:
        assert (path or "/") == "/x"
    with contextlib.suppress(ValueError):
        sign(mutated(KEY, rng), method=method, path=path, body=b"", timestamp=rng.randrange(-5, 2**60))


def fuzz_job_file(rng: random.Random) -> None:
    text = mutated(GOOD_JOB, rng)
    with contextlib.suppress(JobFileInvalid):
        job = parse_job_file(text, allow_raw=rng.random() < 0.5)
        assert f"{job.method} {job.url.path} {job.url.authority} {job.job}".isprintable() or not job.job.isprintable()
        for header in (*job.headers, *job.fire.headers):
            assert header_fault(header.name, header.value) is None


def fuzz_answer(rng: random.Random) -> None:
    raw = mutated(GOOD_ANSWER, rng).encode("utf-8", "surrogatepass")
    cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(3))
    parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if a < b]
    with contextlib.suppress(AnswerInvalid):
        read_answer(lambda: parts.pop(0) if parts else b"", Answer())


def fuzz_texts(rng: random.Random) -> None:
    for text in ("Sun, 06 Nov 1994 08:49:37 GMT", "120", "Sun Nov  6 08:49:37 1994"):
        changed = mutated(text, rng)
        assert retry_after_seconds(changed, NOW) is None or retry_after_seconds(changed, NOW) is not None
        http_date(changed)
    valid_traceparent(mutated("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", rng))
    parse_rfc3339(mutated("2026-01-31T23:59:00Z", rng))
    slot_from_job_name(mutated("c-29922060", rng), "c", NOW, 1e12)
    parse_outcome(mutated(GOOD_OUTCOME, rng))
    assert printable(mutated(GOOD_ANSWER, rng), 200).isprintable()
    with contextlib.suppress(ValueError):
        lightjson.loads(mutated(GOOD_OUTCOME, rng))


@pytest.mark.law
@pytest.mark.parametrize("fuzz", [fuzz_verify, fuzz_job_file, fuzz_answer, fuzz_texts])
def test_random_input_raises_nothing_undeclared(fuzz: Callable[[random.Random], None]) -> None:
    """Each case has its own seed, which the failure names."""
    for case in range(CASES):
        seed = f"{SEED}/{case}"
        try:
            fuzz(random.Random(seed))
        except Exception as error:
            error.add_note(f"random.Random({seed!r})")
            raise
