"""One signed, bounded GET of a manifest over HTTP; bytes out, ReconcileError on everything else.

The answer comes from an app that may be hostile: the address is checked after resolving and connected to as checked
(S1-S3), redirects are never followed (S5), no proxy is believed (S7), the body is capped while it streams and the whole
exchange has one deadline (J1).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import httpx

from cronix_operator.core.app import MANIFEST_PATH
from cronix_operator.core.conditional import is_same, usable_etag
from cronix_operator.core.errors import Stalled, Waiting
from cronix_operator.core.model import App, Endpoint, Fetched, KeyMaterial
from cronix_operator.core.source_refusals import answered, printable, unreachable
from cronix_operator.core.targets import (
    Address,
    is_cluster_name,
    is_forbidden_address,
    is_forbidden_host,
    is_host_named,
    is_own_service,
    unwrapped,
)
from cronix_protocol import sign
from cronix_protocol.faults import quoted
from cronix_protocol.joburl import Url, split_url

MAX_BODY_BYTES = 1024 * 1024
MIN_REDACTED_CHARS = 6

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a host, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


class HttpSource:
    """Fetches manifests. `denied`: addresses no manifest may come from (the API server's, the node's).

    `is_forbidden` is asked about every address before it is connected to.
    """

    def __init__(
        self,
        denied: frozenset[str] = frozenset(),
        resolver: Resolve = resolve,
        is_forbidden: Callable[[Address], bool] = is_forbidden_address,
    ) -> None:
        self._denied = frozenset(address for text in denied if (address := _address_in(text)) is not None)
        self._resolve = resolver
        self._is_forbidden = is_forbidden

    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched:
        """The body of a 2xx answer, at most 1 MiB, or that `etag` still stands (304); raises Stalled or Waiting.

        `timestamp`: unix seconds that the signature carries. The MAC covers the protocol's constant manifest path, so
        the app may be mounted behind any URL.
        """
        url = _checked_url(app, endpoint)
        signature = sign(material.keys[0][1], method="GET", path=MANIFEST_PATH, timestamp=timestamp)
        secrets = (signature.rpartition("=")[2], *_secret_values(app, material))
        try:
            async with asyncio.timeout(app.timeout_seconds):
                address = await self._address(app, endpoint, url)
                return await _get(url, address, material, signature, etag)
        except TimeoutError as exc:
            text = f"no complete answer within {app.timeout_seconds:g} s (spec.source.timeout)"
            raise _failed(endpoint, f"{text}; is the app running, and that quick?") from exc
        except httpx.HTTPError as exc:
            # With TLS 1.3 a server refuses the client's certificate only after the handshake, to the first read.
            if isinstance(exc, httpx.ConnectError) or "[SSL" in str(exc):
                raise unreachable(endpoint.url, str(exc)) from exc
            raise _failed(endpoint, _cause(exc, endpoint.url)) from exc
        except ssl.SSLError as exc:
            raise Stalled("TLSConfigInvalid", f"spec.connection.tls: {exc.reason or exc}") from exc
        except _NotGood as exc:
            fault = answered(endpoint.url, exc.status, exc.location, exc.body, secrets)
            fault.http_status = exc.status
            raise fault from None

    async def post(self, app: App, endpoint: Endpoint, body: bytes, signature: str, material: KeyMaterial) -> int:
        """The status of one POST by the same guards; raises as `fetch` does where there is no answer.

        Of `connection` only the certificates are used: its headers are meant for the app, and may be secret.
        """
        url = _checked_url(app, endpoint)
        try:
            async with asyncio.timeout(app.timeout_seconds):
                address = await self._address(app, endpoint, url)
                return await _post(url, address, body, material, signature)
        except TimeoutError as exc:
            raise _failed(endpoint, f"no answer within {app.timeout_seconds:g} s (spec.source.timeout)") from exc
        except httpx.HTTPError as exc:
            raise _failed(endpoint, type(exc).__name__) from exc
        except ssl.SSLError as exc:
            raise Stalled("TLSConfigInvalid", f"spec.connection.tls: {exc.reason or exc}") from exc

    async def _address(self, app: App, endpoint: Endpoint, url: Url) -> str:
        host = endpoint.connect_host or _name_to_resolve(app, url.host)
        try:
            addresses = await self._resolve(host, url.port)
        except (OSError, UnicodeError) as exc:
            raise _failed(endpoint, f'"{url.host}" does not resolve ({exc})') from exc
        for text in addresses:
            address = _address_in(text)
            # One bad answer spoils the lot: a resolver that mixes good and bad ones is being played (rebinding).
            if address is None or self._is_forbidden(address) or unwrapped(address) in self._denied:
                raise Stalled("ForbiddenHost", f'"{url.host}" resolves to {text}, which is never fetched')
        if not addresses:
            raise _failed(endpoint, f'"{url.host}" has no address')
        return addresses[0]


def _checked_url(app: App, endpoint: Endpoint) -> Url:
    try:
        url = split_url(endpoint.url)
    except ValueError as exc:
        raise Stalled("InvalidURL", f"spec.source: {quoted(endpoint.url)} cannot be called: {exc}") from exc
    if is_forbidden_host(url.host):
        raise Stalled(
            "ForbiddenHost",
            f'spec.source: "{url.host}" is a loopback, link-local or metadata address; those are never fetched',
        )
    own = endpoint.own_namespace_service or is_own_service(url.host, app.namespace)
    if url.scheme == "http" and not (own or app.allow_insecure_http):
        raise Stalled(
            "InsecureURL",
            f'spec.source: "{endpoint.url}" is plain http; use https, or write spec.allowInsecureHTTP: true',
        )
    if not own and is_cluster_name(url.host) and not is_host_named(app.allowed_hosts, url.host, url.port):
        raise Stalled(
            "HostNotAllowed",
            f'spec.source: "{url.host}" is a Service of another namespace; '
            f'if that is meant write spec.targets.allowedHosts: ["{url.host}"]',
        )
    return url


def _name_to_resolve(app: App, host: str) -> str:
    """The name to look up, such that the operator's own DNS search list cannot lead into another namespace (S9).

    `billing` is meant in the app's namespace, not in the operator's; `x.other` is a name of the internet's DNS and must
    not become the Service `x.other.svc.cluster.local`: a dot at the end keeps the search list out.
    """
    if _address_in(host) is not None:
        return host
    labels = host.rstrip(".").split(".")
    if is_own_service(host, app.namespace) and len(labels) <= 2:
        return f"{labels[0]}.{app.namespace}.svc"
    return host if is_cluster_name(host) else host.rstrip(".") + "."


def _address_in(text: str) -> Address | None:
    try:
        return unwrapped(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


async def _get(url: Url, address: str, material: KeyMaterial, signature: str, etag: str | None) -> Fetched:
    literal = f"[{address}]" if ":" in address else address
    headers = {
        "accept": "application/json",
        "user-agent": "cronix-operator",
        **{name.lower(): value for name, value in material.headers},
        "accept-encoding": "identity",
        "host": url.authority,
        "x-cron-signature": signature,
        **({} if etag is None else {"if-none-match": etag}),
    }
    extensions = {"sni_hostname": url.host.rstrip(".")}  # certificate and SNI are the name's, not the address's
    # Building a real context costs more than the fetch; plain http needs none, and an empty one trusts nobody.
    tls = _tls(material) if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with (
        httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=None) as client,  # noqa: S113  # fetch() bounds the whole exchange
        client.stream(
            "GET", f"{url.scheme}://{literal}:{url.port}{url.path}", headers=headers, extensions=extensions
        ) as response,
    ):
        return await _answer(f"{url.scheme}://{url.authority}{url.path}", response, etag)


async def _post(url: Url, address: str, body: bytes, material: KeyMaterial, signature: str) -> int:
    literal = f"[{address}]" if ":" in address else address
    headers = {
        "content-type": "application/json",
        "user-agent": "cronix-operator",
        "host": url.authority,
        "x-cron-signature": signature,
    }
    extensions = {"sni_hostname": url.host.rstrip(".")}
    target = f"{url.scheme}://{literal}:{url.port}{url.path}"
    tls = _tls(material) if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with (
        httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=None) as client,  # noqa: S113  # post() bounds the whole exchange
        client.stream("POST", target, content=body, headers=headers, extensions=extensions) as response,
    ):
        return response.status_code  # the answer's body is nobody's business


def _secret_values(app: App, material: KeyMaterial) -> tuple[str, ...]:
    """What an answer might echo and nobody may read in a condition: keys, and header values that come from Secrets."""
    from_secrets = {header.name for header in app.connection.headers if header.secret is not None}
    values = [value for name, value in material.headers if name in from_secrets]
    # `Bearer TOKEN`: an app that echoes the token alone gives the secret away just as well.
    words = [word for value in values for word in value.split() if len(word) >= MIN_REDACTED_CHARS]
    return (*(text for _, text in material.keys), *values, *words)


def _tls(material: KeyMaterial) -> ssl.SSLContext:
    # Comments of a bundle may be in any script; Python takes ASCII only, and a certificate is nothing else.
    pem = None if material.ca_pem is None else material.ca_pem.encode("ascii", "ignore").decode()
    if pem is not None and "-----BEGIN CERTIFICATE-----" not in pem:
        # An empty text would silently mean "trust the public ones".
        raise Stalled("TLSConfigInvalid", "spec.connection.tls: the CA holds no PEM certificate")
    context = ssl.create_default_context(cadata=pem)
    if material.client_cert_pem and material.client_key_pem:
        _load_client_certificate(context, material.client_cert_pem, material.client_key_pem)
    return context


def _load_client_certificate(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    """Load from memory: Python's ssl reads files only, and a key does not belong on a disk; so an anonymous file."""
    import os

    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{certificate}\n{private_key}\n".encode())
        # An encrypted key must fail here; without a password to try, OpenSSL would ask the terminal and stop the loop.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    finally:
        os.close(descriptor)


class _NotGood(Exception):
    """An answer that is not 2xx; kept out of httpx's classes so that its text is made where the secrets are known."""

    def __init__(self, status: int, location: str, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.location = location
        self.body = body


async def _answer(url: str, response: httpx.Response, sent_etag: str | None) -> Fetched:
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
    told_etag = usable_etag(response.headers.get("ETag"))
    if response.is_success:
        return Fetched(bytes(body), told_etag)
    if response.status_code == 304 and sent_etag is not None and is_same(told_etag or sent_etag, sent_etag):
        return Fetched(None, sent_etag)
    raise _NotGood(response.status_code, response.headers.get("Location", ""), bytes(body))


def _failed(endpoint: Endpoint, why: str) -> Waiting:
    return Waiting("FetchFailed", f"fetching {endpoint.url}: {why}")


def _cause(exc: BaseException, url: str) -> str:
    maybe_tls = "; if this port speaks TLS, write scheme https" if url.startswith("http:") else ""
    names = {
        httpx.RemoteProtocolError: f"the answer is no valid HTTP{maybe_tls}",
        httpx.ReadError: "the connection broke in the middle of the answer",
    }
    text = next((words for kind, words in names.items() if isinstance(exc, kind)), type(exc).__name__)
    detail = printable(str(exc))
    return f"{text} ({detail})" if detail else text
