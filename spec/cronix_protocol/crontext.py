"""Five cron fields in, bit sets out; accepts and refuses what Kubernetes' library does, in its words; pure.

Source of the grammar and of the texts: github.com/robfig/cron/v3 v3.0.1, parser.go (getField, getRange, mustParseInt).
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from cronix_protocol.faults import printable, quoted
from cronix_protocol.firing import Fields

FIVE_FIELDS = "minute hour day-of-month month day-of-week"
# What Go calls white space (unicode.IsSpace); Python's own set has four control characters more.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_TO_BLANK = dict.fromkeys(map(ord, WHITE_SPACE), " ")
_MAX_INT64 = (1 << 63) - 1


class ScheduleInvalid(ValueError):
    """A schedule that Kubernetes would refuse, or that the protocol forbids.

    `reason` is the API server's own text where it has one; `advice` says what to write instead ("" when nothing better
    than the reason is known). `foreign` is True for notations of other cron dialects (Sunday as 7, L, W, #): the
    protocol's TypeScript SDK lets them pass, so they fail one job and not the manifest.
    """

    def __init__(self, reason: str, advice: str = "", *, foreign: bool = False) -> None:
        self.reason = reason = printable(reason)
        self.advice = advice
        self.foreign = foreign
        super().__init__(f"{reason}; {advice}" if advice else reason)


class FieldRange(NamedTuple):
    """What one field may hold: `name` for readers, `low` to `high`, and the names of values in lower case."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = {}


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MINUTE = FieldRange("minute", 0, 59)
HOUR = FieldRange("hour", 0, 23)
DAY = FieldRange("day of month", 1, 31)
MONTH = FieldRange("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)})
WEEKDAY = FieldRange("day of week", 0, 6, {name: number for number, name in enumerate(_WEEKDAYS)})
RANGES = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
_WEEKDAY_WITH_7 = WEEKDAY._replace(high=7)

# Quartz and cron-parser: L, LW, L-3, 15W in day-of-month; 5L, FRIL, 5#2 and L in day-of-week.
# Compiled at first use (re keeps them): only a schedule that is refused needs them, and a program is to start fast.
_FOREIGN_DAY = r"LW?|L-[0-9]{1,2}|[0-9]{1,2}W"
_FOREIGN_WEEKDAY = r"L|(?:[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(?:L|#[1-5])"


def split_fields(text: str) -> list[str]:
    """The words between white space, as Go's strings.Fields finds them."""
    return [word for word in text.translate(_TO_BLANK).split(" ") if word]


def parse_fields(text: str) -> Fields:
    """Read five fields; raises ScheduleInvalid with the library's reason."""
    words = split_fields(text)
    if len(words) != len(RANGES):
        reason = f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]"
        advice = "there is no field for seconds: leave it out" if len(words) == 6 else f"write {FIVE_FIELDS}"
        raise ScheduleInvalid(reason, advice)
    sets: list[tuple[int, bool]] = []
    for word, bounds in zip(words, RANGES, strict=True):
        try:
            sets.append(_field(word, bounds))
        except ScheduleInvalid as error:
            error = ScheduleInvalid(error.reason, _advice(word, bounds), foreign=_is_foreign(words))
            raise error from None
    (minute, _), (hour, _), (day, any_day), (month, _), (weekday, any_weekday) = sets
    return Fields(minute, hour, day, month, weekday, either_day=not (any_day or any_weekday))


def _field(word: str, bounds: FieldRange) -> tuple[int, bool]:
    """The values of one field as bits, and whether a star makes it count as unrestricted."""
    bits, starred = 0, False
    for item in word.split(","):
        if item:  # the library skips empty items: "1,,2" is 1 and 2, "," is nothing at all
            item_bits, star = _item(item, bounds)
            bits |= item_bits
            starred = starred or star
    return bits, starred


def _item(item: str, bounds: FieldRange) -> tuple[int, bool]:
    """One of: value, low-high, star, each with an optional /step."""
    if item == "*":
        return (2 << bounds.high) - (1 << bounds.low), True
    span, *steps = item.split("/")
    low_text, *high_texts = span.split("-")
    starred = low_text in ("*", "?")
    if starred:
        low, high = bounds.low, bounds.high
    else:
        low = high = _number(low_text, bounds)
        if len(high_texts) > 1:
            raise ScheduleInvalid(f"too many hyphens: {item}")
        if high_texts:
            high = _number(high_texts[0], bounds)
    step = 1
    if len(steps) > 1:
        raise ScheduleInvalid(f"too many slashes: {item}")
    if steps:
        step = _integer(steps[0])
        high = high if high_texts else bounds.high
        starred = starred and step <= 1
    _check_span(low, high, step, item, bounds)
    if step == 1:
        return (2 << high) - (1 << low), starred
    return sum(1 << value for value in range(low, high + 1, step)), starred


def _check_span(low: int, high: int, step: int, item: str, bounds: FieldRange) -> None:
    if low < bounds.low:
        raise ScheduleInvalid(f"beginning of range ({low}) below minimum ({bounds.low}): {item}")
    if high > bounds.high:
        raise ScheduleInvalid(f"end of range ({high}) above maximum ({bounds.high}): {item}")
    if low > high:
        raise ScheduleInvalid(f"beginning of range ({low}) beyond end of range ({high}): {item}")
    if step == 0:
        raise ScheduleInvalid(f"step of range should be a positive number: {item}")


def _number(text: str, bounds: FieldRange) -> int:
    if bounds.names:
        # Go lowers the dotted capital I to a plain i, Python to an i and a combining dot.
        named = bounds.names.get(text.replace("\u0130", "i").lower())
        if named is not None:
            return named
    return _integer(text)


def _integer(text: str) -> int:
    """Go's strconv.Atoi: an optional sign and ASCII digits, 64 bits."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ScheduleInvalid(f"failed to parse int from {text}: strconv.Atoi: parsing {quoted(text)}: invalid syntax")
    number = int(text)  # at most 256 digits: the whole schedule is no longer
    if not -_MAX_INT64 - 1 <= number <= _MAX_INT64:
        reason = f"failed to parse int from {text}: strconv.Atoi: parsing {quoted(text)}: value out of range"
        raise ScheduleInvalid(reason)
    if number < 0:
        raise ScheduleInvalid(f"negative number ({number}) not allowed: {text}")
    return number


def _is_foreign(words: list[str]) -> bool:
    """True when the expression is sound once other dialects' day notations are allowed."""
    minute, hour, day, month, weekday = words
    days = ",".join("*" if _is_notation(_FOREIGN_DAY, item) else item for item in day.split(","))
    weekdays = ",".join("*" if _is_notation(_FOREIGN_WEEKDAY, item) else item for item in weekday.split(","))
    ranges = (MINUTE, HOUR, DAY, MONTH, _WEEKDAY_WITH_7)
    try:
        for word, bounds in zip((minute, hour, days, month, weekdays), ranges, strict=True):
            _field(word, bounds)
    except ScheduleInvalid:
        return False
    return True


def _is_notation(pattern: str, item: str) -> bool:
    return re.fullmatch(pattern, item, re.IGNORECASE | re.ASCII) is not None


def _advice(word: str, bounds: FieldRange) -> str:
    """What to write instead, for the mistakes people make."""
    allowed = f"{bounds.low} to {bounds.high}"
    if bounds.names:
        allowed += f" or {next(iter(bounds.names)).upper()} to {list(bounds.names)[-1].upper()}"
    hint = f"the {bounds.name} field takes {allowed}, lists (1,2), ranges (1-5) and steps (*/5)"
    for item in word.split(","):
        span = item.split("/")[0].split("-")
        if bounds is WEEKDAY and "7" in span:
            return "Sunday is 0 or SUN in Kubernetes"
        if bounds is DAY and _is_notation(_FOREIGN_DAY, item):
            return f"{quoted(item)} is no Kubernetes notation: run on 28-31 or daily and let the app decide"
        if bounds is WEEKDAY and _is_notation(_FOREIGN_WEEKDAY, item):
            return f"{quoted(item)} is no Kubernetes notation: run weekly and let the app decide"
        if item[:1] in ("H", "R"):
            return f"{quoted(item)} is no Kubernetes notation: choose a number"
        if (parts := _backward_range(item, bounds)) is not None:
            return f"a range does not wrap around: write {parts}"
    return hint


def _backward_range(item: str, bounds: FieldRange) -> str | None:
    span, *steps = item.split("/")
    low, _, high = span.partition("-")
    try:
        first, last = _number(low, bounds), _number(high, bounds)
    except ScheduleInvalid:
        return None
    if steps or not bounds.low <= last < first <= bounds.high:
        return None
    return ",".join(
        str(start) if start == end else f"{start}-{end}" for start, end in ((first, bounds.high), (bounds.low, last))
    )
