"""Further signatures of a job: what the signer's process sends over a socket, judged by the verifiers of others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import qstash
import standardwebhooks
import stripe

from cronix_protocol import verify
from cronix_protocol.schemes import TYPES
from cronix_sdk import schemes as sdk
from shim.shim_helpers import KEY, ROOT, Server, answer, headers_of, job_file, run

if TYPE_CHECKING:
    import socket

OK = answer(200, b"done")
BODIES = ["", '{"n":1}', "€ 🌍\n"]
KEYS = {
    "StandardWebhooks": "whsec_" + base64.b64encode(b"a key for standard webhooks, 32+").decode(),
    "GitHub": "It's a Secret to Everybody and to nobody else",
    "Stripe": "whsec_stripe_keys_are_taken_as_they_are",
    "QStash": "sig_current_of_at_least_thirty_two_bytes",
    "SignedForm": "the long random and complex key of the lambda",
}


def entries(folder: Path, *kinds: str, **more: Any) -> dict[str, Any]:
    """`fire` with one entry for each kind, whose key is in a file of that name."""
    for kind in kinds:
        (folder / kind).write_text(KEYS[kind] + "\n")
    return {"schemes": [{"type": kind, "files": [str(folder / kind)], **more} for kind in kinds]}


def send(fire: dict[str, Any], path: str = "/run?a=%20b", **request: Any) -> tuple[bytes, str]:
    """One run against a socket that answers 200: the request as it came, and the job's URL."""
    with Server(OK) as server:
        finished = run(job_file(server.url(path), fire=fire, request=request))
        assert finished.exit_code == 0, finished.stdout
        return server.requests[0], server.url(path)


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def signs_for_cronix(request: bytes, path: str = "/run?a=%20b") -> bool:
    header = headers_of(request)["x-cron-signature"]
    return verify(header, secrets=[KEY], method="POST", path=path, body=body_of(request), now=int(time.time())).ok


@pytest.mark.parametrize("body", BODIES)
def test_the_public_standardwebhooks_accepts(tmp_path: Path, body: str) -> None:
    """And the id is the run's, so that a duplicate is known as one."""
    request, _ = send(entries(tmp_path, "StandardWebhooks"), body=body)
    sent = headers_of(request)
    standardwebhooks.Webhook(KEYS["StandardWebhooks"]).verify(body_of(request), sent, json_parse=False)
    assert sent["webhook-id"] == sent["x-cron-run-id"]
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook("QUJD").verify(body_of(request), sent, json_parse=False)


@pytest.mark.parametrize("body", BODIES)
def test_githubs_documented_recipe_accepts(tmp_path: Path, body: str) -> None:
    """SHA-256 always; the older SHA-1 header on request only."""
    for sha1 in (False, True):
        request, _ = send(entries(tmp_path, "GitHub", sha1=sha1), body=body)
        sent = headers_of(request)
        key = KEYS["GitHub"].encode()
        expected = "sha256=" + hmac.new(key, msg=body_of(request), digestmod=hashlib.sha256).hexdigest()
        assert hmac.compare_digest(expected, sent["x-hub-signature-256"])
        older = "sha1=" + hmac.new(key, msg=body_of(request), digestmod=hashlib.sha1).hexdigest()
        assert sent.get("x-hub-signature") == (older if sha1 else None)


@pytest.mark.parametrize("body", BODIES)
def test_the_public_stripe_accepts(tmp_path: Path, body: str) -> None:
    """With its tolerance of five minutes."""
    request, _ = send(entries(tmp_path, "Stripe"), body=body)
    header = headers_of(request)["stripe-signature"]
    assert stripe.WebhookSignature.verify_header(body_of(request), header, KEYS["Stripe"], tolerance=300)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body_of(request) + b" ", header, KEYS["Stripe"], tolerance=300)


@pytest.mark.parametrize("body", BODIES)
def test_the_public_qstash_receiver_and_pyjwt_accept(tmp_path: Path, body: str) -> None:
    """No tolerance, the URL byte for byte, current or next key."""
    request, url = send(entries(tmp_path, "QStash"), body=body)
    token = headers_of(request)["upstash-signature"]
    for current, following in ((KEYS["QStash"], "x" * 32), ("x" * 32, KEYS["QStash"])):
        receiver = qstash.Receiver(current_signing_key=current, next_signing_key=following)
        receiver.verify(signature=token, body=body_of(request).decode(), url=url)
        with pytest.raises(qstash.errors.SignatureError):
            receiver.verify(signature=token, body=body_of(request).decode(), url=url + "&")
    claims = jwt.decode(token, KEYS["QStash"], algorithms=["HS256"], issuer="Upstash", options={"require": ["jti"]})
    assert claims["sub"] == url


def test_the_public_stripe_accepts_a_signed_form_over_the_url(tmp_path: Path) -> None:
    """As the Rails document calls it: the URL that the framework tells, made from Host and path, against the form."""
    request, url = send(entries(tmp_path, "SignedForm"), body="")
    sent = headers_of(request)
    assert sent["content-type"] == "application/x-www-form-urlencoded"
    form = dict(urllib.parse.parse_qsl(body_of(request).decode(), strict_parsing=True))
    seen = f"http://{sent['host']}{request.split(b' ')[1].decode()}"
    header = f"t={form['t']},v1={form['signature']}"
    assert seen == url
    assert stripe.WebhookSignature.verify_header(seen, header, KEYS["SignedForm"])
    assert signs_for_cronix(request), "X-Cron-Signature covers the form"


def test_url_and_host_are_the_manifests_when_another_address_is_called(tmp_path: Path) -> None:
    """In a cluster the request goes to a Service; what is signed is the URL that the app knows as its own."""
    fire = entries(tmp_path, "QStash", "SignedForm")
    public = "https://fn.example.com"
    with Server(OK) as server:
        job = job_file(public, fire=fire | {"target_base_url": f"http://127.0.0.1:{server.port}"}, request={"body": ""})
        assert run(job).exit_code == 0
    request = server.requests[0]
    assert headers_of(request)["host"] == "fn.example.com"
    token = headers_of(request)["upstash-signature"]
    assert jwt.decode(token, options={"verify_signature": False})["sub"] == public
    assert sdk.SignedForm(KEYS["SignedForm"]).verify(body=body_of(request), url=public)


def test_all_at_once_and_the_sdk_accepts_each(tmp_path: Path) -> None:
    """The other signatures cover the form, and X-Cron-Signature stays good beside them."""
    request, url = send(entries(tmp_path, *TYPES), body="")
    sent, body = headers_of(request), body_of(request)
    verdicts = {
        "StandardWebhooks": sdk.StandardWebhooks(KEYS["StandardWebhooks"]).verify(headers=sent, body=body),
        "GitHub": sdk.GitHub(KEYS["GitHub"]).verify(headers=sent, body=body),
        "Stripe": sdk.Stripe(KEYS["Stripe"]).verify(headers=sent, body=body),
        "QStash": sdk.QStash(["", KEYS["QStash"]]).verify(headers=sent, body=body, url=url),
        "SignedForm": sdk.SignedForm(KEYS["SignedForm"]).verify(body=body, url=url),
    }
    assert {kind: verdict.code for kind, verdict in verdicts.items()} == dict.fromkeys(TYPES, "")
    assert signs_for_cronix(request)


def test_each_attempt_is_signed_anew_with_the_key_of_that_moment(tmp_path: Path) -> None:
    """C4: a token of the first attempt would be refused as a replay, or be old."""
    fire = entries(tmp_path, "QStash", "GitHub")
    other = "sig_next_of_at_least_thirty_two_bytes!!"

    def rotate(connection: socket.socket) -> None:
        (tmp_path / "QStash").write_text(other)
        answer(503)(connection)

    with Server(rotate, OK) as server:
        assert run(job_file(server.url(), fire=fire)).exit_code == 0
    first, second = (headers_of(request)["upstash-signature"] for request in server.requests)
    claims = [
        jwt.decode(first, KEYS["QStash"], algorithms=["HS256"]),
        jwt.decode(second, other, algorithms=["HS256"]),
    ]
    assert claims[0]["jti"] != claims[1]["jti"]


def test_a_second_key_signs_as_well_or_instead(tmp_path: Path) -> None:
    """Both sign where the header holds several signatures; else the first that is there, and that is told."""
    following = tmp_path / "next"
    following.write_text("whsec_" + base64.b64encode(b"the next key of standard webhooks").decode())
    fire = entries(tmp_path, "StandardWebhooks")
    fire["schemes"][0]["files"].append(str(following))
    request, _ = send(fire)
    for key in (KEYS["StandardWebhooks"], following.read_text()):
        standardwebhooks.Webhook(key).verify(body_of(request), headers_of(request), json_parse=False)

    fire = {"schemes": [{"type": "GitHub", "files": [str(tmp_path / "gone"), str(following)]}]}
    with Server(OK) as server:
        finished = run(job_file(server.url(), fire=fire))
    assert finished.words == ["WARN key skipped", "INFO success"]
    assert sdk.GitHub(following.read_text()).verify(headers=headers_of(server.requests[0]), body=b'{"n":1}')


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_without_its_key_nothing_is_sent(tmp_path: Path, kind: str, content: bytes | None) -> None:
    """Exit 3 with scheme and file, no connection: never with one signature less than was asked for (C3)."""
    fire = entries(tmp_path, kind)
    (tmp_path / kind).unlink()
    if content is not None:
        (tmp_path / kind).write_bytes(content)
    with Server(OK) as server:
        finished = run(job_file(server.url(), fire=fire, request={"body": ""}))
    assert (finished.exit_code, server.connections, finished.words) == (3, 0, ["ERROR resolve secrets"])
    assert finished.outcome.outcome == "NoKey"
    assert finished.outcome.message.startswith(f"{kind}: no key to sign with: {tmp_path / kind}")


def test_a_key_of_the_wrong_kind_is_told_and_not_shown(tmp_path: Path) -> None:
    """Standard Webhooks' keys are base64."""
    fire = entries(tmp_path, "StandardWebhooks")
    (tmp_path / "StandardWebhooks").write_text("hunter2!")
    finished = run(job_file("http://127.0.0.1:1/", fire=fire))
    assert (finished.exit_code, finished.outcome.outcome) == (3, "NoKey")
    assert "want whsec_" in finished.outcome.message
    assert str(tmp_path) in finished.outcome.message
    assert "hunter2" not in finished.message + finished.stdout.decode()


@pytest.mark.parametrize(
    "request_fields", [{"body": "x"}, {"method": "GET", "body": ""}, {"body": "", "headers": {"Content-Type": "a/b"}}]
)
def test_a_job_that_cannot_be_a_form_is_not_sent(tmp_path: Path, request_fields: dict[str, Any]) -> None:
    """The operator has refused it before; a job file that came another way is refused here."""
    finished = run(job_file("http://127.0.0.1:1/", fire=entries(tmp_path, "SignedForm"), request=request_fields))
    assert (finished.exit_code, finished.outcome.outcome) == (3, "InvalidJob")
    assert "SignedForm" in finished.outcome.message


def test_keys_and_signatures_are_seen_nowhere(tmp_path: Path) -> None:
    """C5: not in the log or the termination message, even if the app sends back all that it got."""

    def echo(connection: socket.socket) -> None:
        sent = server.requests[-1]
        words = [value for name, value in headers_of(sent).items() if "signature" in name]
        everything = [*KEYS.values(), *words, body_of(sent).decode()]
        answer(400, " ".join(reversed(everything)).encode()[-900:])(connection)

    for kinds in (("QStash",), ("GitHub", "Stripe"), ("StandardWebhooks",), ("SignedForm",)):
        with Server(echo) as server:
            fire = entries(tmp_path, *kinds, sha1=True)
            finished = run(job_file(server.url(), fire=fire, request={"body": ""}))
        told = (finished.stdout + finished.stderr).decode() + finished.message
        assert finished.exit_code == 1
        for kind in kinds:
            assert KEYS[kind] not in told
        sent = headers_of(server.requests[0])
        for name in sent:
            if "signature" in name:
                assert sent[name].rpartition("=" if "=" in sent[name].rstrip("=") else ",")[2].rstrip("=") not in told
        assert body_of(server.requests[0]) not in told.encode() or "SignedForm" not in kinds


def test_a_plain_job_loads_nothing_of_it() -> None:
    """A start pays only for what the job asks for."""
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'spec')!r}, {str(ROOT / 'shim')!r}]\n"
        "from cronix_shim.__main__ import main\n"
        "main(['--job-file', sys.argv[1]])\n"
        "print(*sorted(name for name in sys.modules if 'schemes' in name or name.endswith('.extra')))"
    )
    # No key: the run ends before it connects, after all that a run imports.
    job = '{"app":"a","job":{"name":"j","request":{"url":"http://127.0.0.1:1/"}},"secret_refs":["file:/nowhere"]}'
    command = [sys.executable, "-I", "-S", "-c", program, "/dev/stdin"]
    done = subprocess.run(command, input=job, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
