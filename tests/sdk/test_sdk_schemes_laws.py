"""What holds for every request of another sender: one flipped bit is enough, and nothing raises (C1-C3)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.sdk_schemes import SCHEMES, Scheme, Sent

every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.kind)


def _flipped(data: bytes, bit: int) -> bytes:
    place = bit % (len(data) * 8)
    changed = bytearray(data)
    changed[place // 8] ^= 1 << (place % 8)
    return bytes(changed)


def _with_one_bit_flipped(sent: Sent, part: str, bit: int) -> Sent:
    if part == "body":
        return Sent(sent.headers, _flipped(sent.body, bit), sent.url)
    if part == "url":
        return Sent(sent.headers, sent.body, _flipped(sent.url.encode(), bit).decode("latin-1"))
    value = _flipped(sent.headers[part].encode(), bit).decode("latin-1")
    return Sent({**sent.headers, part: value}, sent.body, sent.url)


@pytest.mark.law
@every_scheme
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_refused(scheme: Scheme, data: st.DataObject) -> None:
    """Of the signature, the id, the time, the body, the URL: whatever the scheme covers, and in every spelling."""
    body = data.draw(st.binary(min_size=1, max_size=64))
    sent = scheme.send(body=body)
    parts = [*sent.headers, "body", *(["url"] if scheme.needs_url else [])]
    changed = _with_one_bit_flipped(sent, data.draw(st.sampled_from(parts)), data.draw(st.integers(0, 1 << 16)))
    assert scheme.receive(sent).ok
    assert not scheme.receive(changed).ok


@pytest.mark.law
@every_scheme
@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(
        st.text(max_size=200) | st.text("tv1=,.sha256 0123456789abcdef", max_size=200), min_size=3, max_size=3
    ),
    body=st.binary(max_size=200),
    url=st.text(max_size=50),
)
def test_no_request_raises_and_none_is_accepted_without_the_key(
    scheme: Scheme, values: list[str], body: bytes, url: str
) -> None:
    names = ["webhook-id", "webhook-timestamp", scheme.header or "x"]
    verdict = scheme.receive(Sent(dict(zip(names, values, strict=True)), body, url))
    assert not verdict.ok
    json.dumps(verdict.message).encode()
