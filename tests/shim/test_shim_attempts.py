"""What an answer means and how long to wait: the protocol's table, and its edges (§4.3)."""

from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_shim.attempts import (
    backoff_seconds,
    http_date,
    jitter_seconds,
    judge,
    retry_after_seconds,
    valid_traceparent,
    wait_seconds,
)

NOW = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize("status", range(100, 1000, 7))
def test_every_status_has_one_meaning(status: int) -> None:
    """2xx success, 4xx rejected, the rest retried; opting in moves single 4xx only."""
    expected = "success" if status // 100 == 2 else "rejected" if status // 100 == 4 else "retry"
    assert judge(status, ()) == expected
    assert judge(status, {status}) == ("success" if status // 100 == 2 else "retry")


def test_default_waits_are_the_protocols() -> None:
    """1, 2, 4, 8, 16, 32, 60, 60, 60 seconds."""
    assert [backoff_seconds(n, 1, 60) for n in range(1, 10)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_first_wait_is_capped_too() -> None:
    """min_seconds above max_seconds waits max_seconds, as the formula says; zero never waits."""
    assert backoff_seconds(1, 90, 60) == 60
    assert [backoff_seconds(n, 0, 60) for n in (1, 9)] == [0, 0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7\t", 7),
        ("9" * 400, 1e9),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10),
        ("Sun Nov  6 08:49:47 1994", 10),
        ("Sun, 06 Nov 1994 08:49:27 GMT", 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 4_096_250_880 - NOW),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("５", None),  # noqa: RUF001  # the digit is the attack
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 06 Nov 1994 08:49 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("Sunday, 06-Nov-1994x 08:49:47 GMT", None),
        ("120, 130", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds or one of the three HTTP dates; a past date is now; other text is no wish."""
    assert retry_after_seconds(value, NOW) == seconds


def test_retry_after_lengthens_the_backoff_up_to_the_maximum() -> None:
    """Never shorter than the backoff, never longer than max_seconds, ignored when it says nothing."""
    assert wait_seconds(4, "1", now=NOW, max_seconds=60) == 4
    assert wait_seconds(4, "30", now=NOW, max_seconds=60) == 30
    assert wait_seconds(4, "3600", now=NOW, max_seconds=60) == 60
    assert wait_seconds(4, "soon", now=NOW, max_seconds=60) == 4
    assert wait_seconds(4, None, now=NOW, max_seconds=60) == 4


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4_102_444_800))
def test_dates_of_the_standard_library_are_read(moment: int) -> None:
    """email.utils writes what we read."""
    assert http_date(formatdate(moment, usegmt=True)) == moment


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=40) | st.text("0123456789:,-GMTSunNov ", max_size=40))
def test_any_text_is_a_date_or_none(text: str) -> None:
    """No exception for what a server may send."""
    assert http_date(text) is None or isinstance(http_date(text), int)
    assert retry_after_seconds(text, NOW) is None or retry_after_seconds(text, NOW) is not None


def test_jitter_is_one_place_per_job() -> None:
    """Always the same for a job, below the limit, different between jobs and indexes, spread over the whole span."""
    places = [jitter_seconds(60, "uid", f"job-{n}", 0) for n in range(200)]
    assert places == [jitter_seconds(60, "uid", f"job-{n}", 0) for n in range(200)]
    assert all(0 <= place < 60 for place in places)
    assert min(places) < 5
    assert max(places) > 55
    assert jitter_seconds(60, "uid", "job-1", 1) not in places
    assert jitter_seconds(0, "uid", "job-1", 0) == 0


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", True),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nX: y", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", False),
        ("", False),
    ],
)
def test_traceparent(value: str, valid: bool) -> None:
    """Only what W3C trace context allows is passed on."""
    assert valid_traceparent(value) is valid
