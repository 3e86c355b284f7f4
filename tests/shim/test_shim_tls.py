"""https: a certificate good for the host that is connected to, under the CA that is given, else nothing is sent."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from shim.shim_helpers import Server, answer, headers_of, job_file, run, says

OK = answer(200, b"done")


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def context(ca: trustme.CA, name: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name, key_type=trustme.KeyType.ECDSA).configure_cert(made)
    return made


def https(server: Server, host: str = "127.0.0.1") -> str:
    return f"https://{host}:{server.port}/run"


def fire(**options: Any) -> dict[str, Any]:
    return options


def test_right_name_and_right_ca(ca: trustme.CA, ca_file: str) -> None:
    """An address in the certificate, and a name."""
    for name in ("127.0.0.1", "localhost"):
        with Server(OK, tls=context(ca, name)) as server:
            finished = run(job_file(https(server, name), timeout_seconds=20, fire=fire(ca_file=ca_file)))
        assert finished.exit_code == 0, finished.stdout


@pytest.mark.parametrize(
    ("name", "trusted", "said"),
    [
        ("billing.example.com", True, "IP address mismatch"),
        ("127.0.0.2", True, "IP address mismatch"),
        ("127.0.0.1", False, "unable to get local issuer certificate"),
    ],
)
def test_wrong_name_or_unknown_ca(ca: trustme.CA, ca_file: str, name: str, trusted: bool, said: str) -> None:
    """An attempt that failed, retried, and not one byte of a request was sent."""
    with Server(OK, tls=context(ca, name)) as server:
        finished = run(job_file(https(server), timeout_seconds=20, fire=fire(ca_file=ca_file) if trusted else None))
    assert finished.words == ["WARN attempt failed", "WARN attempt failed", "ERROR retries exhausted"]
    assert (finished.exit_code, server.requests) == (2, [])
    assert finished.lines[0]["err"].startswith("TLS to 127.0.0.1: ")
    assert said in finished.lines[0]["err"]


def test_rewritten_target_is_verified_as_itself_and_asked_for_by_its_name(ca: trustme.CA, ca_file: str) -> None:
    """SNI and certificate: the host connected to. Host header: the manifest's."""
    asked: list[str | None] = []
    tls = context(ca, "localhost")
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    with Server(OK, tls=tls) as server:
        options = fire(ca_file=ca_file, target_base_url=f"https://localhost:{server.port}")
        finished = run(job_file("https://billing.example.com/run", timeout_seconds=20, fire=options))
    assert finished.exit_code == 0, finished.stdout
    assert asked == ["localhost"]
    assert headers_of(server.requests[0])["host"] == "billing.example.com"


def test_client_certificate(ca: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    """A server that wants one gets it; without it the attempt fails."""
    tls = context(ca, "127.0.0.1")
    ca.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 the refusal comes after the handshake
    client = ca.issue_cert("signer", key_type=trustme.KeyType.ECDSA)
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for blob in client.cert_chain_pems:
        blob.write_to_path(str(tmp_path / "cert.pem"), append=True)
    files = {"client_cert_file": str(tmp_path / "cert.pem"), "client_key_file": str(tmp_path / "key.pem")}
    with Server(OK, tls=tls) as server:
        with_it = run(job_file(https(server), timeout_seconds=20, fire=fire(ca_file=ca_file, **files)))
        without = run(job_file(https(server), timeout_seconds=20, fire=fire(ca_file=ca_file)))
    assert (with_it.exit_code, without.exit_code, len(server.requests)) == (0, 2, 1)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (says(b"HTTP/1.1 200 OK\r\n\r\n"), "TLS to 127.0.0.1: "),
        (says(), "TLS to 127.0.0.1: "),
        (says(30.0), "timed out after 1 s"),
    ],
    ids=["speaks http", "closes", "silent"],
)
def test_server_that_speaks_no_tls(handler: Any, said: str) -> None:
    """A failed attempt within its deadline."""
    with Server(handler, reads=False) as server:
        timeout = 1 if "timed out" in said else 10
        finished = run(job_file(https(server), retries={"max_attempts": 1}, timeout_seconds=timeout))
    assert finished.exit_code == 2
    assert said in finished.lines[0]["err"]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_ca_file_that_is_missing_or_holds_none(tmp_path: Path, content: str | None) -> None:
    """The words name the file's trouble; nothing is sent without verification."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with Server(OK) as server:
        finished = run(
            job_file(https(server), timeout_seconds=20, fire=fire(ca_file=str(path)), retries={"max_attempts": 1})
        )
    assert (finished.exit_code, server.requests) == (2, [])
    assert "TLS to 127.0.0.1: " in finished.lines[0]["err"]


def test_tls_older_than_1_2_is_refused(ca: trustme.CA, ca_file: str) -> None:
    """A server that can do no better gets no request."""
    tls = context(ca, "127.0.0.1")
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        tls.minimum_version = ssl.TLSVersion.TLSv1
    with Server(OK, tls=tls) as server:
        finished = run(
            job_file(https(server), timeout_seconds=20, fire=fire(ca_file=ca_file), retries={"max_attempts": 1})
        )
    assert (finished.exit_code, server.requests) == (2, [])


def test_body_over_tls_that_ends_without_a_farewell(ca: trustme.CA, ca_file: str) -> None:
    """The connection is cut in the middle: the status stands, what came is told."""

    def cut(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 99\r\n\r\nhalf")
        socket.close(connection.detach())  # no close_notify

    with Server(cut, tls=context(ca, "127.0.0.1")) as server:
        finished = run(job_file(https(server), timeout_seconds=20, fire=fire(ca_file=ca_file)))
    assert (finished.exit_code, finished.outcome.excerpt) == (1, "half")
    assert "closed the connection" in finished.lines[0]["body_fault"]
