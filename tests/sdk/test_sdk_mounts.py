"""Where the SDK is mounted: prefixes, the edges of WSGI and ASGI, and the test client."""

from __future__ import annotations

import asyncio
import io
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_sdk import Cron, JobError, Response, SetupError
from cronix_sdk.adapters import asgi, wsgi
from cronix_sdk.testing import CronTestClient, signed_headers, slot
from sdk.sdk_doors import Door, uvicorn_door, werkzeug_door
from sdk.sdk_helpers import KEY, MANIFEST, NOW, OTHER_KEY, make_cron, signed, trigger_path

if TYPE_CHECKING:
    from collections.abc import Callable


def starlette_mount(cron: Cron) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/svc", cron.asgi())])


def fastapi_prefix(cron: Cron) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.include_router(cron.fastapi(), prefix="/svc")
    return app


def flask_prefix(cron: Cron) -> Any:
    from flask import Flask

    app = Flask("prefix")
    app.register_blueprint(cron.flask(), url_prefix="/svc")
    return app


def wsgi_script_name(cron: Cron) -> Any:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(lambda environ, start: [], {"/svc": cron.wsgi()})


MOUNTS: list[tuple[Callable[[Any], Any], Callable[[Cron], Any]]] = [
    (uvicorn_door, starlette_mount),
    (uvicorn_door, fastapi_prefix),
    (werkzeug_door, flask_prefix),
    (werkzeug_door, wsgi_script_name),
]


@pytest.mark.parametrize(("serve", "mount"), MOUNTS)
def test_below_a_prefix_that_base_url_names_everything_verifies(
    serve: Callable[[Any], Any], mount: Callable[[Cron], Any]
) -> None:
    """The signer signs the whole path of the manifest's URL; the manifest's signature is for its constant path."""
    cron = make_cron(clock=time.time, base_url="http://billing.shop.svc:8080/svc")
    cron.job("echo", schedule="@hourly")(lambda: "echo")
    with serve(mount(cron)) as door:
        path = f"/svc{trigger_path('echo')}"
        status, body, _ = door.ask("POST", path, signed("POST", path, b"x", at=int(time.time())), b"x")
        assert (status, json.loads(body)) == (200, {"ok": True, "result": "echo"})
        manifest_status, manifest, _ = door.ask("GET", f"/svc{MANIFEST}", signed("GET", MANIFEST, at=int(time.time())))
        assert manifest_status == 200
        assert urlsplit(json.loads(manifest)["jobs"][0]["request"]["url"]).path == path
    assert isinstance(door, Door)


def test_a_job_with_a_url_of_its_own_is_declared_before_the_routes_are_made() -> None:
    """A framework routes what it knew at the mount; the SDK's own applications look at each request."""
    cron = make_cron()
    cron.flask()
    with pytest.raises(JobError, match="before the framework's routes"):
        cron.job("own", schedule="@hourly", url="http://billing.shop.svc:8080/own")(lambda: None)
    assert cron.job_names == ()
    late = make_cron()
    late.wsgi()
    late.job("own", schedule="@hourly", url="http://billing.shop.svc:8080/own")(lambda: None)
    assert late.serves("/own")


def environ(**values: Any) -> dict[str, Any]:
    return {"REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/", "wsgi.input": io.BytesIO(), **values}


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"RAW_URI": "/a%2Fb?x=%20"}, "/a%2Fb?x=%20"),
        ({"REQUEST_URI": "http://host:8080/a?x=1"}, "/a?x=1"),
        ({"REQUEST_URI": "https://host"}, "/"),
        ({"RAW_URI": "/caf\xc3\xa9"}, "/café"),
        ({"PATH_INFO": "/a b", "QUERY_STRING": "x=%2F"}, "/a%20b?x=%2F"),
        ({"SCRIPT_NAME": "/svc", "PATH_INFO": "/a"}, "/svc/a"),
        ({"PATH_INFO": "/caf\xc3\xa9"}, "/caf%C3%A9"),
        ({"PATH_INFO": ""}, "/"),
        ({"RAW_URI": "*"}, "*"),
    ],
)
def test_a_wsgi_servers_path_is_taken_as_raw_as_it_gives_it(values: dict[str, str], path: str) -> None:
    """RAW_URI and REQUEST_URI first; else rebuilt, as bytes on the wire would be."""
    assert wsgi.path_as_sent(environ(**values)) == path


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="?#/"), max_size=20))
def test_a_rebuilt_path_decodes_to_what_the_server_saw(text: str) -> None:
    """Whatever was decoded once is encoded to something that decodes to it."""
    rebuilt = wsgi.path_as_sent(environ(PATH_INFO=("/" + text).encode().decode("latin-1")))
    assert unquote(rebuilt) == "/" + text
    assert asgi.path_as_sent({"path": "/" + text, "query_string": b""}) == rebuilt
    assert rebuilt.isascii()


def respond(application: Any, values: dict[str, Any]) -> Response:
    told: list[Any] = []
    body = b"".join(application(values, lambda status, headers: told.extend([status, headers])))
    return Response(int(told[0][:3]), body, tuple(told[1]))


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"CONTENT_LENGTH": "3", "wsgi.input": io.BytesIO(b"abcdef")}, "abc"),
        ({"CONTENT_LENGTH": ""}, ""),
        ({"CONTENT_LENGTH": "nonsense", "wsgi.input": io.BytesIO(b"abc")}, ""),
        ({"wsgi.input": io.BytesIO(b"chunked"), "wsgi.input_terminated": True}, "chunked"),
        ({"CONTENT_LENGTH": "99", "wsgi.input": io.BytesIO(b"0123456789")}, "01234567"),
    ],
)
def test_a_wsgi_body_is_read_up_to_its_length_and_never_beyond_the_limit(values: dict[str, Any], code: str) -> None:
    """A server may keep the connection open behind the body: reading on would wait for ever."""
    limit = 7
    assert wsgi.read_body(environ(**values), limit).decode() == code[: limit + 1]


def test_a_status_without_a_name_can_be_sent() -> None:
    """A job's own Response may have any."""
    cron = make_cron()
    cron.job("odd", schedule="@hourly")(lambda: Response(299, b"{}"))
    path = trigger_path("odd")
    header = signed("POST", path)["X-Cron-Signature"]
    answer = respond(cron.wsgi(), environ(RAW_URI=path, HTTP_X_CRON_SIGNATURE=header))
    assert answer.status == 299
    assert ("content-length", "2") in answer.headers


def test_alone_the_asgi_app_serves_the_lifespan_and_closes_websockets() -> None:
    """`uvicorn app:app` with `app = cron.asgi()` starts and stops cleanly."""
    sent: list[Any] = []
    waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    application = make_cron().asgi()
    asyncio.run(application({"type": "lifespan"}, receive, send))
    asyncio.run(application({"type": "websocket", "path": "/"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


def test_a_client_that_goes_away_while_sending_runs_nothing() -> None:
    """Half a body does not verify."""
    sent: list[Any] = []
    path = trigger_path("echo")
    messages = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (name.lower().encode(), value.encode()) for name, value in signed("POST", path, b"half and half").items()
    ]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers}
    cron = make_cron()
    cron.job("echo", schedule="@hourly")(lambda: None)
    asyncio.run(cron.asgi()(scope, receive, send))
    assert sent[0]["status"] == 401


def test_the_test_client_goes_the_whole_way() -> None:
    """Method, URL, headers and body of the manifest; a run id and a slot of the test's choice."""
    cron = make_cron()
    seen: list[Any] = []

    @cron.job("report", schedule="@hourly", method="PUT", body="b", headers={"X-Tenant": "a"}, url="http://h/run?x=1")
    def report(context: Any) -> None:
        seen.append(context)

    client = CronTestClient(cron, secret=f"{KEY}\n", clock=lambda: NOW)
    answer = client.fire("report", run_id="r-1", attempt=2, fire_time=slot("2025-11-01T10:00:00Z"))
    assert answer.status == 200
    assert (seen[0].run_id, seen[0].attempt, seen[0].body) == ("r-1", 2, b"b")
    assert seen[0].fire_time == datetime(2025, 11, 1, 10, tzinfo=UTC)
    assert seen[0].headers["x-tenant"] == "a"
    assert client.fire("report", body=b"other", headers={"X-Tenant": "b"}).status == 200
    assert (seen[1].body, seen[1].headers["x-tenant"]) == (b"other", "b")
    assert json.loads(client.manifest().body)["app"] == "billing"


def test_the_test_client_raises_what_the_job_raised_unless_told_otherwise() -> None:
    """A user's test fails with the real trace."""
    cron = make_cron()
    cron.job("boom", schedule="@hourly")(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        CronTestClient(cron, secret=KEY, clock=lambda: NOW).fire("boom")
    quiet = CronTestClient(cron, secret=KEY, clock=lambda: NOW, raise_exceptions=False)
    assert quiet.fire("boom").code == "HandlerFailed"
    with pytest.raises(JobError, match="no job 'nope'; there are: boom"):
        quiet.fire("nope")


def test_the_test_client_with_another_key_is_refused_like_anybody() -> None:
    """It signs; it does not go around verification."""
    cron = make_cron()
    cron.job("echo", schedule="@hourly")(lambda: None)
    assert CronTestClient(cron, secret=OTHER_KEY, clock=lambda: NOW).fire("echo").code == "SignatureMismatch"


def test_signed_headers_serve_any_frameworks_own_client() -> None:
    """Here Flask's, which sends no RAW_URI of a socket but builds one."""
    from flask import Flask

    cron = make_cron(clock=time.time)
    cron.job("echo", schedule="@hourly")(lambda: "echo")
    app = Flask("client")
    app.register_blueprint(cron.flask())
    path = trigger_path("echo")
    answer = app.test_client().post(path, data=b"x", headers=signed_headers(KEY, method="POST", path=path, body=b"x"))
    assert answer.json == {"ok": True, "result": "echo"}


def test_a_slot_is_whole_seconds() -> None:
    """As Kubernetes has them; without an offset it is UTC."""
    assert slot("2025-11-01T10:00:00") == slot("2025-11-01T11:00:00+01:00")
    with pytest.raises(SetupError, match="whole seconds"):
        slot("2025-11-01T10:00:00.5Z")
