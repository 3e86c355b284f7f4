"""`validate`: every fault with its path, by the operator's own parser; files, standard input, URLs, CronixApps."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.cli_helpers import NOW, assert_golden, call
from cronix_protocol import verify
from cronix_protocol.manifest import ManifestInvalid, parse_manifest

KEY = "whsec_validate_0123456789abcdef"
GOOD = {
    "version": 1,
    "app": "billing",
    "jobs": [
        {"name": "sync", "schedule": "0 2 * * *", "timezone": "Europe/Paris", "request": {"url": "http://b/x"}},
        {"name": "odd", "schedule": "0 0 L * *", "request": {"url": "http://b/x"}},
    ],
}
BAD = {"version": 2, "jobs": [{"nam": "x", "schedule": "61 * * * *", "request": {"url": "ftp://x"}}]}


def _file(tmp_path: Path, document: object) -> str:
    path = tmp_path / "manifest.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def test_every_fault_of_the_operators_parser_is_told_with_its_path(tmp_path: Path) -> None:
    """Not one more, not one less."""
    told = call("validate", _file(tmp_path, BAD), "-o", "json")
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(json.dumps(BAD).encode())
    found = json.loads(told.out)
    assert [(f["path"], f["message"]) for f in found["findings"]] == [(f.path, f.message) for f in caught.value.faults]
    assert (told.code, found["valid"], found["jobs"]) == (1, False, None)


@pytest.mark.parametrize(("name", "document"), [("validate-jobs", GOOD), ("validate-bad", BAD)])
@pytest.mark.parametrize("width", [80, 160])
def test_what_a_person_sees(tmp_path: Path, name: str, document: Any, width: int) -> None:
    """Golden captures, looked at."""
    assert_golden(f"{name}-{width}", call("validate", _file(tmp_path, document), width=width).out)


def test_warnings_are_no_faults_unless_strict(tmp_path: Path) -> None:
    """A lint never keeps a job from running, so it does not fail a pipeline that has not asked for it."""
    path = _file(tmp_path, {**GOOD, "jobs": GOOD["jobs"][:1]})  # type: ignore[index]  # the jobs are a list
    assert call("validate", path).code == 0
    assert call("validate", path, "--strict").code == 1


def test_a_cronixapp_in_yaml_is_checked_with_its_inline_manifest(tmp_path: Path) -> None:
    """The whole path leads into the YAML."""
    text = """
kind: CronixApp
metadata: {name: billing}
spec:
  signing: {secretRef: {name: keys}}
  source: {inline: {version: 1, app: shop, jobs: [{name: a, schedule: "* * * * *", request: {url: "http://x/y"}}]}}
"""
    told = call("validate", _file(tmp_path, text), "-o", "json")
    (fault,) = [f for f in json.loads(told.out)["findings"] if f["severity"] == "error"]
    assert (fault["path"], fault["code"]) == ("spec.source.inline/app", "AppMismatch")
    wrong = call("validate", "-", stdin=text.replace("secretRef", "secretref").encode())
    assert wrong.code == 1
    assert "spec.signing" in wrong.out


class _App(http.server.BaseHTTPRequestHandler):
    """An app that wants a signature, or redirects."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://elsewhere.example/")
            self.end_headers()
            return
        header = self.headers.get("X-Cron-Signature")
        seen = verify(header, secrets=[KEY], method="GET", path=self.path, body=b"", now=int(NOW.timestamp()))
        self.send_response(200 if seen.ok else 401)
        self.end_headers()
        self.wfile.write(json.dumps(GOOD).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def app_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _App)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_url_is_fetched_signed_when_a_key_is_given(app_url: str, tmp_path: Path) -> None:
    """The developer's own app on loopback; without a path the protocol's is meant."""
    (tmp_path / "key").write_text(KEY + "\n")
    told = call("validate", app_url, "--key-file", str(tmp_path / "key"))
    assert 'app "billing", 2 jobs' in told.out


def test_a_url_that_wants_a_signature_or_redirects_says_what_to_do(app_url: str) -> None:
    """The two answers that puzzle most."""
    unsigned = call("validate", app_url)
    assert (unsigned.code, "--key-file" in unsigned.err) == (1, True)
    moved = call("validate", f"{app_url}/moved")
    assert "http://elsewhere.example/" in moved.err
