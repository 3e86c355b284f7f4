"""What is wrong, where, and what to write instead: as data; no I/O.

A reader fixes a manifest once when he is told everything at once, so parsers collect faults here instead of stopping
at the first. What the other side sent is quoted short and without control characters: faults end in Events and logs.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

MAX_FAULTS = 64
_MAX_QUOTE = 60
_PRINTABLE = re.compile(r"[ -~…]*")


class Fault(NamedTuple):
    """One thing that is wrong, with its place.

    `path` is slash-joined ("jobs/0/request/url"; "" is the whole document). `code` is a word of the protocol
    (invalid_value, invalid_format, too_small, too_big, out_of_range, custom, decode; RFC "Conformance") or, for what
    fails one job only, a reason in UpperCamelCase.
    """

    path: str
    message: str
    code: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ManifestInvalid(ValueError):
    """A manifest that must not be used at all; `faults` says all that is wrong, at most 64 of them and a count."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("manifest invalid: " + "; ".join(str(fault) for fault in self.faults))


class FaultLog:
    """Collects faults up to a bound and counts the rest, so that a hostile document costs no memory."""

    __slots__ = ("_faults", "_unlisted")

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._unlisted = 0

    def add(self, path: str, message: str, code: str) -> None:
        """Take one fault, or only count it when the list is full."""
        if self.is_full():
            self._unlisted += 1
        else:
            self._faults.append(Fault(path, message, code))

    def is_full(self) -> bool:
        """True when further faults are only counted: a caller may spare itself the text."""
        return len(self._faults) >= MAX_FAULTS

    def __bool__(self) -> bool:
        return bool(self._faults)

    def faults(self) -> tuple[Fault, ...]:
        """All faults in the order found; when some were left off, a last one says how many."""
        if not self._unlisted:
            return tuple(self._faults)
        rest = Fault("", f"and {self._unlisted} more; mend these first", "custom")
        return (*self._faults, rest)


def quoted(text: str) -> str:
    """`text` as a reader may see it: in double quotes, at most 60 characters, nothing that is not printable ASCII."""
    shown = text if len(text) <= _MAX_QUOTE else text[: _MAX_QUOTE - 1] + "…"
    return '"' + printable(shown.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def printable(text: str) -> str:
    """`text` with everything but printable ASCII written as an escape."""
    return text if _PRINTABLE.fullmatch(text) else "".join(map(_visible, text))


def path_segment(key: str) -> str:
    """An object's key as part of a path: bounded and printable, a slash in it kept apart from the separator."""
    return quoted(key)[1:-1].replace("/", "~1")


def _visible(char: str) -> str:
    if " " <= char <= "~" or char == "…":
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word a typing mistake away from `word`, or None; one that differs in case only comes first."""
    return _closest(word, frozenset(known)) if len(word) <= _MAX_QUOTE else None


@lru_cache(maxsize=512)
def _closest(word: str, known: frozenset[str]) -> str | None:
    """A manifest that stays faulty is read every few minutes; searching 600 time zones takes milliseconds."""
    by_fold = {candidate.casefold(): candidate for candidate in sorted(known)}
    folded = word.casefold()
    if folded in by_fold:
        return by_fold[folded]
    from difflib import get_close_matches  # only a faulty manifest pays for it

    found = get_close_matches(folded, [near for near in by_fold if abs(len(near) - len(folded)) <= 4], n=1, cutoff=0.7)
    return by_fold[found[0]] if found else None
