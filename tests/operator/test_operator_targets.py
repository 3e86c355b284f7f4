"""Where a fetch and a job may go: every spelling of a forbidden address, and whose hosts are whose (S1, S2, S8, S9)."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_operator.core.model import Endpoint
from cronix_operator.core.targets import (
    TargetRefused,
    decide_target,
    is_cluster_name,
    is_forbidden_address,
    is_forbidden_host,
    is_host_named,
    is_own_service,
)
from operator_fakes.builders import ENDPOINT, make_app

OWN = "http://billing.shop.svc:8080"
URL_SOURCE = {"url": "https://billing.example.com/cron"}
URL_ENDPOINT = Endpoint("https://billing.example.com/cron")

FORBIDDEN_HOSTS = [
    "", "localhost", "LOCALHOST", "localhost.", "x.localhost", "ip6-localhost", "metadata", "metadata.google.internal",
    "metadata.google.internal.", "instance-data", "127.0.0.1", "127.0.0.1.", "127.1", "127.255.255.254", "0177.0.0.1",
    "0x7f.1", "0X7F.0.0.1", "0x7f000001", "2130706433", "017700000001", "0", "0.0.0.0", "00.0.0.0", "127.0.0.0x1",
    "169.254.169.254", "169.254.170.2", "0xa9fea9fe", "2852039166", "169.254.43518", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "::", "::1", "0:0:0:0:0:0:0:1", "fe80::1",
    "fe80::1%eth0", "ff02::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::127.0.0.1", "64:ff9b:1::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "localho\u017ft", "1:2:3",
]  # fmt: skip
OPEN_HOSTS = [
    "billing", "billing.shop.svc", "a.example.com", "10.0.0.1", "172.16.0.1", "192.168.1.1", "fd12::1", "8.8.8.8",
    "2606:4700::1111", "100.64.0.1", "3com.example", "0xide.example.com.au", "metadata.example.com", "64:ff9b::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("host", FORBIDDEN_HOSTS)
def test_no_spelling_of_a_forbidden_address_gets_through(host: str) -> None:
    """S1, S2."""
    assert is_forbidden_host(host)


@pytest.mark.parametrize("host", [host for host in OPEN_HOSTS if not host.startswith("0x")])
def test_private_and_public_hosts_are_open(host: str) -> None:
    """RFC 1918 and ULA are where Services live."""
    assert not is_forbidden_host(host)


@pytest.mark.law
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_an_address_wrapped_in_ipv6_is_judged_as_itself(number: int) -> None:
    """S2: mapped, 6to4 and NAT64 reach the same place."""
    plain = ipaddress.IPv4Address(number)
    for wrapped in ("::ffff:{}", "64:ff9b::{}"):
        address = ipaddress.ip_address(wrapped.format(plain))
        assert is_forbidden_address(address) == is_forbidden_address(plain)
    six = ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)
    assert is_forbidden_address(six) == is_forbidden_address(plain)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("billing", True), ("billing.shop", True), ("billing.shop.svc", True), ("billing.shop.svc.cluster.local", True),
        ("BILLING.shop.SVC.", True), ("billing.other", False), ("billing.other.svc", False), ("localhost", False),
        ("10.0.0.1", False), ("::1", False), ("fd00::1", False), ("a.billing.shop.svc", False),
        ("x.shop.example", False),         ("2130706433", False), ("metadata", False),
    ],
)  # fmt: skip
def test_own_services_are_told_from_others(host: str, own: bool) -> None:
    """S9."""
    assert is_own_service(host, "shop") is own


@pytest.mark.parametrize(
    ("host", "cluster"),
    [
        ("x.other.svc", True), ("x.other.svc.k8s.corp", True), ("web-0.web.other.svc.cluster.local", True),
        ("10-0-0-1.other.pod.cluster.local", True), ("x.other", False), ("svc.example.com", False),
        ("a.b.example", False),
    ],
)  # fmt: skip
def test_names_of_the_cluster_are_recognised(host: str, cluster: bool) -> None:
    """S9: Services and pods of whatever namespace, under whatever cluster domain."""
    assert is_cluster_name(host) is cluster


@pytest.mark.parametrize(
    ("entry", "host", "port", "named"),
    [
        ("a.example.com", "a.example.com", 443, True),
        ("a.example.com", "A.Example.com.", 443, True),
        ("a.example.com", "b.a.example.com", 443, False),
        ("a.example.com:443", "a.example.com", 443, True),
        ("a.example.com:443", "a.example.com", 8443, False),
        ("*.example.com", "a.example.com", 1, True),
        ("*.example.com", "example.com", 1, False),
        ("*.example.com", "evilexample.com", 1, False),
    ],
)
def test_allowed_hosts_mean_what_they_say(entry: str, host: str, port: int, named: bool) -> None:
    assert is_host_named((entry,), host, port) is named


def base_of(url: str, endpoint: Endpoint | None = ENDPOINT, **spec: Any) -> str | None:
    return decide_target(make_app(**spec), endpoint, url).base_url


ACCEPTED: list[tuple[str, str, Endpoint | None, dict[str, Any], str | None]] = [
    (
        "to the own Service, whatever host the URL says",
        "https://evil.example/x",
        ENDPOINT,
        {},
        ENDPOINT.service_base_url,
    ),
    (
        "to a named host directly",
        "https://api.example.com/x",
        ENDPOINT,
        {"targets": {"allowedHosts": ["api.example.com"]}},
        None,
    ),
    (
        "to the host that serves the manifest",
        "https://billing.example.com/x",
        URL_ENDPOINT,
        {"source": URL_SOURCE},
        None,
    ),
    ("case and dot do not count", "https://BILLING.example.com./x", URL_ENDPOINT, {"source": URL_SOURCE}, None),
    ("inline is the tenant's own word", "https://any.example/x", None, {"source": {"inline": {}}}, None),
    ("plain http to an own Service", "http://x.shop.svc:8080/y", None, {"source": {"inline": {}}}, None),
    (
        "plain http where it is allowed",
        "http://any.example/x",
        None,
        {"source": {"inline": {}}, "allowInsecureHTTP": True},
        None,
    ),
    (
        "rewritten to an own Service over plain http",
        "https://billing.example.com/x",
        URL_ENDPOINT,
        {"source": URL_SOURCE, "targets": {"rewriteBaseURL": "http://billing.shop.svc:8080"}},
        "http://billing.shop.svc:8080",
    ),
]


@pytest.mark.parametrize(("url", "endpoint", "spec", "base"), [c[1:] for c in ACCEPTED], ids=[c[0] for c in ACCEPTED])
def test_a_job_goes(url: str, endpoint: Endpoint | None, spec: dict[str, Any], base: str | None) -> None:
    assert base_of(url, endpoint, **spec) == base


INLINE: dict[str, Any] = {"source": {"inline": {}}}
REFUSED: list[tuple[str, str, Endpoint | None, dict[str, Any], str]] = [
    ("S8: another host", "https://other.example.com/x", URL_ENDPOINT, {"source": URL_SOURCE}, "HostNotAllowed"),
    ("S8: a subdomain", "https://a.billing.example.com/x", URL_ENDPOINT, {"source": URL_SOURCE}, "HostNotAllowed"),
    ("S9: a Service elsewhere", "https://x.other.svc/y", URL_ENDPOINT, {"source": URL_SOURCE}, "HostNotAllowed"),
    ("metadata though inline", "http://169.254.169.254/latest", None, INLINE, "ForbiddenHost"),
    (
        "metadata though named",
        "https://169.254.169.254/x",
        ENDPOINT,
        {"targets": {"allowedHosts": ["169.254.169.254"]}},
        "ForbiddenHost",
    ),
    (
        "metadata by rewrite",
        "https://billing.example.com/x",
        ENDPOINT,
        {"targets": {"rewriteBaseURL": "https://169.254.169.254"}},
        "ForbiddenHost",
    ),
    ("plain http in the open", "http://any.example/x", None, INLINE, "InsecureURL"),
    (
        "plain http by rewrite, from an own Service's URL",
        "http://billing/x",
        ENDPOINT,
        {"targets": {"rewriteBaseURL": "http://evil.example"}},
        "InsecureURL",
    ),
    ("an IPv6 host that is none", "http://[1:2:3]/x", None, {**INLINE, "allowInsecureHTTP": True}, "ForbiddenHost"),
    ("userinfo", "https://billing.example.com@evil.example/", URL_ENDPOINT, {"source": URL_SOURCE}, "InvalidURL"),
    ("backslash", "https://evil.example\\@billing.example.com/", URL_ENDPOINT, {"source": URL_SOURCE}, "InvalidURL"),
    ("tab in the host", "https://billing.\texample.com/", URL_ENDPOINT, {"source": URL_SOURCE}, "InvalidURL"),
]


@pytest.mark.parametrize(("url", "endpoint", "spec", "reason"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_job_is_refused(url: str, endpoint: Endpoint | None, spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(TargetRefused) as caught:
        base_of(url, endpoint, **spec)
    assert caught.value.reason == reason
    assert caught.value.message.isprintable()
