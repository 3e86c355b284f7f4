"""Four receivers as the founding documents describe them, behaviour for behaviour, in words of our own. Runs in a pod.

Port 8080 takes the calls, told apart by their Host; port 9090 tells what came (GET /requests). Keys are files below
/etc/puppet/keys. What the documents get wrong (`!=`, a missing window, a body check that an absent body skips) is kept.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEYS = Path("/etc/puppet/keys")
requests: list[dict[str, Any]] = []


class Refused(Exception):
    """The receiver does not believe the request."""


def key(name: str) -> str:
    """A key as it is mounted now: the secret lives in a store, not in the code."""
    return (KEYS / name).read_text()


def mac(secret: str, message: bytes, algorithm: str = "sha256") -> bytes:
    """HMAC with a text as key."""
    return hmac.new(secret.encode(), message, algorithm).digest()


def unpadded(data: bytes) -> str:
    """URL-safe base64 as JWTs have it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# -- the QStash document: a Lambda behind a function URL, current and next key -----------------------------------------


def lambda_handler(event: Mapping[str, Any]) -> int:
    """200, or 400 where neither key verifies; the URL is the function's, without a path."""
    token = event["headers"]["upstash-signature"]
    url = f"https://{event['requestContext']['domainName']}"
    body = event.get("body")
    try:
        verify_token(token, key("qstash-current"), body, url)
    except Refused:
        try:
            verify_token(token, key("qstash-next"), body, url)
        except Refused:
            return 400
    return 200


def verify_token(token: str, signing_key: str, body: str | None, url: str) -> None:
    """Three parts, MAC, issuer, subject, expiry, not before, and the body's hash where there is a body."""
    parts = token.split(".")
    if len(parts) != 3:
        raise Refused("no token")
    if unpadded(mac(signing_key, f"{parts[0]}.{parts[1]}".encode())) != parts[2].rstrip("="):
        raise Refused("signature")
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    now = time.time()
    if claims["iss"] != "Upstash" or claims["sub"] != url:
        raise Refused("issuer or subject")
    if now > claims["exp"] or now < claims["nbf"]:
        raise Refused("time")
    if body is not None and unpadded(hashlib.sha256(body.encode()).digest()) != claims["body"].rstrip("="):
        raise Refused("body")


# -- the GitHub document: SHA-1 over the body, compared in constant time -----------------------------------------------


def github_endpoint(headers: Mapping[str, str], body: bytes) -> int:
    """200, or 403."""
    expected = "sha1=" + mac(key("github"), body, "sha1").hex()
    return 200 if hmac.compare_digest(expected, headers.get("x-hub-signature", "")) else 403


# -- the Rails document: a form whose t and signature make a header for Stripe's check, without a tolerance ------------


def webhooks_controller(url: str, body: bytes) -> int:
    """200, or 403 (`head :forbidden`)."""
    form = dict(urllib.parse.parse_qsl(body.decode()))
    if not form.get("signature", "").strip() or not form.get("t", "").strip():
        return 403
    return 200 if stripe_header_is_good(url, f"t={form['t']},v1={form['signature']}", key("lambda")) else 403


def stripe_header_is_good(payload: str, header: str, secret: str) -> bool:
    """What Stripe's library does when it is given no tolerance."""
    pairs = [item.split("=", 1) for item in header.split(",")]
    stamps = [pair[1] for pair in pairs if pair[0] == "t"]
    expected = mac(secret, f"{int(stamps[0])}.{payload}".encode()).hex()
    return any(hmac.compare_digest(expected, pair[1]) for pair in pairs if pair[0] == "v1")


# -- the cronix document: one header for both directions, 300 s either way, codes --------------------------------------


def cronix_endpoint(method: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
    """200, or 401 with the document's code in mind."""
    header = headers.get("x-cron-signature")
    if header is None:
        return 401
    segments = dict(part.split("=", 1) for part in header.split(","))
    if not segments["t"].isdigit() or len(segments["v1"]) != 64:
        return 401
    if abs(time.time() - int(segments["t"])) > 300:
        return 401
    signed = f"{segments['t']}.{method.upper()}.{path}.".encode() + body
    return 200 if hmac.compare_digest(mac(key("current"), signed).hex(), segments["v1"].lower()) else 401


class Door(BaseHTTPRequestHandler):
    """One server for the four, told apart by Host."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Hand the request on as each document's platform would."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        host = headers["host"]
        event: dict[str, Any] = {"headers": headers, "requestContext": {"domainName": host}}
        if body:
            event["body"] = body.decode()
        receivers: dict[str, Callable[[], int]] = {
            "fn.example": lambda: lambda_handler(event),
            "hooks.example": lambda: github_endpoint(headers, body),
            "rails.example": lambda: webhooks_controller(f"http://{host}{self.path}", body),
            "app.example": lambda: cronix_endpoint(self.command, self.path, headers, body),
        }
        status = receivers[host]()
        requests.append({"path": self.path, "headers": headers, "body": body.decode(), "status": status})
        answer(self, status, b"{}")

    def log_message(self, *_: object) -> None:
        """Quiet: what matters is recorded."""


class Told(BaseHTTPRequestHandler):
    """The test's side."""

    def do_GET(self) -> None:
        """Tell what came."""
        answer(self, 200, json.dumps(requests).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    """A complete answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


if __name__ == "__main__":
    threading.Thread(target=ThreadingHTTPServer(("", 9090), Told).serve_forever, daemon=True).start()
    ThreadingHTTPServer(("", 8080), Door).serve_forever()
