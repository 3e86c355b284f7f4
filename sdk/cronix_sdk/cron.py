"""The app's one object: jobs in, one handler for both endpoints out. The clock is read here, through `clock`."""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from cronix_protocol.signature import DEFAULT_WINDOW_SECONDS
from cronix_sdk import jobs, keys, runs
from cronix_sdk.hooks import Hooks
from cronix_sdk.receiver import Receiver, Settings
from cronix_sdk.registry import JobRegistry
from cronix_sdk.response import Response
from cronix_sdk.verifying import checked_window

if TYPE_CHECKING:
    from django.urls import URLPattern
    from fastapi import APIRouter
    from flask import Blueprint
    from starlette.routing import Route

    from cronix_protocol.manifest import Request
    from cronix_sdk.adapters.asgi import AsgiApp
    from cronix_sdk.adapters.wsgi import WsgiApp
    from cronix_sdk.request import Headers

F = TypeVar("F", bound=jobs.JobFunction)
T = TypeVar("T")
RunCoroutine = Callable[[Coroutine[Any, Any, object]], object]

_log = logging.getLogger("cronix_sdk")


class Cron:
    """An app's jobs, its manifest and its verified triggers.

    `app` is the id in the manifest (`^[a-z][a-z0-9-]{0,62}$`); `base_url` is where the signer reaches this app, public
    path prefix included; `secret` is a key, a list of keys (all are accepted: rotation) or a callable asked for every
    request, such as `KeyFiles`. `replay_window_seconds` is at least 30. `duplicates` switches on duplicate protection,
    whose outcomes are kept for `remember_seconds`. `skip_verify=True` accepts everything and says so at each request.
    Raises `SetupError`, without a usable secret `SecretError`.
    """

    def __init__(
        self,
        *,
        app: str,
        base_url: str,
        secret: keys.Secret | None = None,
        replay_window_seconds: int = DEFAULT_WINDOW_SECONDS,
        secret_refs: Sequence[str] = (),
        duplicates: runs.RunStore | None = None,
        remember_seconds: int = 86_400,
        max_body_bytes: int = 10 * 1024 * 1024,
        body_timeout_seconds: float = 10.0,
        hooks: Hooks | None = None,
        skip_verify: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        static_keys = None
        if not skip_verify:
            found = keys.check_at_start(secret)
            static_keys = None if callable(secret) else found
        self._registry = JobRegistry(app, base_url, _caller())
        self._secret_refs = tuple(secret_refs)
        self._duplicates = duplicates
        self._mounts: list[str] = []
        self._routes_are_fixed = False
        self.max_body_bytes = max_body_bytes
        self.body_timeout_seconds = body_timeout_seconds
        settings = Settings(
            secret=secret,
            static_keys=static_keys,
            window_seconds=checked_window(replay_window_seconds, "replay_window_seconds"),
            duplicates=duplicates,
            remember_seconds=remember_seconds,
            max_body_bytes=max_body_bytes,
            hooks=hooks or Hooks(),
            skip_verify=skip_verify,
            clock=clock,
        )
        self._receiver = Receiver(self._registry, settings)
        if skip_verify:
            _log.critical("app %s: skip_verify=True, ANYONE can run its jobs; never do this in production", app)

    @property
    def app(self) -> str:
        """The app's id."""
        return self._registry.app

    @property
    def job_names(self) -> tuple[str, ...]:
        """The names of the declared jobs."""
        return self._registry.names()

    def job(
        self,
        name: str,
        *,
        secret: keys.Secret | None = None,
        replay_window_seconds: int | None = None,
        **options: Unpack[jobs.JobOptions],
    ) -> Callable[[F], F]:
        """Declare the decorated function, sync or async, as a job; it is called with a `JobContext`, or with nothing.

        The options are the fields of `JobSpec`, of which `schedule` is required; `secret` and `replay_window_seconds`
        override the app's for this job. Raises `JobError` with every fault, when the module is imported and not at the
        first fire.
        """
        spec = jobs.spec_of(name, options, self._secret_refs)
        if secret is not None:
            keys.check_at_start(secret)
        if replay_window_seconds is not None:
            checked_window(replay_window_seconds, f"job {name!r}: replay_window_seconds")

        def decorate(function: F) -> F:
            entry = jobs.register(
                name,
                function,
                spec,
                app=self._registry.app,
                base_url=self._registry.base_url,
                secret=secret,
                window_seconds=replay_window_seconds,
            )
            self._registry.add(entry, routes_are_fixed=self._routes_are_fixed)
            return function

        return decorate

    def reschedule(self, name: str, schedule: str | Sequence[str]) -> None:
        """Give a job another schedule; the operator takes it over with its next fetch of the manifest."""
        self._registry.reschedule(name, schedule)

    def remove(self, name: str) -> None:
        """Take a job out of the manifest; its triggers get UnknownJob from now on."""
        self._registry.remove(name)

    def manifest(self) -> bytes:
        """The manifest as it is served, UTF-8 JSON; raises `SetupError` while no job is declared."""
        return self._registry.manifest()

    def handle(
        self, *, method: str, path: str, headers: Headers, body: bytes, run_coroutine: RunCoroutine | None = None
    ) -> Response:
        """Answer one request for the manifest or for a trigger, running the job in this thread.

        `path` is path and query as sent, nothing decoded; `body` the raw bytes. `run_coroutine` drives an async job
        (default: `asyncio.run`).
        Raises nothing for anything that a request holds.
        """
        step = self._receiver.open(method, path, headers, body)
        if isinstance(step, Response):
            return step
        try:
            result = step.entry.call(step.context)
            if inspect.iscoroutine(result):
                result = (run_coroutine or _run_coroutine)(result)
        except Exception as error:  # noqa: BLE001 - a job's failure is an answer, whatever it raised
            return self._receiver.failed(step, error)
        except BaseException:
            self._receiver.abandoned(step)
            raise
        return self._receiver.succeeded(step, result)

    async def handle_async(self, *, method: str, path: str, headers: Headers, body: bytes) -> Response:
        """As `handle`, without blocking the event loop: sync jobs and stores (but the in-memory one) get a thread."""
        in_thread = not isinstance(self._duplicates, runs.MemoryRunStore | None)
        step = await _call(in_thread, self._receiver.open, method, path, headers, body)
        if isinstance(step, Response):
            return step
        try:
            result = await _call(not step.entry.is_async, step.entry.call, step.context)
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:  # noqa: BLE001 - as in handle
            return await _call(in_thread, self._receiver.failed, step, error)
        except BaseException:
            # A cancelled request: the next attempt must find the run free.
            self._receiver.abandoned(step)
            raise
        return await _call(in_thread, self._receiver.succeeded, step, result)

    def request_of(self, name: str) -> Request:
        """The request that the signer sends for a job, as the manifest has it."""
        return self._registry.known(name).job.request

    @property
    def own_routes(self) -> tuple[str, ...]:
        """The URL paths of jobs with a `url=` outside of `/api/v1/scheduled/`, decoded and without the prefix."""
        return self._registry.own_routes()

    def serves(self, route: str) -> bool:
        """Whether a path (no query) is the manifest's, a trigger's or a job's own: what mounts take from `inner`."""
        return self._registry.serves(route)

    # -- mounts ------------------------------------------------------------------------------------------------------

    def wsgi(self, inner: WsgiApp | None = None) -> WsgiApp:
        """A WSGI application for both endpoints; other paths go to `inner`, or get 404."""
        from cronix_sdk.adapters.wsgi import wsgi_app

        return wsgi_app(self._mounted("wsgi()"), inner)

    def asgi(self, inner: AsgiApp | None = None) -> AsgiApp:
        """An ASGI application for both endpoints; other paths, websockets and the lifespan go to `inner`."""
        from cronix_sdk.adapters.asgi import asgi_app

        return asgi_app(self._mounted("asgi()"), inner)

    def fastapi(self) -> APIRouter:
        """A router for `app.include_router(…)`; not shown in the OpenAPI document."""
        from cronix_sdk.adapters.fastapi import router

        return router(self._mounted("fastapi()", routes=True))

    def starlette(self) -> list[Route]:
        """Routes for `Starlette(routes=[…])`."""
        from cronix_sdk.adapters.starlette import routes

        return routes(self._mounted("starlette()", routes=True))

    def flask(self) -> Blueprint:
        """A blueprint for `app.register_blueprint(…)`."""
        from cronix_sdk.adapters.flask import blueprint

        return blueprint(self._mounted("flask()", routes=True))

    def django_urls(self) -> list[URLPattern]:
        """URL patterns for `urlpatterns = [*cron.django_urls(), …]`, exempt from CSRF protection."""
        from cronix_sdk.adapters.django import url_patterns

        return url_patterns(self._mounted("django_urls()", routes=True))

    def _mounted(self, how: str, *, routes: bool = False) -> Cron:
        self._mounts.append(how)
        self._routes_are_fixed = self._routes_are_fixed or routes
        if len(self._mounts) > 1:
            _log.warning(
                "app %s is mounted %d times (%s): only the first that gets a request serves it; keep one",
                self.app,
                len(self._mounts),
                ", ".join(self._mounts),
            )
        return self


async def _call(in_thread: bool, function: Callable[..., T], *arguments: object) -> T:  # noqa: FBT001 - private
    if not in_thread:
        return function(*arguments)
    import asyncio

    return await asyncio.to_thread(function, *arguments)


def _run_coroutine(coroutine: Coroutine[Any, Any, object]) -> object:
    import asyncio  # here, for an app without async jobs need not pay for it

    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()  # when a loop runs in this thread already, asyncio.run has not touched it


def _caller() -> str:
    frame = sys._getframe(2)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
