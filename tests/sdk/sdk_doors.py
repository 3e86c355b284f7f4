"""One Cron behind each real server and framework, on a loopback port: what `Cron` is mounted with in the field."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cronix_sdk import Cron


@dataclass(frozen=True)
class Door:
    """Where a Cron can be reached."""

    port: int

    def ask(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes, str]:
        """Status, body and content type of one answer; `target` goes over the wire exactly as it is."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("content-type", "")
        finally:
            connection.close()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is its failures."""


@contextmanager
def wsgiref_door(application: Any) -> Iterator[Door]:
    """The standard library's server: gives the decoded path only."""
    with make_server("127.0.0.1", 0, application, handler_class=_QuietHandler) as server:
        yield from _in_thread(server.server_port, lambda: server.serve_forever(0.01), server.shutdown)


@contextmanager
def werkzeug_door(application: Any) -> Iterator[Door]:
    """Flask's development server: gives RAW_URI and REQUEST_URI."""
    from werkzeug.serving import WSGIRequestHandler as WerkzeugHandler
    from werkzeug.serving import make_server as make_werkzeug

    class Quiet(WerkzeugHandler):
        def log_request(self, *_: object) -> None:
            """Nothing."""

    server = make_werkzeug("127.0.0.1", 0, application, request_handler=Quiet)
    try:
        yield from _in_thread(server.server_port, lambda: server.serve_forever(0.01), server.shutdown)
    finally:
        server.server_close()


@contextmanager
def uvicorn_door(application: Any) -> Iterator[Door]:
    """ASGI on a real socket."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, log_level="critical", lifespan="on", ws="none", http="h11", loop="asyncio")
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup

    async def tell_startup(sockets: Any = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = tell_startup  # type: ignore[method-assign]  # the only way to hear that it listens

    def serve() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            started.set()

    def stop() -> None:
        server.should_exit = True

    try:
        yield from _in_thread(listener.getsockname()[1], serve, stop, started)
    finally:
        listener.close()


def _in_thread(
    port: int, serve: Callable[[], object], stop: Callable[[], object], started: threading.Event | None = None
) -> Iterator[Door]:
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    if started is not None:
        assert started.wait(20)
    try:
        yield Door(port)
    finally:
        stop()
        thread.join(20)


def plain_wsgi(cron: Cron) -> Any:
    """The SDK's own WSGI application in front of another one."""

    def inner(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"inner"]

    return cron.wsgi(inner)


def plain_asgi(cron: Cron) -> Any:
    """The SDK's own ASGI application in front of a FastAPI app."""
    return cron.asgi(_fastapi())


def fastapi_app(cron: Cron) -> Any:
    """The router, with a middleware that reads every body before the router does, as many projects have one."""
    from starlette.middleware.base import BaseHTTPMiddleware

    app = _fastapi()

    async def reads_bodies(request: Any, call_next: Any) -> Any:
        await request.body()
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=reads_bodies)
    app.include_router(cron.fastapi())
    return app


def _fastapi() -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()

    @app.get("/inner")
    async def inner() -> PlainTextResponse:
        return PlainTextResponse("inner")

    return app


def starlette_app(cron: Cron) -> Any:
    """The routes alone."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def inner(request: Any) -> PlainTextResponse:
        return PlainTextResponse("inner")

    return Starlette(routes=[*cron.starlette(), Route("/inner", inner)])


def flask_app(cron: Cron) -> Any:
    """The blueprint."""
    from flask import Flask

    app = Flask("test")
    app.register_blueprint(cron.flask())
    app.add_url_rule("/inner", view_func=lambda: "inner", endpoint="inner")
    return app


def django_wsgi(cron: Cron) -> Any:
    """The URL patterns, under WSGI, with CSRF protection on."""
    from django.core.handlers.wsgi import WSGIHandler

    _point_django_at(cron)
    return WSGIHandler()


def django_asgi(cron: Cron) -> Any:
    """The URL patterns, under ASGI, with CSRF protection on."""
    from django.core.handlers.asgi import ASGIHandler

    _point_django_at(cron)
    handler = ASGIHandler()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":  # Django refuses it
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await handler(scope, receive, send)

    return application


def _point_django_at(cron: Cron) -> None:
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import clear_url_caches, path

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["127.0.0.1"],
            MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
            SECRET_KEY="for tests",
            ROOT_URLCONF=(),
        )
        django.setup()
    settings.ROOT_URLCONF = (*cron.django_urls(), path("inner", lambda request: HttpResponse("inner")))
    clear_url_caches()


DOORS: dict[str, tuple[Callable[[Any], Any], Callable[[Cron], Any]]] = {
    "wsgi-on-wsgiref": (wsgiref_door, plain_wsgi),
    "wsgi-on-werkzeug": (werkzeug_door, plain_wsgi),
    "flask": (werkzeug_door, flask_app),
    "django-wsgi": (werkzeug_door, django_wsgi),
    "django-asgi": (uvicorn_door, django_asgi),
    "asgi": (uvicorn_door, plain_asgi),
    "starlette": (uvicorn_door, starlette_app),
    "fastapi": (uvicorn_door, fastapi_app),
}
