"""Where a job may be sent; URLs in, a target or a refusal out.

The manifest is only the app's word (attack S8): a job goes to the host that served the manifest, to the CronixApp's
own Service, or to a host the CronixApp names.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from functools import lru_cache
from typing import TypeAlias

from cronix_operator.core.model import App, ConfigMapSource, Endpoint, InlineSource
from cronix_protocol.faults import quoted
from cronix_protocol.joburl import Url, split_url

MAX_KEPT = 253  # characters of what is remembered for the next job; no host that DNS can hold is longer
FORBIDDEN_NAMES = frozenset(
    {"localhost", "ip6-localhost", "ip6-loopback", "metadata.google.internal", "metadata", "instance-data"}
)


class TargetRefused(Exception):
    """The job's URL may not be called; `reason` one word, the text says what to write instead."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """`base_url`: connect there instead of the URL's own origin (path, query and Host stay the manifest's), or None."""

    base_url: str | None


def decide_target(app: App, endpoint: Endpoint | None, url: str) -> Target:
    """The target of one job URL; raises TargetRefused."""
    parts = _split(url)
    base: str | None
    if is_host_named(app.allowed_hosts, parts.host, parts.port):
        base = None  # the CronixApp names this host, so it is meant
    elif endpoint is not None and endpoint.service_base_url is not None:
        base = app.rewrite_base_url or endpoint.service_base_url  # whatever the host, it goes to the own Service
    else:
        _check_host(app, endpoint, parts)
        base = app.rewrite_base_url
    _check_connection(app, _split(base or url), base or url)
    return Target(base)


def _split(url: str) -> Url:
    """The signer's own reading of a URL: with another parser, what is checked might not be what is called."""
    try:
        return _parts(url) if len(url) <= MAX_KEPT else split_url(url)
    except ValueError as exc:
        raise TargetRefused("InvalidURL", f"{quoted(url)} cannot be called: {exc}") from exc


_parts = lru_cache(maxsize=1024)(split_url)  # the source's and the Service's own URL are asked about for each job


def _check_host(app: App, endpoint: Endpoint | None, job: Url) -> None:
    if isinstance(app.source, InlineSource | ConfigMapSource):
        return  # the tenant's own word
    source_host = _bare(_split(endpoint.url).host) if endpoint else ""
    if _bare(job.host) != source_host:
        raise TargetRefused(
            "HostNotAllowed",
            f'"{job.host}" is not the host that serves the manifest ("{source_host}"); '
            f'to allow it write spec.targets.allowedHosts: ["{_bare(job.host)}"]',
        )


def _check_connection(app: App, to: Url, shown: str) -> None:
    """Whoever named it: what the signer really connects to must not be forbidden, nor plain http in the open."""
    if is_forbidden_host(to.host):
        raise TargetRefused(
            "ForbiddenHost", f'"{to.host}" is a loopback, link-local or metadata address; signers never call those'
        )
    if to.scheme == "http" and not (is_own_service(to.host, app.namespace) or app.allow_insecure_http):
        raise TargetRefused(
            "InsecureURL",
            f'"{shown}" is plain http outside the own Services; use https, or write spec.allowInsecureHTTP: true',
        )


def _bare(host: str) -> str:
    return host.rstrip(".").lower()


def is_host_named(allowed: tuple[str, ...], host: str, port: int) -> bool:
    """Whether `spec.targets.allowedHosts` names this host: `host`, `host:port`, or `*.suffix`."""
    host = _bare(host)
    for entry in allowed:
        name, _, wanted_port = entry.partition(":")
        if wanted_port and str(port) != wanted_port:
            continue
        if host == name or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return False


def is_own_service(host: str, namespace: str) -> bool:
    """Whether `host` names a Service of this namespace: `x`, `x.ns`, `x.ns.svc`, `x.ns.svc.<cluster domain>`."""
    labels = _bare(host).split(".")
    if len(labels) == 1:
        return ":" not in host and not is_forbidden_host(host)
    return labels[1] == namespace and (len(labels) == 2 or labels[2] == "svc")


def is_cluster_name(host: str) -> bool:
    """Whether `host` is in the form of a Service or pod of some namespace (`x.ns.svc`, `a.b.ns.svc.cluster.local`)."""
    return not {"svc", "pod"}.isdisjoint(_bare(host).split(".")[2:])


def is_forbidden_host(host: str) -> bool:
    """Loopback, link-local, unspecified and metadata hosts, by name or literal address, however they are written."""
    return len(host) > MAX_KEPT or _is_forbidden_host(host)


@lru_cache(maxsize=1024)  # an app's jobs go to few hosts
def _is_forbidden_host(host: str) -> bool:
    host = _bare(host)
    if not host or not host.isascii() or host in FORBIDDEN_NAMES or host.endswith(".localhost"):
        return True
    try:
        return is_forbidden_address(ipaddress.ip_address(host.split("%", maxsplit=1)[0]))
    except ValueError:
        # Not an address as standards write it: inet_aton's short, octal and hex forms (0x7f.1, 2130706433) reach the
        # same places and no honest manifest uses them.
        return host.replace(".", "").isdigit() or ":" in host or any(part.startswith("0x") for part in host.split("."))


# IPv4 inside IPv6: NAT64 (RFC 6052, 8215) and the old IPv4-compatible form; mapped and 6to4 are Python's to unwrap.
_EMBEDDED = tuple(ipaddress.IPv6Network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))
_FORBIDDEN = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
        "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",  # Alibaba, Azure, Oracle metadata
        "::/128", "::1/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128", "fd20:ce::254/128",
    )
)  # fmt: skip

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (`::ffff:10.0.0.1`), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and any(address in net for net in _EMBEDDED) and int(address) > 1:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def is_forbidden_address(address: Address) -> bool:
    """Own list instead of `is_global`, which is wrong before Python 3.11.10 / 3.12.4 (CVE-2024-4032)."""
    return any(
        form.version == net.version and form in net for net in _FORBIDDEN for form in (address, unwrapped(address))
    )
