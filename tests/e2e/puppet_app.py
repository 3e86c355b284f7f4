"""An app on strings: serves whatever manifest a test gives it, verifies and records every trigger. Runs in a pod.

Port 8080 is the app (what the CronixApp points at), port 9090 takes the test's orders:
PUT /manifest (raw bytes), PUT /manage {"manifest_status", "trigger_status", "trigger_seconds", "held", "keys",
"verifies", "answers"}, GET /requests. `held`: triggers of these jobs get no answer until they are held no more;
`keys`: what it verifies with instead of its files; `verifies`: false lets everything in; `answers`: by the last part
of a trigger's path, {"status", "seconds", "body"} for that job alone.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cronix_protocol import verify

KEYS = Path("/etc/puppet/keys")
MANIFEST_PATH = "/.well-known/cron-manifest"
state: dict[str, Any] = {"manifest": b"", "manifest_status": 200, "trigger_status": 200, "trigger_seconds": 0.0}
state |= {"held": [], "keys": None, "verifies": True, "answers": {}}
requests: list[dict[str, Any]] = []


def keys() -> list[str]:
    """The keys as they are mounted now, or as the test says."""
    if state["keys"] is not None:
        return list(state["keys"])
    return [path.read_text().removesuffix("\n") for path in sorted(KEYS.iterdir()) if path.is_file()]


class App(BaseHTTPRequestHandler):
    """The app itself."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Verify, record, answer as told."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = verify(
            self.headers.get("X-Cron-Signature"),
            secrets=keys(),
            method=self.command,
            path=self.path,
            body=body,
            now=int(time.time()),
        )
        record = {
            "time": time.time(),
            "method": self.command,
            "path": self.path,
            "headers": dict(self.headers.items()),
            "body": body.decode("utf-8", "replace"),
            "ok": seen.ok,
            "code": seen.code,
            "secret_index": seen.secret_index,
        }
        requests.append(record)
        if not seen.ok and state["verifies"]:
            self.send(seen.status, json.dumps({"code": seen.code, "message": seen.message}).encode())
        elif self.path == MANIFEST_PATH:
            self.send(state["manifest_status"], state["manifest"])
        else:
            own = state["answers"].get(self.path.rpartition("/")[2], {})
            time.sleep(own.get("seconds", state["trigger_seconds"]))
            while self.path.rpartition("/")[2] in state["held"]:
                time.sleep(0.1)
            record["answered"] = time.time()
            self.send(own.get("status", state["trigger_status"]), own.get("body", '{"did": "it"}').encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  # http.server's own names

    def send(self, status: int, body: bytes) -> None:
        """A complete answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: what matters is recorded."""


class Strings(App):
    """The test's side."""

    def do_PUT(self) -> None:
        """Take an order."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/manifest":
            state["manifest"] = body
        else:
            state.update(json.loads(body))
        self.send(200, b"{}")

    def do_GET(self) -> None:
        """Tell what was seen."""
        self.send(200, json.dumps(requests).encode())


if __name__ == "__main__":
    threading.Thread(target=ThreadingHTTPServer(("", 9090), Strings).serve_forever, daemon=True).start()
    print("ready", file=sys.stderr)
    ThreadingHTTPServer(("", 8080), App).serve_forever()
