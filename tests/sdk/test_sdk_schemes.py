"""Other senders' signatures at the receiver: what is accepted, what is refused, and with which word (C1-C3, J3)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jwt
import pytest

from cronix_protocol.schemes import Outgoing, qstash, scheme_headers
from cronix_sdk import KeyFiles, SecretError, SetupError, schemes
from sdk.sdk_schemes import BODY, BY_KIND, FORM, KEY, NEXT, NOW, SCHEMES, URL, Scheme, Sent, webhook_key

every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.kind)
with_header = pytest.mark.parametrize(
    "scheme", [scheme for scheme in SCHEMES if scheme.header], ids=lambda scheme: scheme.kind
)
with_time = pytest.mark.parametrize("scheme", [s for s in SCHEMES if s.has_time], ids=lambda scheme: scheme.kind)
with_url = pytest.mark.parametrize("scheme", [s for s in SCHEMES if s.needs_url], ids=lambda scheme: scheme.kind)


@every_scheme
def test_a_good_request_is_accepted_under_the_current_and_under_the_next_key(scheme: Scheme) -> None:
    """The verdict tells the key's place; an empty one keeps its place and verifies nothing."""
    assert scheme.receive(scheme.send(KEY), KEY, NEXT).secret_index == 0
    assert scheme.receive(scheme.send(NEXT), KEY, NEXT).secret_index == 1
    assert scheme.receive(scheme.send(NEXT), secret=["", scheme.key(NEXT)]).secret_index == 1


@every_scheme
def test_another_key_is_refused(scheme: Scheme) -> None:
    verdict = scheme.receive(scheme.send("some third key that is long enough, too"), KEY, NEXT)
    assert (verdict.status, verdict.code) == (401, "SignatureMismatch")
    assert KEY not in verdict.message + repr(verdict)


@with_header
def test_a_request_without_the_header_is_refused(scheme: Scheme) -> None:
    assert scheme.receive(Sent({}, BODY)).code == "MissingSignature"


@with_header
@pytest.mark.parametrize(
    "value", ["", " ", ",", "=", "t=", "v1,", "v1", "..", "a.b", "sha256=", "\udcff", "é", "x" * 9000]
)
def test_a_header_that_is_nonsense_is_malformed(scheme: Scheme, value: str) -> None:
    sent = scheme.send()
    assert scheme.receive(Sent({**sent.headers, scheme.header: value}, BODY)).code == "MalformedHeader"


@with_header
def test_the_header_is_found_whatever_its_case_and_in_the_forms_of_every_server(scheme: Scheme) -> None:
    """A mapping, or pairs of text or bytes; of a header that comes twice the first counts."""
    sent = scheme.send()
    verifier = scheme.verifier(scheme.key(KEY), **({} if scheme.kind == "GitHub" else {"clock": lambda: NOW}))
    url = {"url": URL} if scheme.needs_url else {}
    pairs = [(name.upper().encode(), value.encode()) for name, value in sent.headers.items()]
    for headers in (pairs, [*pairs, (scheme.header.encode(), b"second")]):
        assert verifier.verify(headers=headers, body=BODY, **url)


@with_header
def test_the_body_is_always_checked(scheme: Scheme) -> None:
    """One byte more, one less, and no body at all, where a body was signed (the QStash document skips that one)."""
    code = "BodyMismatch" if scheme.kind == "QStash" else "SignatureMismatch"
    for body in (BODY + b"\n", BODY[:-1], b""):
        assert scheme.receive(scheme.send(), body=body).code == code
    assert scheme.receive(scheme.send(body=b""), body=b"").ok


@every_scheme
@pytest.mark.parametrize("body", [None, "text", {"a": 1}, 7])
def test_a_body_that_is_not_bytes_is_the_apps_mistake(scheme: Scheme, body: object) -> None:
    """500, as `Cron` answers: the signature of a decoded body cannot be checked."""
    assert scheme.receive(scheme.send(), body=body if body is not None else object()).code == "BodyNotBytes"


@every_scheme
def test_buffers_are_bytes(scheme: Scheme) -> None:
    sent = scheme.send()
    assert scheme.receive(sent, body=bytearray(sent.body)).ok
    assert scheme.receive(sent, body=memoryview(sent.body)).ok


@with_time
def test_the_window_is_enforced_on_both_sides(scheme: Scheme) -> None:
    """300 s, or what the app says; a captured request is worth nothing afterwards (A2; the Rails document lacks it)."""
    back = qstash.BACKDATE_SECONDS if scheme.kind == "QStash" else 0
    last = 299 - back if scheme.kind == "QStash" else 300  # a token ends with its exp, the edge excluded
    for seconds, code in ((last, ""), (last + 1, "StaleTimestamp"), (-300 - back, ""), (-301 - back, "StaleTimestamp")):
        assert scheme.receive(scheme.send(), now=NOW + seconds).code == code
    assert scheme.receive(scheme.send(), now=NOW + 31, replay_window_seconds=30).code == "StaleTimestamp"
    assert scheme.receive(scheme.send(), now=NOW, replay_window_seconds=30).ok


@with_time
def test_a_window_below_30_seconds_is_refused_at_the_start(scheme: Scheme) -> None:
    with pytest.raises(SetupError, match="at least 30"):
        scheme.verifier(scheme.key(KEY), replay_window_seconds=29)


@with_url
@pytest.mark.parametrize(
    "url", ["https://other.example.com/run?a=%20b", URL + "#", URL + "&", URL.replace("%20", "+"), ""]
)
def test_a_request_for_another_url_is_refused(scheme: Scheme, url: str) -> None:
    sent = scheme.send()
    code = "WrongUrl" if scheme.kind == "QStash" else "SignatureMismatch"
    assert scheme.receive(Sent(sent.headers, sent.body, url)).code == code


def test_a_proxy_that_ends_tls_is_named() -> None:
    """The form is good for https and the app sees http: said only to whoever has the key."""
    scheme = BY_KIND[FORM]
    sent = scheme.send()
    seen = Sent({}, sent.body, URL.replace("https", "http"))
    verdict = scheme.receive(seen)
    assert verdict.code == "WrongUrl"
    assert "X-Forwarded-Proto" in verdict.message
    assert scheme.receive(seen, NEXT).code == "SignatureMismatch"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (b"", "MissingSignature"),
        (b"signature=" + b"a" * 64, "MissingSignature"),
        (b"t=1", "MissingSignature"),
        (b"t=%d&signature=%b&admin=1" % (NOW, b"a" * 64), "MalformedForm"),
        (b"t=%d&signature=%b&t=%d" % (NOW, b"a" * 64, NOW), "MalformedForm"),
        (b"t=+%d&signature=%b" % (NOW, b"a" * 64), "MalformedForm"),
        (b"t=%d&signature=%b" % (NOW, b"A" * 64), "MalformedForm"),
        (b"t=%d&signature=%b" % (NOW, b"a" * 63), "MalformedForm"),
        (b"t=%d&signature=%b" % (NOW, b"a" * 64), "SignatureMismatch"),
        ("t=١٧٣&signature=".encode() + b"a" * 64, "MissingSignature"),
        (b"t=%d&signature=" % NOW + b"a" * 2000, "MissingSignature"),
    ],
)
def test_a_form_that_is_almost_right(form: bytes, code: str) -> None:
    """Every further field is refused: the signature covers time and URL only, so nobody vouches for it."""
    assert BY_KIND[FORM].receive(Sent({}, form)).code == code


def test_a_form_in_the_other_order_is_as_good() -> None:
    """The document's Lambda sends signature first."""
    fields = BY_KIND[FORM].send().body.split(b"&")
    assert BY_KIND[FORM].receive(Sent({}, b"&".join(reversed(fields)))).ok


def _token(claims: dict[str, Any], key: str = KEY, **header: Any) -> Sent:
    return Sent({"Upstash-Signature": jwt.encode(claims, key, algorithm="HS256", headers=header)}, BODY)


GOOD_CLAIMS: dict[str, Any] = jwt.decode(
    qstash.sign(KEY, url=URL, body=BODY, timestamp=NOW, token_id="x"), options={"verify_signature": False}
)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, ""),
        ({"body": GOOD_CLAIMS["body"].rstrip("=")}, ""),
        ({"iss": "upstash"}, "WrongIssuer"),
        ({"iss": None}, "MalformedHeader"),
        ({"sub": URL.upper()}, "WrongUrl"),
        ({"sub": 7}, "MalformedHeader"),
        ({"exp": NOW}, "StaleTimestamp"),
        ({"exp": "9999999999"}, "MalformedHeader"),
        ({"exp": True}, "MalformedHeader"),
        ({"exp": None}, "MalformedHeader"),
        ({"exp": NOW + 10**9, "iat": NOW - 301, "nbf": NOW - 301}, "StaleTimestamp"),
        ({"nbf": NOW + 301}, "StaleTimestamp"),
        ({"iat": NOW + 301}, "StaleTimestamp"),
        ({"iat": None}, "MalformedHeader"),
        ({"body": None}, "MalformedHeader"),
        ({"body": ""}, "BodyMismatch"),
        ({"body": "é"}, "BodyMismatch"),
    ],
)
def test_a_token_of_the_keys_owner_with_one_claim_changed(change: dict[str, Any], code: str) -> None:
    """Each claim is looked at, also where the MAC holds; a long life of exp does not stretch the window."""
    claims = {name: value for name, value in {**GOOD_CLAIMS, **change}.items() if value is not None}
    assert BY_KIND["QStash"].receive(_token(claims)).code == code


def test_a_token_without_a_mac_is_refused() -> None:
    """The classic: alg none, an empty signature, another algorithm with the same key, a header that must be obeyed."""
    scheme = BY_KIND["QStash"]
    none = jwt.encode(GOOD_CLAIMS, "", algorithm="none")
    assert scheme.receive(Sent({"Upstash-Signature": none}, BODY)).code == "MalformedHeader"
    assert scheme.receive(Sent({"Upstash-Signature": none + "AAAA"}, BODY)).code == "SignatureMismatch"
    other = jwt.encode(GOOD_CLAIMS, KEY * 2, algorithm="HS512")
    assert scheme.receive(Sent({"Upstash-Signature": other}, BODY), KEY * 2).code == "SignatureMismatch"
    assert scheme.receive(_token(GOOD_CLAIMS, crit=["x"])).code == "MalformedHeader"


@pytest.mark.parametrize("payload", [b"[]", b"7", b"{", b"\xff", b"[" * 5000, b'{"iss": NaN}', b""])
def test_claims_that_are_no_object_are_malformed(payload: bytes) -> None:
    """Even from the owner of the key."""
    good = BY_KIND["QStash"].send().headers["Upstash-Signature"].split(".")[0]
    signed = f"{good}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}"
    token = f"{signed}.{qstash._signature(KEY, signed)}"
    assert BY_KIND["QStash"].receive(Sent({"Upstash-Signature": token}, BODY)).code == "MalformedHeader"


def test_one_good_signature_among_others_is_enough() -> None:
    """A sender that rotates signs with both keys; unknown versions are passed over."""
    outgoing = Outgoing(url=URL, body=BODY, run_id="run-1", attempt=1, timestamp=NOW)
    both = dict(scheme_headers("StandardWebhooks", [webhook_key(NEXT), webhook_key(KEY)], outgoing))
    both["webhook-signature"] = "v1a,xyz " + both["webhook-signature"] + " v2,abc"
    assert BY_KIND["StandardWebhooks"].receive(Sent(both, BODY)).secret_index == 0
    ((name, value),) = scheme_headers("Stripe", [NEXT, KEY], outgoing)
    assert BY_KIND["Stripe"].receive(Sent({name: value + ",v0=abc"}, BODY)).secret_index == 0


@pytest.mark.parametrize("kind", ["StandardWebhooks", "Stripe"])
def test_a_header_with_hundreds_of_signatures_is_malformed(kind: str) -> None:
    """Each costs a comparison per key; no sender rotates through more than a few."""
    scheme = BY_KIND[kind]
    sent = scheme.send()
    separator, one = (" ", f"v1,{'A' * 44}") if kind == "StandardWebhooks" else (",", f"v1={'a' * 64}")
    many = separator.join([sent.headers[scheme.header], *[one] * 40])
    assert scheme.receive(Sent({**sent.headers, scheme.header: many}, BODY)).code == "MalformedHeader"


def test_a_second_time_in_stripes_header_is_malformed() -> None:
    """Which of the two was signed is not for the sender of the second to say."""
    value = BY_KIND["Stripe"].send().headers["Stripe-Signature"]
    for header in (f"{value},t={NOW + 1}", f"t={NOW + 1},{value}"):
        assert BY_KIND["Stripe"].receive(Sent({"Stripe-Signature": header}, BODY)).code == "MalformedHeader"


def test_a_dot_in_a_message_id_cannot_shift_what_is_signed() -> None:
    """`a` . `b.c` and `a.b` . `c` are the same bytes; so an id with a dot is malformed."""
    sent = BY_KIND["StandardWebhooks"].send()
    shifted = {**sent.headers, "webhook-id": "run.1"}
    assert BY_KIND["StandardWebhooks"].receive(Sent(shifted, BODY)).code == "MalformedHeader"


def test_githubs_older_header_alone_is_not_enough() -> None:
    """SHA-1 is sent for old receivers; a new one does not take it."""
    outgoing = Outgoing(url=URL, body=BODY, run_id="r", attempt=1, timestamp=NOW)
    (_, (name, value)) = scheme_headers("GitHub", [KEY], outgoing, sha1=True)
    assert BY_KIND["GitHub"].receive(Sent({name: value}, BODY)).code == "MissingSignature"
    assert BY_KIND["GitHub"].receive(Sent({"X-Hub-Signature-256": value}, BODY)).code == "MalformedHeader"


@every_scheme
def test_an_app_without_a_usable_key_does_not_start(scheme: Scheme) -> None:
    for secret in ("", [], ["", " "], b"bytes", None):
        with pytest.raises(SecretError):
            scheme.verifier(secret)


def test_a_webhook_key_that_is_no_base64_stops_the_start() -> None:
    """And its text is not shown."""
    with pytest.raises(SecretError, match="secret 1: not a key of Standard Webhooks") as caught:
        schemes.StandardWebhooks([webhook_key(KEY), "hunter2!"])
    assert "hunter2" not in str(caught.value)


@every_scheme
def test_keys_are_read_anew_for_each_request_and_one_that_is_gone_closes_the_app(
    scheme: Scheme, tmp_path: Path
) -> None:
    """KeyFiles, as everywhere: one line end is no part of a key; with no key left the answer is 503, not 200."""
    current, following = tmp_path / "current", tmp_path / "next"
    current.write_text(scheme.key(KEY) + "\n")
    clock = {} if scheme.kind == "GitHub" else {"clock": lambda: NOW}
    verifier = scheme.verifier(KeyFiles(current, following), **clock)
    sent = scheme.send()
    arguments = {"body": sent.body, **({"headers": sent.headers} if scheme.header else {})}
    arguments |= {"url": URL} if scheme.needs_url else {}
    assert verifier.verify(**arguments).secret_index == 0
    current.rename(following)
    assert verifier.verify(**arguments).secret_index == 1
    following.unlink()
    assert (verifier.verify(**arguments).status, verifier.verify(**arguments).code) == (503, "NoUsableSecret")
