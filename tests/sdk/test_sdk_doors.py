"""The same promises through every framework, over a real socket."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from cronix_protocol.manifest import parse_manifest
from cronix_sdk import Cron, JobContext
from sdk.sdk_doors import DOORS, Door
from sdk.sdk_helpers import KEY, MANIFEST, OTHER_KEY, make_cron, signed, trigger_path

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = trigger_path("digest")
ODD_QUERIES = ["a=1&b=2", "a=%2Fb%2f", "q=%zz&%", "x=a+b%20c", "e=%C3%A9", "a=b?c=d", "&&==", 'j={"a":[1]}', "t=1,v1=x"]

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
BODY_KINDS = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json",
    "text/plain; charset=utf-16",
]


def with_jobs(**arguments: Any) -> Cron:
    cron = make_cron(clock=time.time, **arguments)

    @cron.job("digest", schedule="@hourly")
    def digest(context: JobContext) -> dict[str, str]:
        return {"sha256": hashlib.sha256(context.body).hexdigest(), "run_id": context.run_id}

    @cron.job("later", schedule="@hourly")
    async def later(context: JobContext) -> str:
        return context.name

    @cron.job("boom", schedule="@hourly")
    def boom() -> None:
        raise RuntimeError("hunter2")

    return cron


@pytest.fixture(scope="module", params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    serve, mount = DOORS[request.param]
    with serve(mount(with_jobs())) as opened:
        yield opened


def now_signed(
    method: str, path: str, body: bytes = b"", *, at: int = 0, key: str = KEY, **headers: str
) -> dict[str, str]:
    return signed(method, path, body, at=int(time.time()) + at, key=key, **headers)


def ask(door: Door, path: str, body: bytes = b"", method: str = "POST", **more: str) -> tuple[int, Any]:
    status, answer, kind = door.ask(method, path, {**now_signed(method, path, body, run_id="r-1"), **more}, body)
    assert kind == "application/json"
    return status, json.loads(answer)


def test_a_verified_trigger_runs_its_job(door: Door) -> None:
    """Body and headers arrive as they were sent."""
    body = b'{"month": "2025-10"}'
    assert ask(door, DIGEST, body) == (
        200,
        {"ok": True, "result": {"sha256": hashlib.sha256(body).hexdigest(), "run_id": "r-1"}},
    )


def test_an_async_job_runs_behind_sync_and_async_servers(door: Door) -> None:
    """`async def` is no matter of the framework."""
    assert ask(door, trigger_path("later")) == (200, {"ok": True, "result": "later"})


def test_a_job_that_raises_is_a_json_500(door: Door) -> None:
    """Not the framework's error page, and not the exception's text."""
    status, answer = ask(door, trigger_path("boom"))
    assert (status, answer["code"]) == (500, "HandlerFailed")
    assert "hunter2" not in json.dumps(answer)


def test_what_does_not_verify_is_refused(door: Door) -> None:
    """Unsigned, malformed, tampered, of another key, stale."""
    refused: dict[str, list[dict[str, str]]] = {
        "MissingSignature": [{}],
        "MalformedHeader": [{"X-Cron-Signature": "nonsense"}],
        "SignatureMismatch": [
            now_signed("POST", DIGEST, b"tampered"),
            now_signed("POST", DIGEST, b"body", key=OTHER_KEY),
        ],
        "StaleTimestamp": [now_signed("POST", DIGEST, b"body", at=seconds) for seconds in (-3600, 3600)],
    }
    for code, requests in refused.items():
        for headers in requests:
            status, answer, _ = door.ask("POST", DIGEST, headers, b"body")
            assert (status, json.loads(answer)["code"]) == (401, code)


def test_an_unknown_job_is_told_to_the_owner_of_the_key_only(door: Door) -> None:
    """404 with the key, 401 without."""
    assert ask(door, trigger_path("nope"))[1]["code"] == "UnknownJob"
    assert json.loads(door.ask("POST", trigger_path("nope"), {})[1])["code"] == "MissingSignature"
    assert ask(door, trigger_path("a/b"))[1]["code"] == "BadPath"


def test_the_manifest_is_served_to_a_signed_get_only(door: Door) -> None:
    """Valid, and BadMethod before anything else for other methods."""
    status, answer, kind = door.ask("GET", MANIFEST, now_signed("GET", MANIFEST))
    assert (status, kind) == (200, "application/json")
    assert [job.name for job in parse_manifest(answer).jobs] == ["boom", "digest", "later"]
    assert ask(door, MANIFEST)[1]["code"] == "BadMethod"
    assert json.loads(door.ask("GET", MANIFEST, {})[1])["code"] == "MissingSignature"


def test_no_parser_gets_at_the_body_before_it_is_verified(door: Door) -> None:
    """Form data, multipart and JSON that is none: the bytes count, not what a framework makes of them."""
    for kind in BODY_KINDS:
        for body in (b"a=1&b=%20", b"{not json", bytes(range(256))):
            status, answer = ask(door, DIGEST, body, **{"Content-Type": kind})
            assert (status, answer["result"]["sha256"]) == (200, hashlib.sha256(body).hexdigest()), kind


def test_a_body_of_one_mebibyte_arrives_whole(door: Door) -> None:
    """As large as the protocol's largest vector."""
    body = bytes(range(256)) * 4096
    assert ask(door, DIGEST, body)[1]["result"]["sha256"] == hashlib.sha256(body).hexdigest()


def test_triggers_may_use_every_method_of_the_protocol(door: Door) -> None:
    """With a body, too."""
    assert {method: ask(door, DIGEST, b"x", method)[0] for method in METHODS} == dict.fromkeys(METHODS, 200)


def test_a_query_is_verified_as_it_was_sent(door: Door) -> None:
    """Odd escapes, blanks as plus, a second question mark: nothing is decoded or sorted."""
    assert {query: ask(door, f"{DIGEST}?{query}")[0] for query in ODD_QUERIES} == dict.fromkeys(ODD_QUERIES, 200)


def test_other_paths_belong_to_the_app(door: Door) -> None:
    """Mounted in front of or inside an app, the SDK takes its own two endpoints only."""
    status, answer, _ = door.ask("GET", "/inner", {})
    assert (status, answer) == (200, b"inner")


@pytest.mark.parametrize("name", DOORS)
def test_jobs_with_urls_of_their_own_are_served_below_a_prefix_that_a_proxy_strips(name: str) -> None:
    """The path is compared and signed as sent; an escaped slash is seen where the server gives the raw path."""
    cron = make_cron(clock=time.time, base_url="https://billing.example.com/v2")
    paths = ["/internal/run?x=1", "/own/with%20space"]
    if name in ("wsgi-on-werkzeug", "asgi"):
        paths.append("/own/%C3%A9/%2Fslash")
    for number, path in enumerate(paths):
        cron.job(f"own-{number}", schedule="@hourly", url=f"https://billing.example.com/v2{path}")(lambda: "own")
    serve, mount = DOORS[name]
    with serve(mount(cron)) as opened:
        for path in paths:
            status, answer, _ = opened.ask("POST", path, now_signed("POST", f"/v2{path}", b"body"), b"body")
            assert (status, json.loads(answer)) == (200, {"ok": True, "result": "own"})


@pytest.mark.parametrize("name", DOORS)
def test_a_body_over_the_limit_is_a_413(name: str) -> None:
    """Whoever sends it, and without reading all of it."""
    cron = with_jobs(max_body_bytes=1000)
    serve, mount = DOORS[name]
    with serve(mount(cron)) as opened:
        status, answer, _ = opened.ask("POST", DIGEST, {}, b"x" * 1001)
        assert (status, json.loads(answer)["code"]) == (413, "BodyTooLarge")
