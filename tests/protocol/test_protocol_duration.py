"""Go's durations: figures and refusals as time.ParseDuration gives them (checked against Go 1.26)."""

import pytest

from cronix_protocol.duration import DurationInvalid, parse_go_duration

_LONGEST = (1 << 63) - 1


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("5s", 5 * 10**9),
        ("+1h30m", 5400 * 10**9),
        ("-1.5h", -5400 * 10**9),
        (".5m", 30 * 10**9),
        ("5.s", 5 * 10**9),
        ("1\u00b5s1\u03bcs1us", 3000),
        ("1.0000000000000000000000000000000000001s", 10**9),
        ("0.9999999999999999999999999s", 10**9),
        ("9223372036854775807ns", _LONGEST),
        ("-9223372036854775808ns", -_LONGEST - 1),
        ("2562047h47m16.854775807s", _LONGEST),
    ],
)
def test_a_duration_is_gos_to_the_nanosecond(text: str, nanoseconds: int) -> None:
    """Units, signs, fractions beyond 63 bits, and both ends of the range."""
    assert parse_go_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'invalid duration ""'),
        ("-", 'invalid duration "-"'),
        ("--1s", 'invalid duration "--1s"'),
        (" 1s", 'invalid duration " 1s"'),
        (".s", 'invalid duration ".s"'),
        ("\u0663s", "invalid duration"),
        ("5", 'missing unit in duration "5"'),
        ("1s5", 'missing unit in duration "1s5"'),
        ("5d", 'unknown unit "d" in duration "5d"'),
        ("5S", 'unknown unit "S" in duration "5S"'),
        ("9223372036854775808ns", "invalid duration"),
        ("9223372036854775809ns", "invalid duration"),
        ("2562048h", "invalid duration"),
        ("2562047.99999h", "invalid duration"),
        ("2562047h2562047h", "invalid duration"),
    ],
)
def test_a_refusal_has_gos_words(text: str, reason: str) -> None:
    """Too long, no unit, another unit, no digits."""
    with pytest.raises(DurationInvalid) as caught:
        parse_go_duration(text)
    assert str(caught.value).startswith(f"time: {reason}")
