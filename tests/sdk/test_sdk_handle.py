"""One request at a time through `Cron.handle`: the codes, their order, and what a job is told."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_protocol.manifest import parse_manifest
from cronix_sdk import Cron, GiveUp, Hooks, JobContext, MemoryRunStore, Refusal, Response
from sdk.sdk_helpers import KEY, MANIFEST, NOW, OTHER_KEY, fetch_manifest, fire, make_cron, signed, trigger_path


def with_echo(**arguments: object) -> tuple[Cron, list[JobContext]]:
    cron = make_cron(**arguments)
    seen: list[JobContext] = []

    @cron.job("echo", schedule="*/5 * * * *")
    def echo(context: JobContext) -> None:
        seen.append(context)

    return cron, seen


def test_a_verified_trigger_runs_the_job_and_is_answered_ok() -> None:
    """200, `{"ok":true}`, and the place of the key that verified."""
    cron, seen = with_echo()
    answer = fire(cron, "echo", b"hello")
    assert (answer.status, answer.json()) == (200, {"ok": True})
    assert ("x-cron-secret-index", "0") in answer.headers
    assert [context.body for context in seen] == [b"hello"]


def test_the_context_tells_run_id_attempt_and_the_three_times() -> None:
    """Everything that the X-Cron headers carry, as UTC instants."""
    cron, seen = with_echo()
    fire(
        cron,
        "echo",
        b'{"a":1}',
        run_id="0192-run",
        attempt="3",
        fire_time="1730000100",
        fire_time_actual="1730000101",
        previous_success_time="1729999800",
    )
    context = seen[0]
    assert (context.app, context.name, context.run_id, context.attempt) == ("billing", "echo", "0192-run", 3)
    assert context.fire_time == datetime.fromtimestamp(1_730_000_100, UTC)
    assert context.fire_time_actual == datetime.fromtimestamp(1_730_000_101, UTC)
    assert context.previous_success_time == datetime.fromtimestamp(1_729_999_800, UTC)
    assert (context.text(), context.json(), context.unverified, context.secret_index) == ('{"a":1}', {"a": 1}, False, 0)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1_0", " 1", "٣", "9" * 30])
def test_a_header_that_is_no_whole_number_counts_as_absent(text: str) -> None:
    """attempt 1, times None: a header beside the signature must not be able to raise in a job."""
    cron, seen = with_echo()
    fire(cron, "echo", attempt=text, fire_time=text, previous_success_time=text)
    assert (seen[0].attempt, seen[0].fire_time, seen[0].previous_success_time) == (1, None, None)


def refused(cron: Cron, **request: object) -> Response:
    return cron.handle(**{"method": "POST", "path": trigger_path("echo"), "headers": {}, "body": b"", **request})  # type: ignore[arg-type]  # a table's loose values


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({}, 401, "MissingSignature"),
        ({"headers": {"X-Cron-Signature": "t=1"}}, 401, "MalformedHeader"),
        ({"headers": {"X-Cron-Signature": ""}}, 401, "MalformedHeader"),
        ({"headers": signed("POST", trigger_path("echo"), at=NOW - 301)}, 401, "StaleTimestamp"),
        ({"headers": signed("POST", trigger_path("echo"), at=NOW + 301)}, 401, "StaleTimestamp"),
        ({"headers": signed("POST", trigger_path("echo"), key=OTHER_KEY)}, 401, "SignatureMismatch"),
        ({"headers": signed("POST", trigger_path("echo")), "body": b"x"}, 401, "SignatureMismatch"),
        ({"headers": signed("POST", trigger_path("echo")), "method": "PUT"}, 401, "SignatureMismatch"),
        ({"headers": signed("POST", trigger_path("other"))}, 401, "SignatureMismatch"),
        ({"path": MANIFEST, "headers": signed("POST", MANIFEST)}, 400, "BadMethod"),
        ({"path": "/elsewhere", "headers": signed("POST", "/elsewhere")}, 404, "BadPath"),
        ({"path": "/api/v1/scheduled/", "headers": signed("POST", "/api/v1/scheduled/")}, 404, "BadPath"),
        ({"path": "/api/v1/scheduled/a/b", "headers": signed("POST", "/api/v1/scheduled/a/b")}, 404, "BadPath"),
        ({"path": trigger_path("nope"), "headers": signed("POST", trigger_path("nope"))}, 404, "UnknownJob"),
    ],
)
def test_each_of_the_seven_codes_has_its_status_and_runs_nothing(
    request_: dict[str, object], status: int, code: str
) -> None:
    """The protocol's table; the body is JSON with `code` and `message`."""
    cron, seen = with_echo()
    answer = refused(cron, **request_)
    assert (answer.status, answer.code) == (status, code)
    assert ("content-type", "application/json") in answer.headers
    assert seen == []


@pytest.mark.parametrize("path", [trigger_path("echo"), trigger_path("nope"), "/elsewhere", "/api/v1/scheduled/"])
def test_without_a_signature_no_path_tells_whether_a_job_exists(path: str) -> None:
    """The RFC's order, signature first: a job's name cannot be probed."""
    cron, _ = with_echo()
    answers = {refused(cron, path=path).body for path in (path, trigger_path("echo"))}
    assert len(answers) == 1
    wrong_key = signed("POST", path, key=OTHER_KEY)
    assert refused(cron, path=path, headers=wrong_key).code == "SignatureMismatch"


@pytest.mark.parametrize("method", ["GET", "get", "PUT", "PATCH", "DELETE", "post"])
def test_a_trigger_may_use_any_method_that_is_signed(method: str) -> None:
    """The protocol has no method check for triggers."""
    cron, seen = with_echo()
    assert fire(cron, "echo", method=method).status == 200
    assert len(seen) == 1


def test_the_manifest_is_valid_sorted_and_without_empty_auth() -> None:
    """Readable by the protocol's own parser; `auth` is left out where no key is named."""
    cron, _ = with_echo()
    cron.job("alpha", schedule=["@daily", "0 12 * * *"], secret_refs=["billing-v2"], timezone="Europe/Paris")(
        lambda: None
    )
    answer = fetch_manifest(cron)
    assert answer.status == 200
    manifest = parse_manifest(answer.body)
    assert [(job.name, job.secret_refs) for job in manifest.jobs] == [("alpha", ("billing-v2",)), ("echo", ())]
    assert "auth" not in json.loads(answer.body)["jobs"][1]
    assert manifest.jobs[1].request.url == "http://billing.shop.svc:8080/api/v1/scheduled/echo"


def test_a_manifest_without_jobs_is_never_served() -> None:
    """503 and the reason instead of an empty list, which would mean "delete everything" (K4)."""
    answer = fetch_manifest(make_cron())
    assert (answer.status, answer.code) == (503, "NoJobs")
    assert "@cron.job" in str(answer.json())


def test_an_unsigned_fetch_of_the_manifest_is_refused() -> None:
    """Schedules and URLs are the key owner's business."""
    cron, _ = with_echo()
    assert refused(cron, method="GET", path=MANIFEST).code == "MissingSignature"


def test_a_job_that_raises_is_a_500_that_does_not_tell_the_exceptions_text(caplog: pytest.LogCaptureFixture) -> None:
    """The signer retries; the log has the trace, the answer only the exception's type."""
    cron = make_cron()

    @cron.job("boom", schedule="@hourly")
    def boom() -> None:
        raise ValueError("password is hunter2")

    answer = fire(cron, "boom", run_id="r-1")
    assert (answer.status, answer.code) == (500, "HandlerFailed")
    assert b"hunter2" not in answer.body
    assert "failed job=boom run_id=r-1" in caplog.text
    assert "hunter2" in caplog.text


def test_a_job_that_gives_up_is_a_422_that_is_not_retried() -> None:
    """`GiveUp` carries its message to the signer; its status stays within 400..499."""
    cron = make_cron()

    @cron.job("closed", schedule="@hourly")
    def closed() -> None:
        raise GiveUp("the books are closed", status=410)

    answer = fire(cron, "closed")
    assert (answer.status, answer.json()) == (410, {"code": "GivenUp", "message": "the books are closed"})
    with pytest.raises(ValueError, match=r"400\.\.499"):
        GiveUp("x", status=500)


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        (None, 200, {"ok": True}),
        ({"rows": 3}, 200, {"ok": True, "result": {"rows": 3}}),
        ([1], 200, {"ok": True, "result": [1]}),
        (object(), 200, {"ok": True}),
        (float("nan"), 200, {"ok": True}),
        (Response(202, b'{"queued":1}'), 202, {"queued": 1}),
        (Response(503, b"{}"), 503, {}),
    ],
)
def test_what_a_job_returns_becomes_the_answer(result: object, status: int, body: object) -> None:
    """A job that is done is never run again because of its return value."""
    cron = make_cron()
    cron.job("any", schedule="@hourly")(lambda: result)
    answer = fire(cron, "any")
    assert (answer.status, answer.json()) == (status, body)


def test_async_jobs_run_in_a_sync_handler_and_sync_jobs_in_an_async_one() -> None:
    """Four combinations, one answer."""
    cron = make_cron()

    @cron.job("later", schedule="@hourly")
    async def later(context: JobContext) -> str:
        await asyncio.sleep(0)
        return context.name

    @cron.job("now", schedule="@hourly")
    def now(context: JobContext) -> str:
        return context.name

    async def fire_async(job: str) -> Response:
        path = trigger_path(job)
        return await cron.handle_async(method="POST", path=path, headers=signed("POST", path), body=b"")

    for job in ("later", "now"):
        expected = {"ok": True, "result": job}
        assert fire(cron, job).json() == expected
        assert asyncio.run(fire_async(job)).json() == expected


def test_an_async_job_in_a_sync_handler_inside_a_running_loop_is_told() -> None:
    """asyncio refuses; the answer is a 500 and the coroutine is not left un-awaited."""
    cron = make_cron()

    @cron.job("later", schedule="@hourly")
    async def later() -> None:
        await asyncio.sleep(0)

    async def inside() -> Response:
        return fire(cron, "later")

    answer = asyncio.run(inside())
    assert answer.code == "HandlerFailed"
    assert "running event loop" in str(answer.error)


def test_a_sync_job_does_not_block_the_event_loop() -> None:
    """While it runs in its thread, the loop answers something else."""
    cron = make_cron()
    order: list[str] = []

    async def scenario() -> None:
        loop, started, finish = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        @cron.job("slow", schedule="@hourly")
        def slow() -> None:
            loop.call_soon_threadsafe(started.set)
            assert finish.wait(10)
            order.append("slow done")

        path = trigger_path("slow")
        task = asyncio.create_task(cron.handle_async(method="POST", path=path, headers=signed("POST", path), body=b""))
        await started.wait()
        order.append("loop is free")
        finish.set()
        assert (await task).status == 200

    asyncio.run(scenario())
    assert order == ["loop is free", "slow done"]


def test_a_cancelled_async_run_leaves_its_claim_free() -> None:
    """The server dropped the request; the next attempt of the same run must be able to do the work."""
    cron = make_cron(duplicates=MemoryRunStore())
    calls: list[int] = []

    async def scenario() -> Response:
        started = asyncio.Event()

        @cron.job("long", schedule="@hourly")
        async def long() -> None:
            calls.append(len(calls))
            started.set()
            if len(calls) == 1:
                await asyncio.sleep(60)

        path = trigger_path("long")

        def request(at: int) -> asyncio.Task[Response]:
            headers = signed("POST", path, at=at, run_id="r-1")
            return asyncio.create_task(cron.handle_async(method="POST", path=path, headers=headers, body=b""))

        first = request(NOW)
        await started.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await request(NOW + 1)

    assert asyncio.run(scenario()).json() == {"ok": True}
    assert calls == [0, 1]


def raising(*_: object) -> None:
    raise RuntimeError("a broken hook")


def test_hooks_that_raise_break_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """Every hook raises, on every kind of request; each answer is what it would have been."""
    hooks = Hooks(raising, raising, raising, raising, raising)
    cron, seen = with_echo(hooks=hooks)
    cron.job("boom", schedule="@hourly")(lambda: 1 // 0)
    assert fire(cron, "echo").status == 200
    assert fire(cron, "boom").code == "HandlerFailed"
    assert fetch_manifest(cron).status == 200
    assert refused(cron).code == "MissingSignature"
    assert len(seen) == 1
    told = [record.getMessage() for record in caplog.records if "hook" in record.getMessage()]
    assert len(told) == 6


def test_hooks_see_what_happened() -> None:
    """Start before success; the refusal with its code."""
    seen: list[object] = []
    hooks = Hooks(
        verify_failure=lambda refusal: seen.append(refusal.code),
        trigger_start=lambda context: seen.append(("start", context.run_id)),
        trigger_success=lambda context, answer: seen.append(("success", answer.status)),
        trigger_error=lambda context, error: seen.append(("error", type(error))),
        manifest_request=lambda: seen.append("manifest"),
    )
    cron, _ = with_echo(hooks=hooks)
    cron.job("boom", schedule="@hourly")(lambda: 1 // 0)
    fire(cron, "echo", run_id="r-1")
    fire(cron, "boom", run_id="r-2")
    fetch_manifest(cron)
    refused(cron)
    assert seen == [
        ("start", "r-1"),
        ("success", 200),
        ("start", "r-2"),
        ("error", ZeroDivisionError),
        "manifest",
        "MissingSignature",
    ]


def test_the_replay_window_of_a_job_beats_that_of_the_app() -> None:
    """30 s for one job, 300 s for the rest; both to the second."""
    cron, _ = with_echo()
    cron.job("strict", schedule="@hourly", replay_window_seconds=30)(lambda: None)
    assert fire(cron, "strict", at=NOW - 30).status == 200
    assert fire(cron, "strict", at=NOW - 31).code == "StaleTimestamp"
    assert fire(cron, "echo", at=NOW - 300).status == 200
    assert fire(cron, "echo", at=NOW - 301).code == "StaleTimestamp"


def test_a_job_with_a_key_of_its_own_takes_no_other() -> None:
    """The app's key runs the other jobs only, and the job's key runs only the job."""
    cron, _ = with_echo()
    cron.job("own", schedule="@hourly", secret=OTHER_KEY)(lambda: None)
    assert fire(cron, "own", key=OTHER_KEY).status == 200
    assert fire(cron, "own").code == "SignatureMismatch"
    assert fire(cron, "echo", key=OTHER_KEY).code == "SignatureMismatch"


def test_skip_verify_is_loud_and_marked(caplog: pytest.LogCaptureFixture) -> None:
    """A critical line at start, a warning for each request, a header, and a context that says unverified."""
    cron, seen = with_echo(skip_verify=True, secret=None, duplicates=MemoryRunStore())
    for _ in range(2):
        answer = refused(cron)
        assert answer.status == 200
    assert ("x-cron-unverified", "true") in answer.headers
    assert all(context.unverified and context.secret_index is None for context in seen)
    levels = [record.levelno for record in caplog.records]
    assert levels.count(logging.CRITICAL) == 1
    assert sum("UNVERIFIED" in record.getMessage() for record in caplog.records) == 2


def test_repeated_headers_count_by_their_first_value_in_any_case() -> None:
    """As the peer does; pairs, bytes and mixed case are all fine."""
    cron, seen = with_echo()
    good = signed("POST", trigger_path("echo"))["X-Cron-Signature"]
    pairs: list[tuple[str | bytes, str | bytes]] = [
        (b"x-CRON-signature", good.encode()),
        ("X-Cron-Signature", "t=1,v1=00"),
        (b"X-Cron-Run-Id", b"r-1"),
    ]
    assert refused(cron, headers=pairs).status == 200
    assert seen[0].run_id == "r-1"


def test_a_body_over_the_limit_is_refused_before_it_is_hashed() -> None:
    """413; the limit itself is still fine."""
    cron, _ = with_echo(max_body_bytes=4)
    assert fire(cron, "echo", b"1234").status == 200
    assert fire(cron, "echo", b"12345").code == "BodyTooLarge"


def test_a_trigger_reads_as_one_log_line_that_headers_cannot_forge(caplog: pytest.LogCaptureFixture) -> None:
    """Run id and path are the sender's text: blanks, escapes and line ends come out quoted (C7)."""
    caplog.set_level(logging.INFO, "cronix_sdk")
    cron, _ = with_echo()
    fire(cron, "echo", run_id="r-1", fire_time=str(NOW))
    fire(cron, "echo", run_id="r-2 key=root\x1b[31m\nverified job=x")
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("verified")]
    assert lines[0] == "verified job=echo run_id=r-1 scheduled=2024-10-27T03:33:20Z attempt=1 key=0"
    assert lines[1].startswith(r"verified job=echo run_id='r-2 key=root\x1b[31m\nverified job=x' scheduled=")


@pytest.mark.law
@settings(max_examples=80, deadline=None)
@given(
    method=st.text(max_size=8),
    path=st.text(max_size=60),
    headers=st.dictionaries(st.text(max_size=20), st.text(max_size=80), max_size=4),
    header=st.text(max_size=120) | st.just(f"t={NOW},v1={'0' * 64}"),
    body=st.binary(max_size=64) | st.text(max_size=10) | st.none(),
)
def test_no_request_without_the_key_runs_anything_or_raises(
    method: str, path: str, headers: dict[str, str], header: str, body: object
) -> None:
    """Whatever is sent: an answer of 400 and more, a code in it, and no job."""
    cron, seen = with_echo()
    answer = cron.handle(
        method=method,
        path=path,
        headers={**headers, "X-Cron-Signature": header},
        body=body,  # type: ignore[arg-type]  # hostile on purpose
    )
    assert answer.status >= 400
    assert answer.code is not None
    assert seen == []


def test_a_refusal_knows_its_status() -> None:
    """Hooks get the refusal itself."""
    assert Refusal("SignatureMismatch", "x").status == 401
    assert KEY not in repr(Refusal("SignatureMismatch", "x"))
