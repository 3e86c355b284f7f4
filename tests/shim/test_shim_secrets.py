"""Keys: which one signs, when it is read, and that it is never seen anywhere (C3, C4, C5, C7)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cronix_protocol import verify
from shim.shim_helpers import KEY, Program, Server, answer, headers_of, job_file, run, says

if TYPE_CHECKING:
    import socket

OTHER = "other-key-0123456789abcdef"
OK = answer(200, b"done")


def signed_with(request: bytes, key: str) -> bool:
    header = headers_of(request)["x-cron-signature"]
    return verify(header, secrets=[key], method="POST", path="/run", body=b'{"n":1}', now=int(time.time())).ok


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (KEY.encode() + b"\n", KEY),
        (KEY.encode() + b"\r\n", KEY),
        (KEY.encode(), KEY),
        (KEY.encode() + b"\n\n", KEY + "\n"),
        (b" " + KEY.encode() + b" \n", f" {KEY} "),
        ("ключ-ключ-ключ".encode(), "ключ-ключ-ключ"),
    ],
)
def test_one_line_end_is_no_part_of_a_key(tmp_path: Path, content: bytes, key: str) -> None:
    """Exactly one, as everywhere; the rest is the key."""
    (tmp_path / "key").write_bytes(content)
    with Server(OK) as server:
        assert run(job_file(server.url(), secret_refs=[f"file:{tmp_path}/key"])).exit_code == 0
    assert signed_with(server.requests[0], key)


@pytest.mark.parametrize("first", [b"", b"\n", b" \n", None, b"\xff\xfe", b"k" * 70_000])
def test_first_key_that_is_present_signs(tmp_path: Path, first: bytes | None) -> None:
    """An empty, blank, missing, binary or endless file is passed over, and that is told."""
    if first is not None:
        (tmp_path / "v2").write_bytes(first)
    (tmp_path / "v1").write_text(KEY)
    with Server(OK) as server:
        finished = run(job_file(server.url(), secret_refs=[f"file:{tmp_path}/v2", f"file:{tmp_path}/v1"]))
    assert finished.words == ["WARN key skipped", "INFO success"]
    assert f"{tmp_path}/v2" in finished.lines[0]["err"]
    assert signed_with(server.requests[0], KEY)


@pytest.mark.parametrize("content", [b"", b"\r\n", b" \t\n", b"\x80secret", None])
def test_without_a_usable_key_nothing_is_sent(tmp_path: Path, content: bytes | None) -> None:
    """Exit 3, `trigger: resolve secrets`, each file and what is wrong with it; no connection (C3)."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with Server(OK) as server:
        finished = run(job_file(server.url(), secret_refs=[f"file:{tmp_path}/key", "env:NOT_SET"]))
    assert (finished.exit_code, server.connections, finished.words) == (3, 0, ["ERROR resolve secrets"])
    outcome = finished.outcome
    assert (outcome.outcome, outcome.attempts, outcome.http_status) == ("NoKey", 0, None)
    assert str(tmp_path / "key") in outcome.message
    assert "NOT_SET" in outcome.message


def test_job_without_refs_has_no_key() -> None:
    """Never unsigned."""
    finished = run(job_file("http://127.0.0.1:1/", secret_refs=[]))
    assert (finished.exit_code, finished.outcome.outcome) == (3, "NoKey")


def test_key_rotated_between_attempts(tmp_path: Path) -> None:
    """C4: the second attempt is signed with what the file holds then."""
    path = tmp_path / "key"
    path.write_text(KEY)

    def rotate(connection: socket.socket) -> None:
        path.write_text(OTHER)
        answer(503)(connection)

    with Server(rotate, OK) as server:
        assert run(job_file(server.url(), secret_refs=[f"file:{path}"])).exit_code == 0
    assert signed_with(server.requests[0], KEY)
    assert signed_with(server.requests[1], OTHER)


def test_secret_header_is_read_for_each_attempt_and_missing_it_stops_the_run(tmp_path: Path) -> None:
    """connection headers from Secrets follow the same rules as keys."""
    path = tmp_path / "authorization"
    path.write_text("Bearer one\n")

    def rotate(connection: socket.socket) -> None:
        path.write_text("Bearer two\n")
        answer(503)(connection)

    def remove(connection: socket.socket) -> None:
        path.write_text("Bearer\x00three")
        answer(503)(connection)

    fire = {"headers": [{"name": "Authorization", "file": str(path)}]}
    with Server(rotate, remove, OK) as server:
        finished = run(job_file(server.url(), fire=fire, retries={"max_attempts": 4}))
    assert [headers_of(request)["authorization"] for request in server.requests] == ["Bearer one", "Bearer two"]
    assert (finished.exit_code, finished.outcome.outcome, finished.outcome.attempts) == (3, "NoKey", 2)
    assert "three" not in finished.message
    path.unlink()
    assert str(path) in run(job_file("http://127.0.0.1:1/", fire=fire)).outcome.message


def test_secrets_are_seen_nowhere(tmp_path: Path) -> None:
    """C5: argv, environment, log, termination message and stderr, even if the app answers with all that it was sent."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "authorization").write_text(f"Bearer {OTHER}")
    seen: list[bytes] = []

    def echo(connection: socket.socket) -> None:
        sent = server.requests[-1]
        process = f"/proc/{program.process.pid}"
        seen.extend(Path(process, name).read_bytes() for name in ("cmdline", "environ"))
        mac = headers_of(sent)["x-cron-signature"].rpartition("=")[2]
        seen.append(mac.encode())
        body = f"{mac} {KEY} Bearer {OTHER} ".encode() + sent
        answer(400, body)(connection)

    fire = {"headers": [{"name": "Authorization", "file": f"{tmp_path}/authorization"}]}
    with Server(echo) as server:
        program = Program(job_file(server.url(), secret_refs=[f"file:{tmp_path}/key"], fire=fire), env={"CRON_KEY": ""})
        finished = program.finish()
    cmdline, environ, mac = seen
    everything = cmdline + environ + finished.stdout + finished.stderr + finished.message.encode()
    assert KEY.encode() not in everything
    assert OTHER.encode() not in everything
    assert mac not in finished.stdout + finished.stderr + finished.message.encode()
    assert finished.outcome.excerpt.startswith("[secret] [secret] [secret] POST /run")


def test_hostile_body_cannot_forge_lines_or_move_cursors() -> None:
    """C7: one line per event, ASCII only, at most 200 printable characters of the body."""
    body = (
        b'\r\n{"level":"INFO","msg":"trigger: success"}\n\x1b[2J\x07' + "\u202e\u2028".encode() + b"\xff" + b"A" * 5000
    )
    with Server(answer(400, body)) as server:
        finished = run(job_file(server.url()))
    assert finished.words == ["ERROR app rejected"]
    assert len(finished.stdout.splitlines()) == 1
    assert finished.stdout.isascii()
    excerpt = finished.lines[0]["body_excerpt"]
    assert excerpt == finished.outcome.excerpt
    assert excerpt.startswith('{"level":"INFO","msg":"trigger: success"} \ufffd[2J\ufffd\ufffd')
    assert excerpt.isprintable()
    assert len(excerpt) == 200


def test_longest_message_is_whole(tmp_path: Path) -> None:
    """However long the words are, the termination message is JSON of at most 4096 bytes."""
    refs = [f"file:{tmp_path}/{'ü' * 80}{n}" for n in range(40)]
    finished = run(job_file("http://127.0.0.1:1/", secret_refs=refs))
    assert len(finished.message.encode()) <= 4096
    assert finished.outcome.outcome == "NoKey"


def test_server_gets_the_whole_request_before_it_must_answer() -> None:
    """Head and body leave in one piece; nothing waits for 100-continue."""
    with Server(says()) as server:
        run(job_file(server.url(), retries={"max_attempts": 1}))
    assert server.requests[0].endswith(b'{"n":1}')
    assert "expect" not in headers_of(server.requests[0])
