"""Is it answering? Small probes by HTTP(S), DNS and the API, each total: an answer or a reason, never an exception."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cronix_cluster.network import API_PORT, NODE_NAME, node_address

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS = 3.0


def _tls(pki: Path | None) -> ssl.SSLContext:
    if pki is None:  # a component's self-signed health port on loopback
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    return context


def http_fault(scheme: str, port: int, path: str, pki: Path | None = None) -> str | None:
    """None when http(s)://127.0.0.1:port/path answers 200, else what it did instead."""
    if scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_TIMEOUT_SECONDS, context=_tls(pki)
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"port {port}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return None if response.status == http.client.OK else f"{path} answers {response.status}: {body.strip()[-200:]}"


def socket_fault(path: Path) -> str | None:
    """None when something accepts on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT_SECONDS)
        try:
            client.connect(str(path))
        except OSError as error:
            return f"{path}: {error}"
    return None


def api(pki: Path, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """One request to the API server as admin: (status, decoded JSON). Raises OSError when it does not answer."""
    connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, timeout=10, context=_tls(pki))
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json", "Accept": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def node_fault(pki: Path, kubelet_since: float) -> str | None:
    """None when the kubelet running since then (seconds since the epoch) has said that its node is Ready, else why not.

    What a kubelet before it said still stands in the API for seconds and says nothing about this one.
    """
    try:
        status, node = api(pki, "GET", f"/api/v1/nodes/{NODE_NAME}")
    except OSError as error:
        return str(error)
    if status != http.client.OK:
        return "the kubelet has not registered the node yet"
    ready = next((c for c in node["status"].get("conditions", []) if c["type"] == "Ready"), None)
    if ready is None:
        return "node has no Ready condition yet"
    if ready["status"] != "True":
        return f"node not Ready: {ready['message']}"
    said = datetime.fromisoformat(ready["lastHeartbeatTime"]).timestamp()
    return None if said >= int(kubelet_since) else "the kubelet has not told the node's state since it was started"


def dns_fault(name: str = "kubernetes.default.svc.cluster.local") -> str | None:
    """None when CoreDNS gives an address for `name`."""
    labels = b"".join(struct.pack("B", len(part)) + part.encode() for part in name.split("."))
    query = struct.pack(">6H", 0x6372, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        try:
            client.sendto(query, (node_address(), 53))
            answer = client.recv(512)
        except OSError as error:
            return f"DNS {node_address()}:53: {str(error) or 'no answer'}"
    flags, _, answers = struct.unpack(">3H", answer[2:8])
    return None if flags & 0xF == 0 and answers else f"DNS has no address for {name} yet (code {flags & 0xF})"
