"""Go's duration text in, nanoseconds out; pure.

`@every` takes what Go's time.ParseDuration takes ("1h30m", "90s", "+1.5h"), its overflow rules included.
Source: Go 1.24-1.26, package time, ParseDuration.
"""

from cronix_protocol.faults import quoted

_LIMIT = 1 << 63
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DIGITS = "0123456789"


class DurationInvalid(ValueError):
    """A text that Go refuses as a duration; the message is Go's."""


def parse_go_duration(text: str) -> int:
    """Nanoseconds in a Go duration, may be negative; raises DurationInvalid."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise _invalid(text)
    total = 0
    while rest:
        part, rest = _number_and_unit(rest, text)
        total += part
        if total > _LIMIT:
            raise _invalid(text)
    if text[0] == "-":
        return -total
    if total == _LIMIT:
        raise _invalid(text)
    return total


def _number_and_unit(rest: str, whole: str) -> tuple[int, str]:
    """One "1.5h" from the front, as nanoseconds, and what follows it."""
    digits = _leading(rest, _DIGITS)
    rest = rest[len(digits) :]
    fraction = ""
    if rest[:1] == ".":
        fraction = _leading(rest[1:], _DIGITS)
        rest = rest[1 + len(fraction) :]
    value = int(digits or "0")
    if not (digits or fraction) or value > _LIMIT:
        raise _invalid(whole)
    unit_end = next((i for i, char in enumerate(rest) if char == "." or char in _DIGITS), len(rest))
    name, rest = rest[:unit_end], rest[unit_end:]
    if not name:
        raise DurationInvalid(f"time: missing unit in duration {quoted(whole)}")
    unit = _UNITS.get(name)
    if unit is None:
        raise DurationInvalid(f"time: unknown unit {quoted(name)} in duration {quoted(whole)}")
    if value > _LIMIT // unit:
        raise _invalid(whole)
    nanoseconds = value * unit + _fraction_of(fraction, unit)
    if nanoseconds > _LIMIT:
        raise _invalid(whole)
    return nanoseconds, rest


def _fraction_of(digits: str, unit: int) -> int:
    """Go's way of taking ".5" of a unit: digits beyond 63 bits are dropped, then one float multiplication."""
    value, scale = 0, 1.0
    for digit in digits:
        if value > (_LIMIT - 1) // 10:
            break
        longer = value * 10 + int(digit)
        if longer > _LIMIT:
            break
        value, scale = longer, scale * 10
    return int(float(value) * (float(unit) / scale)) if value else 0


def _leading(text: str, alphabet: str) -> str:
    return text[: len(text) - len(text.lstrip(alphabet))]


def _invalid(whole: str) -> DurationInvalid:
    return DurationInvalid(f"time: invalid duration {quoted(whole)}")
