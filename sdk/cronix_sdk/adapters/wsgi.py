"""WSGI (PEP 3333): the raw body and the path as sent, before any framework has touched them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from cronix_sdk.request import as_sent, route_of, wire_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cronix_sdk.cron import Cron
    from cronix_sdk.response import Response

    StartResponse = Callable[..., Any]
    Environ = dict[str, Any]

# What a path may hold unescaped (RFC 3986 §3.3), for servers that give the decoded path only.
_PATH_SAFE = "/:@!$&'()*+,;=-._~"
_CHUNK_BYTES = 64 * 1024


class WsgiApp(Protocol):
    """A WSGI application."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse, /) -> Iterable[bytes]:
        """PEP 3333."""


def path_as_sent(environ: Environ) -> str:
    """Path and query as they came over the wire.

    RAW_URI (gunicorn, Werkzeug) and REQUEST_URI (uWSGI, mod_wsgi, waitress, Werkzeug) are exact. Without them the path
    is rebuilt from its decoded form, which is the same for every path that is escaped the usual way.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if isinstance(raw, str) and raw:
        return as_sent(wire_text(raw))
    decoded = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    path = quote(decoded.encode("latin-1", "replace"), safe=_PATH_SAFE) or "/"
    query = wire_text(environ.get("QUERY_STRING", ""))
    return f"{path}?{query}" if query else path


def headers_of(environ: Environ) -> list[tuple[str | bytes, str | bytes]]:
    """The request's headers under their HTTP names."""
    headers: list[tuple[str | bytes, str | bytes]] = [
        (key[5:].replace("_", "-"), value) for key, value in environ.items() if key.startswith("HTTP_")
    ]
    if environ.get("CONTENT_TYPE"):
        headers.append(("content-type", environ["CONTENT_TYPE"]))
    if environ.get("CONTENT_LENGTH"):
        headers.append(("content-length", environ["CONTENT_LENGTH"]))
    return headers


def read_body(environ: Environ, limit_bytes: int) -> bytes:
    """The body, at most one byte over the limit (so that too long is seen); never blocks beyond Content-Length."""
    declared = environ.get("CONTENT_LENGTH") or ""
    if declared.isascii() and declared.isdigit():
        remaining = min(int(declared), limit_bytes + 1)
    elif environ.get("wsgi.input_terminated"):
        remaining = limit_bytes + 1
    else:
        return b""
    chunks = []
    while remaining > 0:
        chunk = environ["wsgi.input"].read(min(remaining, _CHUNK_BYTES))
        if not chunk:
            break
        chunks.append(chunk)
        remaining -= len(chunk)
    return b"".join(chunks)


def wsgi_app(cron: Cron, inner: WsgiApp | None) -> WsgiApp:
    """See `Cron.wsgi`."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = path_as_sent(environ)
        if inner is not None and not cron.serves(route_of(path)):
            return inner(environ, start_response)
        answer = cron.handle(
            method=environ["REQUEST_METHOD"],
            path=path,
            headers=headers_of(environ),
            body=read_body(environ, cron.max_body_bytes),
        )
        return send(answer, start_response)

    return application


def send(answer: Response, start_response: StartResponse) -> Iterable[bytes]:
    """Hand the answer to the server."""
    headers = [*answer.headers, ("content-length", str(len(answer.body)))]
    start_response(f"{answer.status} {_phrase(answer.status)}", headers)
    return [answer.body]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"
