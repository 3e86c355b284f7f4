"""The mistakes of the field: for each, the answer and the log tell the developer which one it is."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING, Any

import pytest

from cronix_sdk import Cron, MemoryRunStore, Response
from cronix_sdk.request import Incoming
from cronix_sdk.verifying import Check
from sdk.sdk_helpers import KEY, MANIFEST, NOW, OTHER_KEY, fire, make_cron, signed, trigger_path

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = trigger_path("echo")
INCOMING = Incoming("POST", PATH, {}, b"")
BODY = b'{"month": "2025-10"}'


def echo_cron(**arguments: object) -> Cron:
    cron = make_cron(**arguments)
    cron.job("echo", schedule="@hourly", method="POST")(lambda: None)
    return cron


def ask(cron: Cron, path: str, headers: dict[str, str], body: Any) -> Response:
    sent = {"Content-Length": str(len(BODY)), **headers}
    return cron.handle(method="POST", path=path, headers=sent, body=body)


def text_instead_of_bytes() -> Response:
    return ask(echo_cron(), PATH, signed("POST", PATH, BODY), BODY.decode())


def parsed_instead_of_bytes() -> Response:
    return ask(echo_cron(), PATH, signed("POST", PATH, BODY), {"month": "2025-10"})


def nothing_instead_of_bytes() -> Response:
    return ask(echo_cron(), PATH, signed("POST", PATH, BODY), None)


def encoded_again() -> Response:
    return ask(echo_cron(), PATH, signed("POST", PATH, BODY), BODY.replace(b" ", b""))


def consumed_before_a_wsgi_app() -> Response:
    """A middleware has read wsgi.input and not put it back."""
    environ = {
        "REQUEST_METHOD": "POST",
        "RAW_URI": PATH,
        "PATH_INFO": PATH,
        "CONTENT_LENGTH": str(len(BODY)),
        "HTTP_X_CRON_SIGNATURE": signed("POST", PATH, BODY)["X-Cron-Signature"],
        "wsgi.input": io.BytesIO(BODY),
    }
    environ["wsgi.input"].read()  # type: ignore[attr-defined]  # the environ's values are loose
    status: list[str] = []
    chunks = echo_cron().wsgi()(environ, lambda line, headers: status.append(line))
    return Response(int(status[0][:3]), b"".join(chunks))


def consumed_before_an_asgi_app() -> Response:
    """A middleware has received the body; the server has nothing more to give and lets the app wait."""
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", str(len(BODY)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in signed("POST", PATH, BODY).items()]
    scope = {"type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "headers": headers}
    asyncio.run(echo_cron(body_timeout_seconds=0.05).asgi()(scope, receive, send))
    return Response(sent[0]["status"], sent[1]["body"])


def signed_for_another_path(signed_path: str, received: str, base_url: str = "http://billing:8080") -> Response:
    return ask(echo_cron(base_url=base_url), received, signed("POST", signed_path, BODY), BODY)


def clock_is_wrong(seconds: int) -> Response:
    return ask(echo_cron(), PATH, signed("POST", PATH, BODY, at=NOW + seconds), BODY)


def served_by_the_wrong_one_of_two() -> Response:
    """The module was loaded twice: the jobs are on one Cron, the server has the other."""
    with_jobs = echo_cron(app="twice")
    answer = fire(make_cron(app="twice"), "echo", BODY)
    assert fire(with_jobs, "echo", BODY).status == 200
    return answer


@pytest.mark.parametrize(
    ("request_", "status", "code", "hint", "words"),
    [
        (text_instead_of_bytes, 500, "BodyNotBytes", "BodyDecoded", "got str"),
        (parsed_instead_of_bytes, 500, "BodyNotBytes", "BodyDecoded", "got dict"),
        (nothing_instead_of_bytes, 500, "BodyNotBytes", "BodyDecoded", "got NoneType"),
        (encoded_again, 401, "SignatureMismatch", "BodyDecoded", "19 of 20 bytes"),
        (consumed_before_a_wsgi_app, 401, "SignatureMismatch", "BodyConsumed", "0 of 20 bytes reached cronix"),
        (consumed_before_an_asgi_app, 401, "SignatureMismatch", "BodyConsumed", "0 of 20 bytes reached cronix"),
        (
            lambda: signed_for_another_path(PATH, f"/internal{PATH}"),
            401,
            "SignatureMismatch",
            "PathRewritten",
            f"signed for {PATH} but the app received /internal{PATH}",
        ),
        (
            lambda: signed_for_another_path(f"{PATH}?a=%2Fb", f"{PATH}?a=/b"),
            401,
            "SignatureMismatch",
            "",
            "no configured secret",
        ),
        (
            lambda: signed_for_another_path(PATH, f"{PATH}/"),
            401,
            "SignatureMismatch",
            "PathRewritten",
            f"the app received {PATH}/",
        ),
        (
            lambda: signed_for_another_path(f"/v2{PATH}", f"/v2/x{PATH}", "http://billing/v2"),
            401,
            "SignatureMismatch",
            "PathRewritten",
            f"signed for /v2{PATH}",
        ),
        (lambda: clock_is_wrong(-3600), 401, "StaleTimestamp", "ClockSkew", "signed 3600 s ago by this app's clock"),
        (lambda: clock_is_wrong(900), 401, "StaleTimestamp", "ClockSkew", "signed 900 s in the future"),
        (served_by_the_wrong_one_of_two, 404, "UnknownJob", "MountedTwice", "exists twice in this process"),
    ],
)
def test_the_answer_and_the_log_say_which_mistake_it_is(
    request_: Callable[[], Response], status: int, code: str, hint: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`code` for machines, `hint` for the cause, a sentence for the reader; the same in the log."""
    answer = request_()
    document = answer.json()
    assert isinstance(document, dict)
    assert (answer.status, document["code"], document.get("hint", "")) == (status, code, hint)
    assert words in document["message"]
    line = next(record.getMessage() for record in caplog.records if "refused" in record.getMessage())
    assert f"code={code} status={status}" in line
    assert f"hint={hint or '-'}:" in line
    assert words in line


def test_the_cause_fits_into_what_the_signer_keeps() -> None:
    """The signer reports 200 characters of an answer: code, hint and the start of the sentence are within."""
    document = signed_for_another_path(PATH, f"/internal{PATH}").body[:200]
    assert b"PathRewritten" in document
    assert b"the app received /internal" in document


@pytest.mark.parametrize("base_url", ["https://billing.example.com/api", "https://billing.example.com/api/"])
def test_a_proxy_that_strips_the_prefix_of_base_url_is_no_mistake(base_url: str) -> None:
    """The signer signs the public path; with and without the prefix the request verifies, and nothing else does."""
    cron = echo_cron(base_url=base_url)
    public = f"/api{PATH}"
    for received in (public, PATH):
        assert ask(cron, received, signed("POST", public, BODY), BODY).status == 200
    assert ask(cron, PATH, signed("POST", PATH, BODY), BODY).code == "SignatureMismatch"
    unknown = f"/api{trigger_path('nope')}"
    for received in (unknown, trigger_path("nope")):
        assert ask(cron, received, signed("POST", unknown, BODY), BODY).code == "UnknownJob"
    assert ask(cron, "/api/elsewhere", signed("POST", "/api/elsewhere", BODY), BODY).code == "BadPath"


@pytest.mark.parametrize("path", [MANIFEST, f"/api{MANIFEST}", f"{MANIFEST}?x=1"])
def test_the_manifest_is_signed_for_its_well_known_path_wherever_it_is_mounted(path: str) -> None:
    """Clause F1: the constant path is signed."""
    cron = echo_cron()
    headers = signed("GET", MANIFEST)
    assert cron.handle(method="GET", path=path, headers=headers, body=b"").status == 200


def test_a_path_that_is_no_utf8_is_refused_like_any_other() -> None:
    """A server hands such bytes on as surrogates; neither the answer nor the log stumbles over them."""
    cron = echo_cron()
    received = "/\udcff/echo"
    for signed_path in (PATH, received):
        answer = ask(cron, received, signed("POST", signed_path, BODY), BODY)
        assert answer.code in ("SignatureMismatch", "BadPath")
        assert "udcff" in str(answer.json())


def test_a_hint_is_given_to_the_owner_of_the_key_only() -> None:
    """Without the key: the bare code, whatever the path or the time; hints are no oracle."""
    cron = echo_cron()
    for path, at in ((f"/internal{PATH}", NOW), (PATH, NOW - 900)):
        answer = ask(cron, path, signed("POST", PATH, BODY, key=OTHER_KEY, at=at), BODY)
        assert "hint" not in answer.body.decode()


def test_an_app_mounted_twice_is_told_when_it_happens(caplog: pytest.LogCaptureFixture) -> None:
    """One line that names both mounts."""
    cron = echo_cron()
    cron.wsgi(cron.wsgi())
    assert "mounted 2 times (wsgi(), wsgi())" in caplog.text


def test_jobs_of_a_module_that_was_loaded_twice_are_missed_in_the_manifest_too() -> None:
    """The 503 of an empty manifest names the line where the Cron with the jobs was made."""
    with_jobs = echo_cron(app="twice-manifest")
    empty = make_cron(app="twice-manifest")
    answer = empty.handle(method="GET", path=MANIFEST, headers=signed("GET", MANIFEST), body=b"")
    assert "sdk_helpers.py:" in str(answer.json())
    assert with_jobs.manifest()


def test_no_answer_and_no_line_of_the_log_holds_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """Every request of this file again, with the log at its loudest (A4, C5)."""
    caplog.set_level(logging.DEBUG)
    bodies = [
        request().body
        for request in (
            text_instead_of_bytes,
            encoded_again,
            consumed_before_a_wsgi_app,
            served_by_the_wrong_one_of_two,
            lambda: clock_is_wrong(-3600),
            lambda: signed_for_another_path(PATH, f"/internal{PATH}"),
            lambda: fire(echo_cron(duplicates=MemoryRunStore()), "echo", run_id="r"),
        )
    ]
    own = echo_cron()
    own.job("own", schedule="@hourly", secret=KEY)(lambda: None)
    inside = [own._receiver._settings, own._registry.by_name("own"), Check(INCOMING, PATH, [KEY], NOW, 300)]
    assert KEY not in repr(inside)  # what a crash reporter shows of local variables
    assert KEY.encode() not in b"".join(bodies)
    assert KEY not in caplog.text
    assert KEY not in repr(echo_cron())
