"""Other senders' signatures: their own published examples, and the public verifiers on what we sign."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
import standardwebhooks as public_webhooks
import stripe as public_stripe

from cronix_protocol import headers, schemes
from cronix_protocol.schemes import github, qstash, signedform, standardwebhooks, stripe
from cronix_protocol.schemes.common import KeyUnfit

T = 1_730_000_000
KEY = "a key that is long enough for HS256 and others"
WEBHOOK_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RUN = "01a2040b-0200-7379-b267-9d01da014239"
URL = "https://billing.example.com/run?a=%20b&c=<d>"


def test_the_example_of_the_standard_webhooks_specification() -> None:
    """Its key, id, time and body give its signature."""
    signature = standardwebhooks.sign(
        [WEBHOOK_KEY],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        body=b'{"test": 2432232314}',
        timestamp=1_614_265_330,
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_githubs_documentation() -> None:
    """Its secret and payload give its signature."""
    signature = github.sign("It's a Secret to Everybody", body=b"Hello, World!")
    assert signature == "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


@pytest.mark.parametrize("body", [b"", b"{}", "€ 🌍".encode(), b"x" * 100_000])
def test_public_signers_write_what_we_write(body: bytes) -> None:
    """Byte for byte, where a library signs as well."""
    webhook = public_webhooks.Webhook(WEBHOOK_KEY)
    theirs = webhook.sign(msg_id=RUN, timestamp=datetime.fromtimestamp(T, tz=UTC), data=body.decode())
    assert standardwebhooks.sign([WEBHOOK_KEY], message_id=RUN, body=body, timestamp=T) == theirs
    header = public_stripe.WebhookSignature.generate_signature_header(body.decode(), KEY, T)
    assert stripe.sign([KEY], body=body, timestamp=T) == header
    assert github.sign_sha1(KEY, body=body) == "sha1=" + hmac.new(KEY.encode(), body, hashlib.sha1).hexdigest()


def test_a_token_of_qstash_holds_what_a_receiver_looks_for() -> None:
    """Subject byte for byte, padded hash of the body, an id of its own, good for 300 s, not yet young (see ADR)."""
    token = qstash.sign(KEY, url=URL, body=b"{}", timestamp=T, token_id="id-1")
    claims = jwt.decode(token, KEY, algorithms=["HS256"], options={"verify_exp": False}, issuer="Upstash")
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    assert claims == {
        "iss": "Upstash",
        "sub": URL,
        "iat": T - 30,
        "nbf": T - 30,
        "exp": T + 270,
        "jti": "id-1",
        "body": "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o=",
    }


def test_a_signed_form_is_stripes_signature_over_the_url() -> None:
    """What the Rails document's receiver puts together from the form is a header that Stripe's library accepts."""
    fields = dict(part.split("=") for part in signedform.sign(KEY, url=URL, timestamp=T).decode().split("&"))
    header = f"t={fields['t']},v1={fields['signature']}"
    assert list(fields) == ["t", "signature"]
    assert public_stripe.WebhookSignature.verify_header(URL, header, KEY)
    with pytest.raises(public_stripe.SignatureVerificationError):
        public_stripe.WebhookSignature.verify_header(URL + "/", header, KEY)


def test_several_keys_sign_where_the_header_can_hold_several() -> None:
    """A receiver that knows either key accepts; the order is that of the keys."""
    other = "whsec_" + "QUJD" * 8
    value = standardwebhooks.sign([WEBHOOK_KEY, other], message_id=RUN, body=b"x", timestamp=T)
    assert [part[:3] for part in value.split(" ")] == ["v1,", "v1,"]
    for index, key in enumerate([WEBHOOK_KEY, other]):
        single = standardwebhooks.sign([key], message_id=RUN, body=b"x", timestamp=T)
        assert value.split(" ")[index] == single
    header = stripe.sign([KEY, other], body=b"x", timestamp=T)
    for key in (KEY, other):
        assert public_stripe.WebhookSignature.verify_header(b"x", header, key)


def _outgoing(**changes: Any) -> schemes.Outgoing:
    return schemes.Outgoing(**{"url": URL, "body": b"{}", "run_id": RUN, "attempt": 2, "timestamp": T, **changes})


def test_the_headers_of_each_scheme() -> None:
    """Names as receivers look for them; the message id is the run id, a token's id differs for each attempt."""
    found = {
        kind: [name for name, _ in schemes.scheme_headers(kind, [WEBHOOK_KEY], _outgoing())] for kind in schemes.TYPES
    }
    assert found == {
        "StandardWebhooks": ["webhook-id", "webhook-timestamp", "webhook-signature"],
        "GitHub": ["X-Hub-Signature-256"],
        "Stripe": ["Stripe-Signature"],
        "QStash": ["Upstash-Signature"],
        "SignedForm": [],
    }
    assert schemes.scheme_headers("GitHub", [KEY], _outgoing(), sha1=True)[1][0] == "X-Hub-Signature"
    assert schemes.scheme_headers("StandardWebhooks", [WEBHOOK_KEY], _outgoing())[0] == ("webhook-id", RUN)
    ids = set()
    for attempt in (1, 2):
        ((_, token),) = schemes.scheme_headers("QStash", [KEY], _outgoing(attempt=attempt))
        ids.add(jwt.decode(token, options={"verify_signature": False})["jti"])
    assert len(ids) == 2
    assert schemes.form_body(KEY, _outgoing()) == signedform.sign(KEY, url=URL, timestamp=T)


def test_no_job_may_set_a_header_of_a_scheme() -> None:
    """They are reserved like X-Cron-*, whatever the case (attack T7)."""
    names = [name for kind in schemes.TYPES for name, _ in schemes.scheme_headers(kind, [WEBHOOK_KEY], _outgoing())]
    assert len(names) == 6
    for name in [*names, headers.GITHUB_SIGNATURE_SHA1]:
        for spelling in (name, name.upper(), name.lower()):
            assert headers.header_fault(spelling, "x") is not None


@pytest.mark.parametrize(
    "key", ["", "whsec_", "whsec_%%%", "whsec_=", "not base64!", "whsec_Zm9v\nZm9v", "whsec_é", "A"]
)
def test_a_key_that_is_no_base64_is_unfit_and_not_shown(key: str) -> None:
    """`whsec_` and base64; the error says what is wanted, never what it got."""
    with pytest.raises(KeyUnfit) as caught:
        standardwebhooks.sign([key], message_id=RUN, body=b"", timestamp=T)
    assert "whsec_ and the base64" in str(caught.value)
    assert not key.removeprefix("whsec_") or key not in str(caught.value)


@pytest.mark.parametrize("kind", schemes.TYPES[1:4])
def test_an_empty_key_signs_nothing(kind: str) -> None:
    """C3: HMAC would take it."""
    with pytest.raises(KeyUnfit):
        schemes.scheme_headers(kind, [""], _outgoing(), sha1=True)
    with pytest.raises(KeyUnfit):
        github.sign_sha1("", body=b"")
    with pytest.raises(KeyUnfit):
        schemes.form_body("", _outgoing())


@pytest.mark.parametrize("key", [WEBHOOK_KEY, WEBHOOK_KEY.removeprefix("whsec_"), "whsec_QQ", "whsec_QQ=="])
def test_a_webhook_key_may_lack_prefix_and_padding(key: str) -> None:
    """As the public libraries take it."""
    public = public_webhooks.Webhook(key).sign(msg_id=RUN, timestamp=datetime.fromtimestamp(T, tz=UTC), data="{}")
    assert standardwebhooks.sign([key], message_id=RUN, body=b"{}", timestamp=T) == public


@pytest.mark.parametrize(
    ("method", "body", "sent", "place"),
    [
        ("POST", "{}", {}, "body"),
        ("GET", "", {}, "method"),
        ("DELETE", "", {}, "method"),
        ("POST", "", {"Content-type": "application/json"}, "headers/Content-type"),
        ("POST", "", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, None),
        ("PUT", "", {"X-A": "b"}, None),
        ("PATCH", b"", {}, None),
    ],
)
def test_a_job_that_cannot_be_a_signed_form(method: str, body: Any, sent: dict[str, str], place: str | None) -> None:
    """It has a body of its own, a method without one, or says that the body is something else."""
    fault = schemes.form_fault(method, body, sent)
    assert (fault[0] if fault else None) == place


def test_the_verifiers_of_the_protocol_are_the_signers_turned_round() -> None:
    """One good request for each; what is refused, and why, is tested where apps use them (cronix_sdk.schemes)."""
    keys = ["other", KEY]
    body = json.dumps({"n": 1}).encode()
    value = standardwebhooks.sign([WEBHOOK_KEY], message_id=RUN, body=body, timestamp=T)
    assert standardwebhooks.verify(RUN, str(T), value, secrets=["", WEBHOOK_KEY], body=body, now=T).secret_index == 1
    assert github.verify(github.sign(KEY, body=body), secrets=keys, body=body).secret_index == 1
    assert stripe.verify(stripe.sign([KEY], body=body, timestamp=T), secrets=keys, body=body, now=T).secret_index == 1
    token = qstash.sign(KEY, url=URL, body=body, timestamp=T, token_id="id")
    assert qstash.verify(token, secrets=keys, url=URL, body=body, now=T).secret_index == 1
    form = signedform.sign(KEY, url=URL, timestamp=T)
    assert signedform.verify(secrets=keys, url=URL, body=form, now=T).secret_index == 1


def test_one_string_for_the_list_of_keys_is_an_error() -> None:
    """Else each of its characters would be a key."""
    with pytest.raises(TypeError, match="list"):
        github.verify(github.sign(KEY, body=b""), secrets=KEY, body=b"")
