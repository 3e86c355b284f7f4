"""A body that a framework's middleware took first: told through each framework, and no request hangs."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from cronix_sdk import Cron, Hooks, KeyFiles, MemoryRunStore, SecretError, SetupError
from sdk.sdk_doors import django_wsgi, starlette_app, uvicorn_door, werkzeug_door
from sdk.sdk_helpers import KEY, NOW, fire, make_cron, signed, trigger_path

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = trigger_path("echo")
FORM = b"month=2025-10&kind=full"


def flask_that_parses_forms(cron: Cron) -> Any:
    from flask import Flask, request

    app = Flask("consumer")
    app.before_request(lambda: request.form.get("month") and None)
    app.register_blueprint(cron.flask())
    return app


def flask_with_a_small_limit(cron: Cron) -> Any:
    from flask import Flask

    app = Flask("limited")
    app.config["MAX_CONTENT_LENGTH"] = 4
    app.register_blueprint(cron.flask())
    return app


def django_that_reads(cron: Cron) -> Any:
    application = django_wsgi(cron)
    handle = application.get_response

    def reads_first(request: Any) -> Any:
        request.read()
        return handle(request)

    application.get_response = reads_first
    return application


def django_with_a_small_limit(cron: Cron) -> Any:
    from django.test.utils import override_settings

    application = django_wsgi(cron)
    handle = application.get_response

    def with_limit(request: Any) -> Any:
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=4):
            return handle(request)

    application.get_response = with_limit
    return application


def draining(inner: Callable[[Cron], Any]) -> Callable[[Cron], Any]:
    """An ASGI middleware that receives the body and hands the same `receive` on: there is nothing more to come."""

    def mount(cron: Cron) -> Any:
        app = inner(cron)

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                while (await receive()).get("more_body"):
                    pass
            await app(scope, receive, send)

        return middleware

    return mount


def fastapi_alone(cron: Cron) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.include_router(cron.fastapi())
    return app


def plain(cron: Cron) -> Any:
    return cron.asgi()


@pytest.mark.parametrize(
    ("serve", "mount", "status", "hint"),
    [
        (werkzeug_door, flask_that_parses_forms, 401, "BodyConsumed"),
        (werkzeug_door, django_that_reads, 401, "BodyConsumed"),
        (uvicorn_door, draining(plain), 401, "BodyConsumed"),
        (uvicorn_door, draining(starlette_app), 401, "BodyConsumed"),
        (uvicorn_door, draining(fastapi_alone), 401, "BodyConsumed"),
        (werkzeug_door, flask_with_a_small_limit, 413, None),
        (werkzeug_door, django_with_a_small_limit, 413, None),
    ],
    ids=["flask-form", "django-read", "asgi", "starlette", "fastapi", "flask-limit", "django-limit"],
)
def test_a_body_that_somebody_took_is_told_and_nothing_hangs(
    serve: Callable[[Any], Any], mount: Callable[[Cron], Any], status: int, hint: str | None
) -> None:
    """A real request on a real server; the job does not run."""
    cron = make_cron(clock=time.time, body_timeout_seconds=0.1)
    ran: list[int] = []
    cron.job("echo", schedule="@hourly")(lambda: ran.append(1))
    headers = signed("POST", PATH, FORM, at=int(time.time())) | {"Content-Type": "application/x-www-form-urlencoded"}
    with serve(mount(cron)) as door:
        got, body, _ = door.ask("POST", PATH, headers, FORM)
    document = json.loads(body)
    assert (got, document.get("hint")) == (status, hint)
    assert ran == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_run_that_is_stopped_with_the_process_is_free_for_its_next_attempt(stop: type[BaseException]) -> None:
    """The worker's end is not the job's failure: it goes on up, and the claim is given back."""
    cron = make_cron(duplicates=MemoryRunStore())
    endings: list[type[BaseException] | None] = [stop, None]

    @cron.job("long", schedule="@hourly")
    def long() -> None:
        ending = endings.pop(0)
        if ending is not None:
            raise ending

    with pytest.raises(stop):
        fire(cron, "long", run_id="r-1")
    assert fire(cron, "long", at=NOW + 1, run_id="r-1").json() == {"ok": True}


def test_an_async_hook_is_refused_when_it_is_given() -> None:
    """It would be called and never awaited."""

    async def hook() -> None:
        await asyncio.sleep(0)

    with pytest.raises(SetupError, match="manifest_request"):
        Hooks(manifest_request=hook)


def test_key_files_need_a_path() -> None:
    """An empty variable is no list of files."""
    with pytest.raises(SecretError, match="at least one path"):
        KeyFiles.from_text(" , ")


def test_a_request_target_in_absolute_form_loses_its_origin() -> None:
    """What a proxy may send (RFC 9112 §3.2.2); the signature is for path and query."""
    cron = make_cron()
    cron.job("echo", schedule="@hourly")(lambda: None)
    headers = signed("POST", f"{PATH}?x=1")
    answer = cron.handle(method="POST", path=f"http://billing:8080{PATH}?x=1", headers=headers, body=b"")
    assert answer.status == 200


def test_a_stale_request_with_a_large_body_gets_no_hint() -> None:
    """A hint costs an HMAC over the body, and anybody can send one."""
    cron = make_cron()
    cron.job("echo", schedule="@hourly")(lambda: None)
    large = b"x" * (64 * 1024 + 1)
    for body, hint in ((large, False), (large[1:], True)):
        stale = cron.handle(method="POST", path=PATH, headers=signed("POST", PATH, body, at=NOW - 999), body=body)
        moved = cron.handle(method="POST", path=f"/x{PATH}", headers=signed("POST", PATH, body), body=body)
        for answer in (stale, moved):
            assert answer.status == 401
            assert (b'"hint"' in answer.body) is hint
    assert KEY not in repr(cron)
