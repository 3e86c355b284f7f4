"""An app with several doors, each shut in its own way; answers what a test tells it, by path. Runs in a pod.

8080 and 8090 are open, 8443 speaks TLS, 8444 wants a client certificate as well; the ports in gates.json want a header.
9090 takes the test's orders: PUT /answers {path: {"status", "headers", "body", "etag", "seconds"}} (a list of answers
is given one after the other, the last one again and again), GET /requests.
"""

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cronix_protocol import verify

KEYS = Path("/etc/doors/keys")
TLS = Path("/etc/doors/tls")
MANIFEST_PATH = "/.well-known/cron-manifest"
MANIFESTS = "/manifest/"  # below this path, what is asked for is a manifest: the signature covers the well-known path

gates: dict[int, tuple[str, str]] = {}
answers: dict[str, list[dict[str, Any]]] = {}
requests: list[dict[str, Any]] = []


def is_manifest(path: str) -> bool:
    """Whether what is asked for is a manifest."""
    return path.startswith(MANIFESTS) or path == MANIFEST_PATH


class Door(BaseHTTPRequestHandler):
    """The app, whichever door one comes through."""

    protocol_version = "HTTP/1.1"
    port = 0

    def answer(self) -> None:
        """Record, then answer as told; what is not signed with our key, or lacks the door's header, is refused."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        seen = verify(
            self.headers.get("X-Cron-Signature"),
            secrets=[file.read_text() for file in KEYS.iterdir() if file.is_file()],
            method=self.command,
            path=MANIFEST_PATH if is_manifest(path) else self.path,
            body=body,
            now=int(time.time()),
        )
        record = {"port": self.port, "path": self.path, "headers": dict(self.headers.items()), "ok": seen.ok}
        requests.append(record)
        gate = gates.get(self.port)
        if gate is not None and self.headers.get(gate[0]) != gate[1]:
            record["status"] = self.send(403, {}, f"the gate wants {gate[0]}".encode())
        elif not seen.ok:
            text = json.dumps({"code": seen.code, "message": seen.message}).encode()
            record["status"] = self.send(seen.status, {}, text)
        else:
            record["status"] = self.told(path)

    do_GET = do_POST = answer  # noqa: N815  # http.server's own names

    def told(self, path: str) -> int:
        """What the test has said for this path; of what it has said nothing: 404 for a manifest, 200 for a trigger."""
        queue = answers.get(path)
        if queue is None:
            return self.send(404 if is_manifest(path) else 200, {}, b"")
        told = queue.pop(0) if len(queue) > 1 else queue[0]
        time.sleep(told.get("seconds", 0))
        headers = dict(told.get("headers") or {})
        if told.get("etag"):
            headers["ETag"] = told["etag"]
            if self.headers.get("If-None-Match") == told["etag"]:
                return self.send(304, headers, b"")
        return self.send(told.get("status", 200), headers, told.get("body", "").encode())

    def send(self, status: int, headers: dict[str, str], body: bytes) -> int:
        """A complete answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 304:
            self.wfile.write(body)
        return status

    def log_message(self, *_: object) -> None:
        """Quiet: what matters is recorded."""


class Orders(BaseHTTPRequestHandler):
    """The test's side."""

    def do_PUT(self) -> None:
        """Take answers."""
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers.update({path: entry if isinstance(entry, list) else [entry] for path, entry in told.items()})
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        """Tell what was seen."""
        body = json.dumps(requests).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def serve(port: int, tls: ssl.SSLContext | None = None) -> None:
    """Open one door in a thread of its own."""
    server = ThreadingHTTPServer(("", port), type("DoorAt", (Door,), {"port": port}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def tls_context(*, wants_certificate: bool) -> ssl.SSLContext:
    """Our certificate; with `wants_certificate`, one of the client's by the clients' CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "tls.crt", TLS / "tls.key")
    if wants_certificate:
        context.load_verify_locations(TLS / "clients.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 the refusal comes after the client's handshake
    return context


if __name__ == "__main__":
    gates.update(
        {int(port): (name, value) for port, (name, value) in json.loads((TLS / "gates.json").read_text()).items()}
    )
    for plain_port in (8080, 8090, *gates):
        serve(plain_port)
    serve(8443, tls_context(wants_certificate=False))
    serve(8444, tls_context(wants_certificate=True))
    ThreadingHTTPServer(("", 9090), Orders).serve_forever()
