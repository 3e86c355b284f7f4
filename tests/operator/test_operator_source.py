"""The manifest's fetch against hostile servers, resolvers and certificates (S1-S7, S9, J1, C5, C7)."""

from __future__ import annotations

import dataclasses
import gzip
import re
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trustme

from cronix_operator.core.errors import Denied, ReconcileError, Stalled, Waiting
from cronix_operator.core.model import App, Endpoint, KeyMaterial, SecretKey, SigningKey
from cronix_operator.edges.source import HttpSource
from cronix_protocol import verify
from operator_fakes.builders import make_app
from operator_fakes.hostile import Handler, HostileServer, answers, endless, says, serving
from operator_fakes.loopback import Resolver, loopback_is_open, to_loopback
from operator_fakes.world import KEY, in_loop

HOST = "billing.example.com"
APP = make_app(source={"url": f"http://{HOST}"}, allowInsecureHTTP=True)
TOKEN = "Bearer canary-token-9876543210"
MATERIAL = KeyMaterial(((SigningKey("current", SecretKey("keys", "current")), KEY),))
OK = answers(200, b'{"version":1}')
NOW = 1_763_812_800


async def fetch(
    url: str, app: App = APP, material: KeyMaterial = MATERIAL, resolver: Resolver | None = None, **endpoint: Any
) -> bytes | None:
    source = HttpSource(resolver=resolver or to_loopback(), is_forbidden=loopback_is_open)
    return (await source.fetch(app, Endpoint(url, **endpoint), material, NOW)).body


async def refused(*args: Any, **kwargs: Any) -> ReconcileError:
    with pytest.raises(ReconcileError) as caught:
        await fetch(*args, **kwargs)
    return caught.value


async def refused_by(handler: Handler, app: App = APP, material: KeyMaterial = MATERIAL) -> ReconcileError:
    async with serving(handler) as server:
        return await refused(f"http://{HOST}:{server.port}/cron", app, material)


@in_loop
async def test_a_fetch_is_one_signed_get_with_the_names_host() -> None:
    async with serving(OK) as server:
        body = await fetch(f"http://{HOST}:{server.port}/cron?v=1")
    assert body == b'{"version":1}'
    (head,) = server.requests
    lines = head.decode().split("\r\n")
    assert lines[0] == "GET /cron?v=1 HTTP/1.1"
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    assert len(headers) == len([line for line in lines[1:] if line])
    assert headers["host"] == f"{HOST}:{server.port}"
    assert headers["accept-encoding"] == "identity"
    path = "/.well-known/cron-manifest"
    assert verify(headers["x-cron-signature"], secrets=[KEY], method="GET", path=path, body=b"", now=NOW).ok


@in_loop
async def test_headers_of_the_connection_are_sent_and_never_replace_ours() -> None:
    """T7."""
    material = dataclasses.replace(MATERIAL, headers=(("HOST", "evil"), ("x-cron-signature", "x"), ("X-Tenant", "a")))
    async with serving(OK) as server:
        await fetch(f"http://{HOST}:{server.port}/", material=material)
    head = server.requests[0].decode().lower()
    assert "x-tenant: a\r\n" in head
    assert "evil" not in head
    assert head.count("\r\nhost:") == head.count("\r\nx-cron-signature:") == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(status: int) -> None:
    """S5: no second request, and no signature for anybody else."""

    @in_loop
    async def run() -> None:
        async with serving(OK) as target, serving(answers(status, Location=f"http://x:{target.port}/")) as server:
            fault = await refused(f"http://{HOST}:{server.port}/")
        assert (target.connections, server.connections) == (0, 1)
        assert isinstance(fault, Stalled)
        assert fault.reason == "Redirected"

    run()


HEAD = b"HTTP/1.1 200 OK\r\n"
JSON_LINE = b'{"version":1,"app":"billing","jobs":[]}'
WRONG: list[tuple[str, Handler, str, str]] = [
    ("endless body", endless(HEAD + b"\r\n", b" " * 65536), "ManifestTooLarge", "1048576"),
    ("a body that says it is huge", answers(200, b" " * 1_100_000), "ManifestTooLarge", "1048576"),
    ("compressed", answers(200, gzip.compress(JSON_LINE), Content_Encoding="gzip"), "FetchFailed", "compressed"),
    ("half a body", says(HEAD + b"Content-Length: 99\r\n\r\n{"), "FetchFailed", "no valid HTTP"),
    ("nothing", says(), "FetchFailed", "no valid HTTP"),
    ("no HTTP", says(b"SSH-2.0-OpenSSH_9.6\r\n"), "FetchFailed", "no valid HTTP"),
    ("huge header", endless(HEAD + b"X: ", b"x" * 65536), "FetchFailed", "no valid HTTP"),
    ("endless headers", endless(HEAD, b"X: y\r\n" * 1000), "FetchFailed", "no valid HTTP"),
    ("404", answers(404), "FetchFailed", "spec.source.service.path"),
    ("500 with a page", answers(500, b"<h1>boom</h1>"), "FetchFailed", "answered 500: <h1>boom</h1>"),
    ("500 nested deep", answers(500, b"[" * 5000), "FetchFailed", "answered 500"),
    ("500 nested deep object", answers(500, b'{"a":' * 5000), "FetchFailed", "answered 500"),
    ("304 that nobody asked for", answers(304), "FetchFailed", "a question that was not asked"),
    ("418 in another charset", answers(418, b"\xff\xfe"), "FetchFailed", "answered 418"),
    ("a code that is no code", answers(401, b'{"code":["x"],"message":{"a":1}}'), "FetchFailed", "401"),
    ("clock wrong", answers(401, b'{"code":"StaleTimestamp","message":"old"}'), "SignatureRefused", "clock"),
    ("key wrong", answers(401, b'{"code":"SignatureMismatch","message":"no"}'), "SignatureRefused", "spec.signing"),
]  # fmt: skip


@pytest.mark.parametrize(("handler", "reason", "told"), [c[1:] for c in WRONG], ids=[c[0] for c in WRONG])
def test_a_hostile_answer_is_told(handler: Handler, reason: str, told: str) -> None:
    """J1, J2."""

    @in_loop
    async def run() -> None:
        fault = await refused_by(handler)
        assert fault.reason == reason
        assert told in fault.message
        assert fault.message.isprintable()

    run()


@pytest.mark.parametrize(
    ("handler", "word_about_the_key"),
    [
        (answers(401, b'{"code":"SignatureMismatch","message":"no"}'), "refused"),
        (answers(401), "denied"),
        (answers(403, b"<h1>log in</h1>"), "denied"),
        (answers(400, b"bad signature"), "denied"),
        (answers(401, b'{"code":"StaleTimestamp","message":"old"}'), "none"),
        (answers(401, b'{"code":"MissingSignature","message":"none"}'), "none"),
        (answers(404), "none"),
        (answers(503, b'{"code":"SecretUnusable","message":"no key"}'), "none"),
    ],
)
def test_which_answers_are_a_word_about_the_key(handler: Handler, word_about_the_key: str) -> None:
    @in_loop
    async def run() -> None:
        fault = await refused_by(handler)
        word = {True: "refused", False: "denied"}[fault.names_key] if isinstance(fault, Denied) else "none"
        assert word == word_about_the_key

    run()


@pytest.mark.parametrize(
    "handler",
    [
        endless(HEAD + b"\r\n", b" ", 0.02),
        endless(HEAD, b"x", 0.02),
        says(60.0),
        says(HEAD + b"Content-Length: 9\r\n\r\n", 60.0),
    ],
    ids=["body drips", "head drips", "silence", "stops in the body"],
)
def test_a_slow_server_has_one_deadline_for_everything(handler: Handler) -> None:
    """J1: not a timeout per read, which a byte a second would stretch for ever."""

    @in_loop
    async def run() -> None:
        app = dataclasses.replace(APP, timeout_seconds=0.2)
        fault = await refused_by(handler, app)
        assert isinstance(fault, Waiting)
        assert "within 0.2 s" in fault.message

    started = time.monotonic()
    run()
    assert time.monotonic() - started < 30  # the server would go on for a minute, or for ever


@in_loop
async def test_a_slow_resolver_is_within_the_same_deadline() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        import asyncio

        await asyncio.sleep(60)
        return []

    source = HttpSource(resolver=never)
    with pytest.raises(Waiting, match="no complete answer"):
        await source.fetch(dataclasses.replace(APP, timeout_seconds=0.1), Endpoint(f"http://{HOST}/"), MATERIAL, NOW)


@in_loop
async def test_an_excerpt_is_short_printable_and_holds_no_secret() -> None:
    """C5, C7: debug pages echo the request, and a terminal obeys what it is shown."""
    app = make_app(
        source={"url": f"http://{HOST}"},
        allowInsecureHTTP=True,
        connection={
            "headers": [{"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "token"}}}]
        },
    )
    material = dataclasses.replace(MATERIAL, headers=(("Authorization", TOKEN),))

    def echo(prefix: str) -> Handler:
        async def handle(reader: Any, writer: Any) -> None:
            body = f"\x1b[31m\u202e{prefix}{TOKEN} {TOKEN.split()[1]} {KEY}".encode() + b"x" * 9000
            writer.write(b"HTTP/1.1 500 X\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)

        return handle

    for prefix in ("", '{"code":"x","message":"', " " * 1990):
        fault = await refused_by(echo(prefix), app, material)
        assert "canary" not in fault.message
        assert fault.message.isprintable()
        assert len(fault.message) < 300
    redirect = await refused_by(answers(302, Location="https://x/\x9b31m?" + TOKEN), app, material)
    assert "canary" not in redirect.message
    assert redirect.message.isprintable()


@pytest.mark.parametrize(
    "addresses",
    [
        ["169.254.169.254"], ["127.0.0.2"], ["::1"], ["fe80::1%eth0"], ["::ffff:169.254.169.254"], ["0.0.0.0"],
        ["127.0.0.1", "169.254.169.254"], ["169.254.169.254", "127.0.0.1"], ["64:ff9b::a9fe:a9fe"], ["rubbish"],
    ],
)  # fmt: skip
def test_one_forbidden_answer_spoils_a_lookup(addresses: list[str]) -> None:
    """S1, S3: rebinding resolvers mix good and bad answers; no socket is opened."""

    @in_loop
    async def run() -> None:
        async with serving(OK) as server:
            fault = await refused(f"http://{HOST}:{server.port}/", resolver=Resolver(addresses))
        assert (fault.reason, server.connections) == ("ForbiddenHost", 0)

    run()


@in_loop
async def test_a_name_is_looked_up_once_and_the_checked_address_is_called() -> None:
    """S3: the second answer would be the metadata service."""
    resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
    async with serving(OK) as server:
        await fetch(f"http://{HOST}:{server.port}/", resolver=resolver)
    assert len(resolver.asked) == 1


@pytest.mark.parametrize("denied", ["10.96.0.1", "::ffff:10.96.0.1", "fd00:0::1"])
def test_the_api_server_is_never_fetched_however_its_address_is_written(denied: str) -> None:
    @in_loop
    async def run() -> None:
        for address in ("10.96.0.1", "::ffff:10.96.0.1", "fd00::1"):
            source = HttpSource(frozenset({denied, "kubernetes.default"}), Resolver([address]))
            same = ("fd00" in denied) == ("fd00" in address)
            app = dataclasses.replace(APP, timeout_seconds=0.05)
            with pytest.raises(ReconcileError) as caught:
                await source.fetch(app, Endpoint(f"http://{HOST}/"), MATERIAL, NOW)
            assert (caught.value.reason == "ForbiddenHost") is same

    run()


@pytest.mark.parametrize(
    ("url", "spec", "reason"),
    [
        ("http://169.254.169.254/latest", {}, "ForbiddenHost"),
        ("http://[::ffff:169.254.169.254]/", {}, "ForbiddenHost"),
        ("http://2130706433/", {}, "ForbiddenHost"),
        ("http://localhost:8080/", {}, "ForbiddenHost"),
        ("file:///etc/passwd", {}, "InvalidURL"),
        ("gopher://x/", {}, "InvalidURL"),
        ("http://user:pw@billing.example.com/", {}, "InvalidURL"),
        ("http://billing.example.com:0/", {}, "InvalidURL"),
        ("http://billing.example.com:99999/", {}, "InvalidURL"),
        ("http://[::1", {}, "InvalidURL"),
        ("http://billing.example.com\\@x/", {}, "InvalidURL"),
        ("http://b\tilling.example.com/", {}, "InvalidURL"),
        ("http://m\u00fcnchen.example/", {}, "InvalidURL"),
        ("http://billing.example.com/", {"allowInsecureHTTP": False}, "InsecureURL"),
        ("http://x.other.svc/", {}, "HostNotAllowed"),
        ("https://x.other.svc.k8s.corp/", {}, "HostNotAllowed"),
        ("https://10-0-0-1.other.pod.cluster.local/", {}, "HostNotAllowed"),
        ("https://x.other.svc:8443/", {"targets": {"allowedHosts": ["x.other.svc:443"]}}, "HostNotAllowed"),
    ],
)
def test_a_forbidden_url_opens_no_socket(url: str, spec: dict[str, Any], reason: str) -> None:
    """S1, S2, S6, S9."""

    @in_loop
    async def run() -> None:
        app = make_app(**{"source": {"url": "https://x.example"}, "allowInsecureHTTP": True, **spec})
        resolver = to_loopback()
        fault = await refused(url, app, resolver=resolver)
        assert (fault.reason, resolver.asked) == (reason, [])
        assert fault.message.isprintable() or "\u00fc" in fault.message

    run()


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("billing", "billing.shop.svc"),
        ("billing.shop", "billing.shop.svc"),
        ("billing.shop.svc", "billing.shop.svc"),
        ("x.other", "x.other."),
        ("billing.example.com", "billing.example.com."),
        ("10.0.0.9", "10.0.0.9"),
    ],
)
def test_the_operators_search_list_leads_into_no_other_namespace(host: str, asked: str) -> None:
    """S9: `x.other` must not become x.other.svc.cluster.local, nor `billing` a Service beside the operator."""

    @in_loop
    async def run() -> None:
        resolver = to_loopback()
        async with serving(OK) as server:
            await fetch(f"http://{host}:{server.port}/", resolver=resolver)
        assert resolver.asked == [asked]

    run()


@in_loop
async def test_a_service_is_called_at_its_cluster_ip_whatever_dns_says() -> None:
    resolver = to_loopback()
    async with serving(OK) as server:
        url = f"http://billing.shop.svc:{server.port}/"
        await fetch(url, resolver=resolver, connect_host="10.96.0.9", own_namespace_service=True)
    assert resolver.asked == ["10.96.0.9"]


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """S7."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    @in_loop
    async def run() -> None:
        async with serving(OK) as server:
            assert await fetch(f"http://{HOST}:{server.port}/")

    run()


CA, OTHER_CA = trustme.CA(), trustme.CA()


def pem(ca: trustme.CA) -> str:
    return ca.cert_pem.bytes().decode()


def server_tls(
    name: str = HOST, ca: trustme.CA = CA, *, client_ca: trustme.CA | None = None, seen: list[str] | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    if seen is not None:
        context.sni_callback = lambda _socket, sni, _context: seen.append(str(sni))
    return context


def client_of(ca: trustme.CA) -> dict[str, str]:
    leaf = ca.issue_cert("operator@example.com")
    chain = "".join(part.bytes().decode() for part in leaf.cert_chain_pems)
    return {"client_cert_pem": chain, "client_key_pem": leaf.private_key_pem.bytes().decode()}


async def over_tls(tls: ssl.SSLContext, use: Callable[[HostileServer], Any], **material: Any) -> bytes | None:
    async with serving(OK, tls) as server:
        use(server)
        return await fetch(f"https://{HOST}:{server.port}/", material=dataclasses.replace(MATERIAL, **material))


@in_loop
async def test_tls_trusts_the_given_ca_and_names_the_host() -> None:
    """The address is connected to, the name is asked for (SNI) and checked."""
    seen: list[str] = []
    comment = f"# Unternehmens-CA f\u00fcr alle\n{pem(CA)}"
    assert await over_tls(server_tls(seen=seen), lambda server: None, ca_pem=comment) == b'{"version":1}'
    assert seen == [HOST]


@in_loop
async def test_a_client_certificate_opens_a_door_that_is_shut_without_it() -> None:
    tls = server_tls(client_ca=OTHER_CA)
    assert await over_tls(tls, lambda server: None, ca_pem=pem(CA), **client_of(OTHER_CA))
    with pytest.raises(Waiting) as caught:
        await over_tls(tls, lambda server: None, ca_pem=pem(CA))
    assert caught.value.reason == "FetchFailed"


LEAF = client_of(CA)
ENCRYPTED = re.sub("PRIVATE KEY", "ENCRYPTED PRIVATE KEY", LEAF["client_key_pem"])
BAD_TLS: list[tuple[str, ssl.SSLContext, dict[str, Any], str]] = [
    ("wrong name", server_tls("other.example.com"), {"ca_pem": pem(CA)}, "FetchFailed"),
    ("another CA", server_tls(ca=OTHER_CA), {"ca_pem": pem(CA)}, "FetchFailed"),
    ("no public CA", server_tls(), {}, "FetchFailed"),
    ("an empty CA does not mean the public ones", server_tls(), {"ca_pem": ""}, "TLSConfigInvalid"),
    ("a CA that is none", server_tls(), {"ca_pem": "hello"}, "TLSConfigInvalid"),
    (
        "a CA that is broken",
        server_tls(),
        {"ca_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        "TLSConfigInvalid",
    ),
    ("a client key that is none", server_tls(), {"ca_pem": pem(CA), **LEAF, "client_key_pem": "x"}, "TLSConfigInvalid"),
    (
        "an encrypted client key never asks for a password",
        server_tls(),
        {"ca_pem": pem(CA), **LEAF, "client_key_pem": ENCRYPTED},
        "TLSConfigInvalid",
    ),
]


@pytest.mark.parametrize(("tls", "material", "reason"), [c[1:] for c in BAD_TLS], ids=[c[0] for c in BAD_TLS])
def test_a_certificate_that_does_not_fit_is_told_and_nothing_is_sent(
    tls: ssl.SSLContext, material: dict[str, Any], reason: str
) -> None:
    @in_loop
    async def run() -> None:
        servers: list[HostileServer] = []
        with pytest.raises(ReconcileError) as caught:
            await over_tls(tls, servers.append, **material)
        assert caught.value.reason == reason
        assert servers[0].requests == []
        assert "PRIVATE" not in caught.value.message

    run()
