"""Whatever bytes come, in whatever pieces: a status or AnswerInvalid, within the bounds (J1)."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_shim.answer import MAX_BODY_BYTES, MAX_HEAD_BYTES, Answer, AnswerInvalid, read_answer

PIECES = [b"HTTP/1.1 ", b"200", b" OK", b"\r\n", b"\n", b"Content-Length: ", b"Transfer-Encoding: chunked", b"5", b"0"]
PIECES += [b"a", b";", b"\0", b"HTTP/1.0 100 C\r\n\r\n", b"\r\n\r\n", b": ", b"\xff", b"x" * 70000]


def stream(parts: Sequence[bytes]) -> tuple[Callable[[], bytes], list[int]]:
    """A receive function over the parts, then the end; and what it has handed out."""
    left = [part for part in parts if part]
    taken = [0]

    def receive() -> bytes:
        if not left:
            return b""
        taken[0] += len(left[0])
        return left.pop(0)

    return receive, taken


def read(*parts: bytes) -> Answer:
    answer = Answer()
    read_answer(stream(parts)[0], answer)
    return answer


@pytest.mark.law
@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=25))
def test_any_bytes_end_in_a_status_or_a_reason(parts: list[bytes]) -> None:
    """No other exception, and never more than the bounds held."""
    answer = Answer()
    try:
        read_answer(stream([b"HTTP/1.1 200 OK\r\n", *parts])[0], answer)
    except AnswerInvalid:
        assert answer.status == 0
    else:
        assert 100 <= answer.status <= 999
    assert len(answer.body) <= MAX_BODY_BYTES


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.data())
def test_how_an_answer_is_cut_into_packets_makes_no_difference(body: bytes, chunked: bool, data: st.DataObject) -> None:
    """The same status and body byte by byte, at once, or in between."""
    if chunked:
        coded = (
            b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
            + b"0\r\n\r\n"
        )
        raw = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 404 N\r\nTransfer-Encoding: chunked\r\n\r\n" + coded
    else:
        raw = b"HTTP/1.1 404 N\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    answer = read(*[raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)])
    assert (answer.status, answer.body, answer.fault) == (404, body, "")


def test_reading_stops_at_its_bounds() -> None:
    """An endless head or body is not read to the end (J1)."""
    for start, bound in (
        (b"HTTP/1.1 200 OK\r\nX: ", MAX_HEAD_BYTES),
        (b"HTTP/1.1 200 OK\r\n\r\n", MAX_BODY_BYTES),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", MAX_BODY_BYTES),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", MAX_BODY_BYTES),
    ):
        receive, taken = stream([start, *[b"x" * 4096] * 1000])
        answer = Answer()
        try:
            read_answer(receive, answer)
        except AnswerInvalid as error:
            assert "longer than" in str(error)  # noqa: PT017  # only the endless head raises
        assert taken[0] <= bound + 3 * 4096


def test_status_is_known_while_the_body_is_still_read() -> None:
    """Who interrupts the reading knows what the app has said, and what came of the body."""
    answer = Answer()
    parts = iter([b"HTTP/1.1 200 OK\r\n\r\n", b"so far"])

    def receive() -> bytes:
        for part in parts:
            return part
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_answer(receive, answer)
    assert (answer.status, answer.body) == (200, b"so far")


def test_headers_are_lower_case_and_repeated_ones_joined() -> None:
    """As RFC 9110 §5.3 has it."""
    answer = read(b"HTTP/1.1 204 OK\r\nRetry-After:  5 \r\nX: a\r\nx: b\r\n\r\n")
    assert answer.headers == {"retry-after": "5", "x": "a, b"}
