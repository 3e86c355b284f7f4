"""Decoded JSON in, typed fields out; what does not fit becomes a fault at its path; no I/O.

Every reader returns a usable default beside the fault, so that one pass finds all that is wrong.
"""

from collections.abc import Mapping, Sequence
from re import Pattern

from cronix_protocol.faults import FaultLog, closest, path_segment, printable, quoted

_SURROGATES = range(0xD800, 0xE000)
_MAX_SHOWN_INTEGER = 10**15


class FieldReader:
    """One JSON object at one place; `path` is its own path, `known` the fields it may have.

    Unknown fields and keys that are no strings are told at once. A value that is no object reads as an empty one, and
    `usable` is False: its fields are not missed a second time.
    """

    __slots__ = ("_log", "_prefix", "_values", "usable")

    def __init__(self, value: object, path: str, known: Sequence[str], log: FaultLog) -> None:
        self._prefix = f"{path}/" if path else ""
        self._log = log
        self._values: Mapping[object, object] = {}
        self.usable = isinstance(value, Mapping)
        if isinstance(value, Mapping):
            self._values = value
            if not value.keys() <= set(known):
                self._tell_unknown(known)
        else:
            log.add(path, f"must be an object, not {json_type(value)}", "decode")

    def path(self, key: str) -> str:
        """The path of one of the fields."""
        return self._prefix + key

    def has(self, key: str) -> bool:
        """True when the field is there, with whatever value."""
        return key in self._values

    def raw(self, key: str) -> object:
        """The value as decoded; None when it is absent. `null` is a fault, once, and reads as absent."""
        value = self._values.get(key)
        if value is None and key in self._values:
            self.fault(key, "null is not allowed; leave the field out", "decode")
        return value

    def fault(self, key: str, message: str, code: str) -> None:
        """Tell what is wrong with one field."""
        self._log.add(self._prefix + key, message, code)

    def string(self, key: str, default: str) -> str:
        """A string without lone surrogates, as sent."""
        value = self.raw(key)
        return default if value is None else text_or(value, self._prefix + key, default, self._log)

    def choice(self, key: str, default: str, options: Sequence[str]) -> str:
        """One of a few words, in exactly this spelling."""
        value = self.string(key, default)
        if value in options:
            return value
        near = closest(value, options) if not self._log.is_full() else None
        advice = f"write {near}" if near else f"write one of {', '.join(options)}"
        self.fault(key, f"{quoted(value)} is not allowed; {advice}", "invalid_value")
        return default

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """An integer from `low` to `high`; `true` and `60.0` are none."""
        value = self.raw(key)
        if value is None:
            return default
        if type(value) is not int:  # a bool is an int to isinstance
            self.fault(key, f"must be an integer, not {json_type(value)}{_integer_advice(value)}", "decode")
            return default
        if low <= value <= high:
            return value
        self.fault(key, f"must be {low} to {high}{_shown(value)}", "out_of_range")
        return default

    def array(self, key: str, most: int) -> Sequence[object] | None:
        """The first `most` elements of an array, more are a fault; None when it is absent or no array."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            self.fault(key, f"must be an array, not {json_type(value)}", "decode")
            return None
        if len(value) > most:
            self.fault(key, f"must hold at most {most}, not {len(value)}", "too_big")
        return value[:most]

    def object(self, key: str, known: Sequence[str]) -> "FieldReader":
        """A reader of the object below; an absent one reads as empty."""
        value = self.raw(key)
        return FieldReader({} if value is None else value, self._prefix + key, known, self._log)

    def matching(self, key: str, pattern: Pattern[str], what: str) -> str:
        """A required string that matches the whole pattern; "" beside a fault."""
        value = self.raw(key)
        if value is None:
            if self.usable and key not in self._values:
                self.fault(key, f"is required: {what}", "invalid_format")
            return ""
        text = text_or(value, self._prefix + key, "", self._log)
        if pattern.fullmatch(text):
            return text
        if text or value == "":  # else the fault is told already
            self.fault(key, f"{quoted(text)} does not match {pattern.pattern}: write {what}", "invalid_format")
        return ""

    def _tell_unknown(self, known: Sequence[str]) -> None:
        for key in self._values:
            if self._log.is_full() and key not in known:
                self._log.add("", "", "decode")  # only counted: spare the text
            elif not isinstance(key, str):
                self._log.add(self._prefix + printable(type(key).__name__), "keys must be strings", "decode")
            elif key not in known:
                near = closest(key, known)
                advice = f'did you mean "{near}"?' if near else f"known here: {', '.join(known)}"
                self.fault(path_segment(key), f"unknown field; {advice}", "decode")


def text_or(value: object, path: str, default: str, log: FaultLog) -> str:
    """`value` when it is a string that UTF-8 can carry, else a fault at `path` and `default`."""
    if not isinstance(value, str):
        log.add(path, f"must be a string, not {json_type(value)}", "decode")
        return default
    if not value.isascii() and any(ord(char) in _SURROGATES for char in value):
        log.add(path, "has half of a surrogate pair, which no UTF-8 text can carry", "decode")
        return default
    return value


def json_type(value: object) -> str:
    """What a reader of JSON would call it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, int | float):
        return "a number" if isinstance(value, int) else "a fraction"
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list | tuple) else f"a {printable(type(value).__name__)}"


def _integer_advice(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_SHOWN_INTEGER:
        return f"; write {int(value)}"
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        return f"; write {int(value)} without quotes"
    return ""


def _shown(value: int) -> str:
    return f", not {value}" if abs(value) < _MAX_SHOWN_INTEGER else ""
