"""Django: a view exempt from CSRF protection that takes the body before Django looks for form data in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from cronix_sdk.adapters import asgi, wsgi
from cronix_sdk.request import MANIFEST_PATH, TRIGGER_PREFIX

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from cronix_sdk.cron import Cron


def url_patterns(cron: Cron) -> list[URLPattern]:
    """See `Cron.django_urls`."""

    # A plain view: Django then keeps its database connections and transactions in order for sync jobs, under ASGI, too.
    @csrf_exempt
    def cron_view(request: HttpRequest, rest: str = "") -> HttpResponse:  # noqa: ARG001 - the route's variable
        answer = cron.handle(
            method=request.method or "",
            path=_path_as_sent(request),
            headers=list(request.headers.items()),
            body=_body(request, cron.max_body_bytes),
            run_coroutine=_run_coroutine,
        )
        response = HttpResponse(answer.body, status=answer.status)
        for name, value in answer.headers:
            response[name] = value
        return response

    routes = (MANIFEST_PATH, f"{TRIGGER_PREFIX}<path:rest>", *cron.own_routes)
    return [path(route.removeprefix("/"), cron_view) for route in routes]


def _path_as_sent(request: HttpRequest) -> str:
    scope = getattr(request, "scope", None)
    return asgi.path_as_sent(scope) if scope is not None else wsgi.path_as_sent(request.META)


def _body(request: HttpRequest, limit_bytes: int) -> bytes:
    """The raw body; one byte over the limit stands for "too long", nothing for "somebody has read it"."""
    try:
        body = request.body
    except RawPostDataException:
        return b""
    except RequestDataTooBig:  # DATA_UPLOAD_MAX_MEMORY_SIZE, 2.5 MB unless the project says otherwise
        return bytes(limit_bytes + 1)
    return body


def _run_coroutine(coroutine: Coroutine[Any, Any, object]) -> object:
    """Django's own way from a sync view to async code: under ASGI it reuses the server's event loop."""

    async def run() -> object:
        return await coroutine

    return async_to_sync(run)()
