"""From a Service object to the manifest's URL; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cronix_operator.core.app import MANIFEST_PATH
from cronix_operator.core.errors import Stalled
from cronix_operator.core.model import App, Endpoint, ServiceSource


def url_endpoint(url: str) -> Endpoint:
    """A URL as it is written; the well-known path where it has none."""
    parts = urlsplit(url)
    return Endpoint(url if parts.path or parts.query else urlunsplit(parts._replace(path=MANIFEST_PATH)))


def service_endpoint(app: App, source: ServiceSource, service: Mapping[str, Any]) -> Endpoint:
    """The manifest URL at an own-namespace Service; raises Stalled when the port is not clear.

    The address is the Service's own ClusterIP, so no DNS answer decides where a key's signature goes (attack S3); a
    headless Service has none and is looked up. ExternalName is refused: it is a redirect to any host (attack S9).
    """
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        raise Stalled(
            "ServiceExternalName",
            f'Service "{source.name}" is of type ExternalName, another name for "{spec.get("externalName")}"; '
            f"write the address itself, such as spec.source.url: https://{spec.get('externalName')}",
        )
    port = _port(source, [p for p in spec.get("ports") or [] if p.get("protocol", "TCP") == "TCP"])
    scheme = source.scheme or _scheme(port)
    cluster_ip = spec.get("clusterIP") or "None"
    number = port["port"]
    if cluster_ip == "None" and isinstance(port.get("targetPort"), int):
        number = port["targetPort"]  # headless: the name leads to the pods themselves, nobody translates the port
    base = f"{scheme}://{source.name}.{app.namespace}.svc:{number}"
    return Endpoint(
        url=base + source.path,
        connect_host=cluster_ip if cluster_ip != "None" else None,
        service_base_url=base,
        own_namespace_service=True,
    )


def _port(source: ServiceSource, ports: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    listed = ", ".join(f"{p['port']}" + (f" ({p['name']})" if p.get("name") else "") for p in ports) or "none"
    if source.port is None:
        if not ports:
            raise Stalled("PortNotFound", f'Service "{source.name}" has no TCP port; add one to its spec.ports')
        if len(ports) > 1:
            raise Stalled(
                "PortUnclear",
                f'Service "{source.name}" has several ports ({listed}); say which: '
                f"spec.source.service.port: {ports[0]['port']}",
            )
        return ports[0]
    for port in ports:
        if source.port in (port["port"], port.get("name")):
            return port
    raise Stalled(
        "PortNotFound",
        f'spec.source.service.port: Service "{source.name}" has no port "{source.port}"; it has {listed}',
    )


def _scheme(port: Mapping[str, Any]) -> str:
    protocol = str(port.get("appProtocol") or "").lower().rpartition("/")[2]
    if protocol in {"http", "https"}:
        return protocol
    name = str(port.get("name") or "")
    return "https" if name == "https" or name.startswith("https-") or port["port"] == 443 else "http"
