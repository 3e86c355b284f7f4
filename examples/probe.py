"""Is an app really closed? Sends it good and bad requests; exit code 0 when each answer is as it should be.

    python3 probe.py http://hello:8080 tick /etc/hello/keys/current

The one good trigger runs the job. In a pod: `kubectl exec deployment/hello -- python3 /opt/examples/probe.py …`
"""

import http.client
import json
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from cronix_sdk import sign

MANIFEST = "/.well-known/cron-manifest"
Headers = dict[str, str]


def ask(base_url: str, method: str, path: str, headers: Headers, body: bytes = b"") -> tuple[int, str]:
    """Status and code of one answer; the code is "" where the answer has none."""
    parts = urlsplit(base_url)
    door = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = door(parts.netloc, timeout=20)
    try:
        connection.request(method, parts.path + path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    return answer.status, str(document.get("code", "")) if isinstance(document, dict) else "no JSON"


def main(base_url: str, job: str, key_file: str) -> int:
    """Ask everything once."""
    key = Path(key_file).read_text().removesuffix("\n").removesuffix("\r")
    prefix = urlsplit(base_url).path.rstrip("/")
    path, body, now = f"/api/v1/scheduled/{job}", b'{"probe": true}', int(time.time())

    def signed(method: str, target: str, content: bytes = b"", *, by: str = key, at: int = now) -> Headers:
        target = target if target == MANIFEST else prefix + target
        value = sign(by, method=method, path=target, body=content, timestamp=at)
        return {"X-Cron-Signature": value, "X-Cron-Run-Id": f"probe-{uuid.uuid4()}", "X-Cron-Attempt": "1"}

    good = signed("POST", path, body)
    cases: list[tuple[str, str, str, Headers, bytes, int, str]] = [
        ("signed manifest", "GET", MANIFEST, signed("GET", MANIFEST), b"", 200, ""),
        ("unsigned manifest", "GET", MANIFEST, {}, b"", 401, "MissingSignature"),
        ("manifest by POST", "POST", MANIFEST, signed("POST", MANIFEST), b"", 400, "BadMethod"),
        ("signed trigger", "POST", path, good, body, 200, ""),
        ("unsigned trigger", "POST", path, {}, body, 401, "MissingSignature"),
        ("malformed signature", "POST", path, {"X-Cron-Signature": "nonsense"}, body, 401, "MalformedHeader"),
        ("tampered body", "POST", path, good, body + b" ", 401, "SignatureMismatch"),
        ("tampered query", "POST", f"{path}?x=1", good, body, 401, "SignatureMismatch"),
        ("another method", "PUT", path, good, body, 401, "SignatureMismatch"),
        ("another key", "POST", path, signed("POST", path, body, by=f"not {key}"), body, 401, "SignatureMismatch"),
        ("ten minutes old", "POST", path, signed("POST", path, body, at=now - 600), body, 401, "StaleTimestamp"),
        ("ten minutes early", "POST", path, signed("POST", path, body, at=now + 600), body, 401, "StaleTimestamp"),
        ("unknown job, signed", "POST", f"{path}-x", signed("POST", f"{path}-x"), b"", 404, "UnknownJob"),
        ("unknown job, unsigned", "POST", f"{path}-x", {}, b"", 401, "MissingSignature"),
    ]
    wrong = 0
    for what, method, target, headers, content, status, code in cases:
        got = ask(base_url, method, target, headers, content)
        wrong += got != (status, code)
        verdict = "ok   " if got == (status, code) else f"WRONG (want {status} {code})"
        print(f"{verdict} {what:<22} {got[0]} {got[1]}".rstrip())
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
