"""One signed, bounded GET of a manifest over HTTP; bytes out, ReconcileError on everything else.

The answer comes from an app that may be hostile: the address is checked after resolving and connected to as checked
(S1-S3), redirects are never followed (S5), no proxy is believed (S7), the body is capped while it streams and the whole
exchange has one deadline (J1).
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

import httpx

from cronix_operator.core.app import MANIFEST_PATH
from cronix_operator.core.errors import ReconcileError, Stalled, Waiting
from cronix_operator.core.model import App, Endpoint, KeyMaterial
from cronix_operator.core.settle import SIGNATURE_CODES
from cronix_operator.core.targets import is_forbidden_address, is_forbidden_host, is_host_named, is_own_service
from cronix_protocol import sign

MAX_BODY_BYTES = 1024 * 1024
MAX_EXCERPT_CHARS = 120

_SIGNATURE_ADVICE = {
    True: "the app's key is not the one in spec.signing",
    False: "check the app's clock, and that no proxy drops X-Cron-Signature",
}

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a host, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


class HttpSource:
    """Fetches manifests. `denied`: addresses no manifest may come from (the API server's, the node's)."""

    def __init__(self, denied: frozenset[str] = frozenset(), resolver: Resolve = resolve) -> None:
        self._denied = denied
        self._resolve = resolver

    async def fetch(self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int) -> bytes:
        """The body of a 2xx answer, at most 1 MiB; raises Stalled or Waiting with what to do about it.

        `timestamp`: unix seconds that the signature carries. The MAC covers the protocol's constant manifest path, so
        the app may be mounted behind any URL.
        """
        parts = urlsplit(endpoint.url)
        self._check_url(app, endpoint, parts)
        try:
            async with asyncio.timeout(app.timeout_seconds):
                address = await self._address(endpoint, parts)
                return await self._get(parts, address, material, timestamp)
        except TimeoutError as exc:
            raise _failed(
                endpoint, f"no complete answer within {app.timeout_seconds:g} s (spec.source.timeout)"
            ) from exc
        except httpx.HTTPError as exc:
            raise _failed(endpoint, _cause(exc)) from exc
        except ssl.SSLError as exc:
            raise Stalled("TLSConfigInvalid", f"spec.connection.tls: {exc.reason or exc}") from exc

    def _check_url(self, app: App, endpoint: Endpoint, parts: SplitResult) -> None:
        host = (parts.hostname or "").lower()
        if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
            raise Stalled(
                "InvalidURL", f'spec.source: "{endpoint.url}" must be http(s)://host[:port]/path without credentials'
            )
        if parts.port == 0:
            raise Stalled("InvalidURL", f'spec.source: "{endpoint.url}" names port 0')
        if is_forbidden_host(host):
            raise Stalled(
                "ForbiddenHost",
                f'spec.source: "{host}" is a loopback, link-local or metadata address; those are never fetched',
            )
        own = endpoint.own_namespace_service or is_own_service(host, app.namespace)
        if parts.scheme == "http" and not (own or app.allow_insecure_http):
            raise Stalled(
                "InsecureURL",
                f'spec.source: "{endpoint.url}" is plain http; use https, or write spec.allowInsecureHTTP: true',
            )
        if not own and _is_service_name(host) and not is_host_named(app.allowed_hosts, host, parts.port):
            raise Stalled(
                "HostNotAllowed",
                f'spec.source: "{host}" is a Service of another namespace; '
                f'if that is meant write spec.targets.allowedHosts: ["{host}"]',
            )

    async def _address(self, endpoint: Endpoint, parts: SplitResult) -> str:
        host = endpoint.connect_host or parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as exc:
            raise _failed(endpoint, f'"{host}" does not resolve ({exc})') from exc
        for address in addresses:
            parsed = ipaddress.ip_address(address.split("%")[0])
            # One bad answer spoils the lot: a resolver that mixes good and bad ones is being played (rebinding).
            if is_forbidden_address(parsed) or str(parsed) in self._denied:
                raise Stalled("ForbiddenHost", f'"{host}" resolves to {address}, which is never fetched')
        if not addresses:
            raise _failed(endpoint, f'"{host}" has no address')
        return addresses[0]

    async def _get(self, parts: SplitResult, address: str, material: KeyMaterial, timestamp: int) -> bytes:
        literal = f"[{address}]" if ":" in address else address
        port = f":{parts.port}" if parts.port else ""
        target = parts.path or "/"
        url = f"{parts.scheme}://{literal}{port}{target}" + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "cronix-operator",
            **dict(material.headers),
            "Host": parts.netloc,
            "X-Cron-Signature": sign(material.keys[0][1], method="GET", path=MANIFEST_PATH, timestamp=timestamp),
        }
        extensions = {"sni_hostname": parts.hostname or ""}  # certificate and SNI are the name's, not the address's
        # Building a real context costs more than the fetch; plain http needs none, and an empty one trusts nobody.
        tls = _tls(material) if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with (
            httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=None) as client,  # noqa: S113  # fetch() bounds the whole exchange
            client.stream("GET", url, headers=headers, extensions=extensions) as response,
        ):
            return await _body(parts.geturl(), response)


def _is_service_name(host: str) -> bool:
    return (
        host.endswith((".svc", ".svc.cluster.local"))
        or "." not in host
        or (len(host.split(".")) == 2 and host.endswith(".svc"))
    )


def _tls(material: KeyMaterial) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=material.ca_pem)
    if material.client_cert_pem and material.client_key_pem:
        _load_client_certificate(context, material.client_cert_pem, material.client_key_pem)
    return context


def _load_client_certificate(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    """Load from memory: Python's ssl reads files only, and a key does not belong on a disk; so an anonymous file."""
    import os

    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{certificate}\n{private_key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


async def _body(url: str, response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Stalled(
                "ManifestTooLarge",
                f"{url} answers with more than {MAX_BODY_BYTES} bytes; a manifest holds at most 256 jobs",
            )
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Waiting("FetchFailed", f"{url} answered compressed although asked not to")
    if response.is_success:
        return bytes(body)
    raise _answered(url, response.status_code, bytes(body), response.headers)


def _answered(url: str, status: int, body: bytes, headers: Mapping[str, str]) -> ReconcileError:
    """What a non-2xx answer means: the app's own signature codes come with the cure, the rest with the first words."""
    code, text = _app_code(body)
    if code in SIGNATURE_CODES:
        return Waiting(
            "SignatureRefused",
            f"{url} refused the signature ({code}: {text}); {_SIGNATURE_ADVICE[code == 'SignatureMismatch']}",
        )
    if 300 <= status < 400:
        to = headers.get("Location", "elsewhere")
        return Stalled(
            "Redirected", f"{url} redirects to {to}; redirects are never followed, write the final URL into spec.source"
        )
    if status == 404:
        return Waiting(
            "FetchFailed",
            f"{url} answered 404; if the manifest has another path, write spec.source.service.path or the full url",
        )
    return Waiting("FetchFailed", f"{url} answered {status}{': ' + text if text else ''}")


def _app_code(body: bytes) -> tuple[str, str]:
    """The protocol's error body `{code, message}`, or the first printable words of anything else."""
    text = body[:2048].decode("utf-8", "replace")
    try:
        error = json.loads(text)
    except ValueError:
        error = None
    if isinstance(error, dict):
        return str(error.get("code", "")), _printable(str(error.get("message", "")))
    return "", _printable(text)


def _printable(text: str) -> str:
    """One line of plain characters: an app's answer must not paint a terminal or forge a log line (attack C7)."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(flat.split())[:MAX_EXCERPT_CHARS]


def _failed(endpoint: Endpoint, why: str) -> Waiting:
    return Waiting("FetchFailed", f"fetching {endpoint.url}: {why}")


def _cause(exc: BaseException) -> str:
    names = {
        httpx.ConnectError: "connection refused or unreachable; is the app running and its Service pointing at it?",
        httpx.RemoteProtocolError: "the answer is no valid HTTP",
        httpx.ReadError: "the connection broke in the middle of the answer",
    }
    text = next((words for kind, words in names.items() if isinstance(exc, kind)), type(exc).__name__)
    detail = _printable(str(exc))
    return f"{text} ({detail})" if detail else text
