"""The example app, as its manifests deploy it, refuses what it must with the protocol's codes."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cronix_protocol import sign
from e2e.e2e_helpers import Place, wait_until

HELLO = Path(__file__).parents[2] / "examples/hello/kubernetes.yaml"
KEY = "a key that only this test and its app know"
TRIGGER = "/api/v1/scheduled/tick"
NOW_TOO_OLD_SECONDS = 301


@pytest.fixture
def hello(place: Place, images: dict[str, str]) -> str:
    """The address of the hello example's pod, deployed from its own file."""
    place.secret("hello-cron", current=KEY)
    place.kubectl(
        "apply", "-f", "-", stdin=HELLO.read_text().replace("cronix.local/cronix-example:dev", images["cronix-example"])
    )
    place.kubectl("rollout", "status", "deployment/hello", "--timeout=150s")
    return str(place.items("pods", "app.kubernetes.io/name=hello")[0]["status"]["podIP"])


def _post(address: str, signature: str | None, body: bytes = b"") -> tuple[int, dict[str, str]]:
    headers = {"X-Cron-Signature": signature} if signature else {}
    request = urllib.request.Request(f"http://{address}:8080{TRIGGER}", data=body, method="POST", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # the app's own pod
            return response.status, {}
    except urllib.error.HTTPError as refused:
        answer: dict[str, str] = json.loads(refused.read())
        return refused.code, answer


def test_unsigned_stale_and_tampered_requests_are_refused_and_a_right_one_is_taken(hello: str) -> None:
    """Each wrong request gets its own code; the same request made right is accepted, so the refusals mean something."""
    now = int(time.time())
    right = sign(KEY, method="POST", path=TRIGGER, body=b"{}", timestamp=now)
    stale = sign(KEY, method="POST", path=TRIGGER, body=b"{}", timestamp=now - NOW_TOO_OLD_SECONDS)
    foreign = sign("another key", method="POST", path=TRIGGER, body=b"{}", timestamp=now)

    assert wait_until(lambda: _post(hello, right, b"{}")[0], 60, "the app answers") == 200
    for signature, body, code in (
        (None, b"{}", "MissingSignature"),
        (stale, b"{}", "StaleTimestamp"),
        (right, b"{ }", "SignatureMismatch"),
        (foreign, b"{}", "SignatureMismatch"),
        ("t=now,v1=zz", b"{}", "MalformedHeader"),
    ):
        status, answer = _post(hello, signature, body)
        assert (status, answer["code"]) == (401, code)
