"""Where a job may be sent; URLs in, a target or a refusal out.

The manifest is only the app's word (attack S8): a job goes to the host that served the manifest, to the CronixApp's
own Service, or to a host the CronixApp names.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from urllib.parse import urlsplit

from cronix_operator.core.model import App, ConfigMapSource, Endpoint, InlineSource

METADATA_NAMES = frozenset({"metadata.google.internal", "metadata", "instance-data"})


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
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if is_host_named(app.allowed_hosts, host, parts.port):
        base = None  # the CronixApp names this host, so it is meant
    elif endpoint is not None and endpoint.service_base_url is not None:
        base = app.rewrite_base_url or endpoint.service_base_url  # whatever the host, it goes to the own Service
    else:
        _check_host(app, endpoint, host)
        base = app.rewrite_base_url
    _check_scheme(app, base or url)
    return Target(base)


def _check_host(app: App, endpoint: Endpoint | None, host: str) -> None:
    if is_forbidden_host(host):
        raise TargetRefused(
            "ForbiddenHost", f'"{host}" is a loopback, link-local or metadata address; signers never call those'
        )
    if isinstance(app.source, InlineSource | ConfigMapSource):
        return  # the tenant's own word
    source_host = (urlsplit(endpoint.url).hostname or "").lower() if endpoint else ""
    if host != source_host:
        raise TargetRefused(
            "HostNotAllowed",
            f'"{host}" is not the host that serves the manifest ("{source_host}"); '
            f'to allow it write spec.targets.allowedHosts: ["{host}"]',
        )


def _check_scheme(app: App, url: str) -> None:
    parts = urlsplit(url)
    own_service = is_own_service(parts.hostname or "", app.namespace)
    if parts.scheme == "http" and not (own_service or app.allow_insecure_http):
        raise TargetRefused(
            "InsecureURL",
            f'"{url}" is plain http outside the own Services; use https, or write spec.allowInsecureHTTP: true',
        )


def is_host_named(allowed: tuple[str, ...], host: str, port: int | None) -> bool:
    """Whether `spec.targets.allowedHosts` names this host: `host`, `host:port`, or `*.suffix`."""
    for entry in allowed:
        name, _, wanted_port = entry.partition(":")
        if wanted_port and str(port) != wanted_port:
            continue
        if host == name or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return False


def is_own_service(host: str, namespace: str) -> bool:
    """Whether `host` names a Service of this namespace: `x`, `x.ns`, `x.ns.svc`, `x.ns.svc.<cluster domain>`."""
    labels = host.lower().rstrip(".").split(".")
    if len(labels) == 1:
        return not labels[0].replace(":", "").isdigit() and labels[0] != "localhost"
    return labels[1] == namespace and (len(labels) == 2 or labels[2] == "svc")


def is_forbidden_host(host: str) -> bool:
    """Loopback, link-local, unspecified and metadata hosts, by name or literal address, however they are written."""
    if not host or host in METADATA_NAMES or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return is_forbidden_address(ipaddress.ip_address(host.split("%", maxsplit=1)[0]))
    except ValueError:
        # Not an address as standards write it: inet_aton's short, octal and hex forms (0x7f.1, 2130706433) reach the
        # same places and no honest manifest uses them.
        return host.replace(".", "").isdigit() or any(part.startswith("0x") for part in host.split("."))


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_FORBIDDEN = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
        "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",  # Alibaba, Azure, Oracle metadata
        "::/128", "::1/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128", "fd20:ce::254/128",
    )
)  # fmt: skip


def is_forbidden_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Own list instead of `is_global`, which is wrong before Python 3.11.10 / 3.12.4 (CVE-2024-4032)."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_forbidden_address(inner)
    return any(address.version == net.version and address in net for net in _FORBIDDEN)
