"""The signature is what the protocol says (W1-W9): its vectors, and what no vector covers (attacks C1-C3, J3)."""

import ast
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cronix_protocol
from cronix_protocol import Verification, sign, verify

SPEC = Path(__file__).parents[2] / "spec"
VECTORS: list[dict[str, Any]] = json.loads((SPEC / "vectors/auth-vectors.json").read_text())["vectors"]
SECRET = "whsec_test_primary_aaaaaaaaaaaaaaaaaaaaaaaaaaa"
T = 1_730_000_000
PATH = "/api/v1/scheduled/foo"
GOOD = sign(SECRET, method="POST", path=PATH, body=b"ref", timestamp=T)
MAC = GOOD.partition("v1=")[2]


def check(header: str | None, **changes: Any) -> Verification:
    request: dict[str, Any] = {"secrets": [SECRET], "method": "POST", "path": PATH, "body": b"ref", "now": T} | changes
    return verify(header, **request)


def test_there_are_35_vectors() -> None:
    """No vector gets lost with a change of the file."""
    assert len(VECTORS) == 35


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["kind"] == "sign"], ids=lambda v: v["name"])
def test_signing_vector(vector: dict[str, Any]) -> None:
    """Our header is the protocol's, byte for byte."""
    header = sign(
        vector["secret"],
        method=vector["method"],
        path=vector["path"],
        body=base64.b64decode(vector["bodyB64"]),
        timestamp=vector["timestamp"],
    )
    assert header == vector["expectedHeader"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["kind"] == "verify"], ids=lambda v: v["name"])
def test_verifying_vector(vector: dict[str, Any]) -> None:
    """Verdict and the place of the matching secret are the protocol's."""
    verdict = verify(
        vector["header"],
        secrets=vector["secrets"],
        method=vector["method"],
        path=vector["path"],
        body=base64.b64decode(vector["bodyB64"]),
        now=vector["now"],
        window_seconds=vector.get("maxSkewSeconds", 300),
    )
    assert (verdict.code or "ok") == vector["expect"]
    assert verdict.secret_index == vector.get("expectedSecretIndex")
    assert verdict.ok == bool(verdict) == (vector["expect"] == "ok")
    assert verdict.status == (200 if verdict.ok else 401)


@pytest.mark.parametrize(
    ("now", "code"),
    [(T + 300, ""), (T - 300, ""), (T + 301, "StaleTimestamp"), (T - 301, "StaleTimestamp")],
)
def test_window_is_300_seconds_and_its_edge_belongs_to_it(now: int, code: str) -> None:
    """Exactly 300 seconds is fresh, 301 is stale, before and after (W7)."""
    assert check(GOOD, now=now).code == code


def test_no_header_is_told_apart_from_a_bad_one() -> None:
    """A missing header is MissingSignature, an empty one MalformedHeader."""
    assert check(None).code == "MissingSignature"
    assert check("").code == "MalformedHeader"


@pytest.mark.parametrize(
    "header",
    [
        f"t=+{T},v1={MAC}",
        f"t=-{T},v1={MAC}",
        f"t= {T},v1={MAC}",
        f"t={T} ,v1={MAC}",
        f"t=1_730_000_000,v1={MAC}",
        f"t=１７３０００００００,v1={MAC}",  # noqa: RUF001  # the digits are the attack
        f"t=١٧٣٠٠٠٠٠٠٠,v1={MAC}",
        f"t={T}\n,v1={MAC}",
        f"t={T}.0,v1={MAC}",
        f"t=0x671DB780,v1={MAC}",
        f"t=9007199254740992,v1={MAC}",
        f"t={'9' * 400},v1={MAC}",
        f"t=,v1={MAC}",
        f"t={T},v1={MAC} ",
        f"t={T},v1= {MAC[1:]}",
        f"t={T},v1={MAC}\n",
        f"t={T},v1={MAC[:62]} a",
        f"t={T},v1={MAC[:63]}é",
        f"T={T},V1={MAC}",
        f"t={T};v1={MAC}",
        f"t={T},v1={MAC},",
        f",t={T},v1={MAC}",
        f"t={T},v1={MAC},junk",
        f" t={T},v1={MAC}",
        "t=1,v1=" + "a" * 9000,
    ],
)
def test_header_that_is_almost_right(header: str) -> None:
    """What int(), isdigit(), strip() or fromhex() would let through is malformed (J3)."""
    assert check(header).code == "MalformedHeader"


@pytest.mark.parametrize(
    "header",
    [
        f"t={T},v1={MAC.upper()}",
        f"v1={MAC},t={T}",
        f"t=000{T},v1={MAC}",
        f"t={T},v1={MAC},v2=anything,a=b=c,=x",
        f"t=1,t={T},v1={'0' * 64},v1={MAC}",
        f"t={T},v1={MAC}, t=1, v1={'0' * 64}",
    ],
)
def test_header_that_looks_odd_but_is_right(header: str) -> None:
    """Upper-case hex, any order, unknown keys; of equal keys the last wins; `` t`` with a blank is another key (W6)."""
    assert check(header).ok


def test_of_two_values_the_last_is_judged_even_if_the_first_was_good() -> None:
    """A good signature cannot carry a bad one after it."""
    assert check(f"{GOOD},v1={'0' * 64}").code == "SignatureMismatch"
    assert check(f"{GOOD},t={T - 1000}").code == "StaleTimestamp"


def test_largest_timestamp_is_read_exactly() -> None:
    """2**53-1 is a legal time."""
    top = 2**53 - 1
    header = sign(SECRET, method="GET", path="/", timestamp=top)
    assert verify(header, secrets=[SECRET], method="GET", path="/", body=b"", now=top).ok


def test_malformed_comes_before_stale_and_stale_before_mismatch() -> None:
    """The order of the checks is part of the contract (W5)."""
    assert check("t=1,v1=zz", secrets=[]).code == "MalformedHeader"
    assert check(f"t=1,v1={'0' * 64}").code == "StaleTimestamp"
    assert check(GOOD, secrets=[]).code == "MalformedHeader"


def test_empty_secret_never_matches() -> None:
    """An empty string in the list is skipped, also when the signer used an empty key (C3)."""
    import hashlib
    import hmac

    forged = hmac.new(b"", b"%d.POST.%b.ref" % (T, PATH.encode()), hashlib.sha256).hexdigest()
    assert check(f"t={T},v1={forged}", secrets=["", ""]).code == "SignatureMismatch"
    assert check(GOOD, secrets=["", "other", SECRET]).secret_index == 2


def test_first_secret_that_matches_is_told() -> None:
    """The same key twice: the first place."""
    assert check(GOOD, secrets=["x", SECRET, SECRET]).secret_index == 1


def test_query_belongs_to_the_signed_path() -> None:
    """Another query, or none, is another request (W3)."""
    header = sign(SECRET, method="POST", path=PATH + "?a=1", body=b"ref", timestamp=T)
    assert check(header, path=PATH + "?a=1").ok
    assert check(header).code == "SignatureMismatch"
    assert check(header, path=PATH + "?a=2").code == "SignatureMismatch"
    assert check(header, path=PATH + "%3Fa=1").code == "SignatureMismatch"


def test_empty_path_is_the_root() -> None:
    """'' and '/' are one path (W3)."""
    assert check(sign(SECRET, method="POST", path="", body=b"ref", timestamp=T), path="/").ok


def test_secret_is_used_as_it_is() -> None:
    """No trimming, no base64, UTF-8 for what is not ASCII."""
    for secret in ("wh sec ", "whsec_AAAA", "пароль-пароль", "k" * 200):
        header = sign(secret, method="POST", path=PATH, body=b"ref", timestamp=T)
        assert check(header, secrets=[secret]).ok
        assert not check(header, secrets=[secret.strip()[:-1]]).ok


def test_method_is_compared_in_ascii_upper_case_only() -> None:
    """post is POST, but no other letter folds into an ASCII one (J3)."""
    assert check(GOOD, method="post").ok
    header = sign(SECRET, method="SS", path="/", timestamp=T)
    assert not verify(header, secrets=[SECRET], method="ß", path="/", body=b"", now=T).ok


def test_signing_without_a_secret_or_with_a_time_out_of_range_is_an_error() -> None:
    """W4; and no signature that no verifier reads."""
    with pytest.raises(ValueError, match="secret is empty"):
        sign("", method="GET", path="/", timestamp=T)
    for timestamp in (-1, 2**53):
        with pytest.raises(ValueError, match=r"2\*\*53-1"):
            sign(SECRET, method="GET", path="/", timestamp=timestamp)


def test_one_string_for_the_list_of_secrets_is_refused() -> None:
    """It would make every single character a valid key."""
    for wrong in (SECRET, SECRET.encode()):
        with pytest.raises(TypeError, match="list of strings"):
            check(GOOD, secrets=wrong)


def test_large_and_small_bodies_have_the_mac_that_the_standard_library_computes() -> None:
    """Our HMAC against hmac's, over keys and bodies around the block size."""
    import hmac

    for key_length in (1, 63, 64, 65, 128, 500):
        for body_length in (0, 1, 55, 64, 70_000):
            key, body = "k" * key_length, b"b" * body_length
            header = sign(key, method="PUT", path="/p", body=body, timestamp=7)
            assert header == "t=7,v1=" + hmac.digest(key.encode(), b"7.PUT./p." + body, "sha256").hex()


def test_comparison_takes_constant_time() -> None:
    """C1: signatures are compared by hmac.compare_digest, and by nothing else."""
    tree = ast.parse((SPEC / "cronix_protocol/signature.py").read_text())
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert calls.count("compare_digest") == 1
    compared = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert not [text for text in compared if "given" in text or "hex()" in text]


def test_package_offers_the_wire_by_name_and_nothing_unknown() -> None:
    """Lazy names work like plain ones."""
    from cronix_protocol import signature

    assert cronix_protocol.sign is signature.sign
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cronix_protocol.nonsense


requests = st.fixed_dictionaries(
    {
        "secret": st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
        "method": st.sampled_from(["GET", "POST", "put", "PATCH", "DELETE"]),
        "path": st.text(st.characters(codec="utf-8"), max_size=60).map(lambda s: "/" + s),
        "body": st.binary(max_size=200),
        "timestamp": st.integers(0, 2**53 - 1),
    }
)


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(requests, st.integers(-300, 300))
def test_whatever_is_signed_verifies_inside_the_window(request_: dict[str, Any], skew: int) -> None:
    """sign and verify are inverse."""
    secret = request_.pop("secret")
    header = sign(secret, **request_)
    timestamp = request_.pop("timestamp")
    assert verify(header, secrets=[secret], now=timestamp + skew, **request_).ok


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(requests, st.data())
def test_any_flipped_bit_fails(request_: dict[str, Any], data: st.DataObject) -> None:
    """One bit of time, MAC, path, body or secret changed: refused."""
    secret = request_["secret"]
    header = sign(**request_)
    part = data.draw(st.sampled_from(["header", "path", "body", "secret"]))
    raw = {
        "header": header.encode(),
        "path": request_["path"].encode(),
        "body": request_["body"],
        "secret": secret.encode(),
    }
    original = raw[part] or b"\0"
    bit = data.draw(st.integers(0, len(original) * 8 - 1))
    flipped = bytearray(original)
    flipped[bit // 8] ^= 1 << bit % 8
    changed: Any = bytes(flipped) if part == "body" else bytes(flipped).decode("utf-8", "surrogateescape")
    if part == "header" and changed.lower() == header:  # the case of a hex digit carries no meaning
        return
    verdict = verify(
        changed if part == "header" else header,
        secrets=[changed if part == "secret" else secret],
        method=request_["method"],
        path=changed if part == "path" else request_["path"],
        body=changed if part == "body" else request_["body"],
        now=request_["timestamp"],
    )
    assert not verdict.ok


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(
    header=st.none() | st.lists(st.sampled_from(["t=", "v1=", ",", "=", " ", MAC, str(T), "x", "\ud800"])).map("".join),
    method=st.text(max_size=8),
    path=st.text(st.characters(), max_size=10),
    body=st.binary(max_size=40),
    secrets=st.sampled_from([[], [""], ["\ud800", "k"]]),
)
def test_hostile_input_never_raises(
    header: str | None, method: str, path: str, body: bytes, secrets: list[str]
) -> None:
    """Every input has a verdict, and none is good without a key; lone surrogates included."""
    verdict = verify(header, secrets=secrets, method=method, path=path, body=body, now=T)
    assert not verdict.ok
    assert verdict.code in {"MissingSignature", "MalformedHeader", "StaleTimestamp", "SignatureMismatch"}


def test_lone_surrogates_with_a_well_formed_header() -> None:
    """Text that no bytes can stand for, everywhere at once."""
    assert check(GOOD, path="/\ud800", method="\udfff\ud800").code == "SignatureMismatch"
    assert check(GOOD, secrets=["\ud800", SECRET]).secret_index == 1


def test_repr_tells_the_verdict() -> None:
    """For a debugger: the code, no secret."""
    assert repr(check("")) == "Verification(ok=False, status=401, code='MalformedHeader', secret_index=None)"
