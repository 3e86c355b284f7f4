"""A JSON value with holes in, and for each of many the same value with its own things in them out; pure.

The CronJobs of one app are alike but for some ten values. To build each from nothing, and to write out all of it for
its hash, was most of what rendering cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from json.encoder import encode_basestring
from typing import Any, TypeAlias

Scalar: TypeAlias = str | int | bool

# Made once: `json.dumps` makes an encoder for every call that asks for more than its defaults.
sorted_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class Hole(str):
    """Where each has a value of its own, by the name of that value. Told by its type: no text can look like one."""

    __slots__ = ()


class Mold:
    """`whole`: dicts and lists with a Hole wherever one differs from the next; at least one, and none as a key."""

    def __init__(self, whole: dict[str, Any]) -> None:
        self._spine = _Spine(whole)
        self._pieces = tuple(_pieces(whole))

    def filled(self, own: Mapping[str, Scalar]) -> dict[str, Any]:
        """The value with these in its holes. All else is shared with the others: read it, never change it."""
        made: dict[str, Any] = self._spine.filled(own)
        return made

    def text(self, own: Mapping[str, Scalar]) -> str:
        """`sorted_json(filled(own))`."""
        shown = {name: _text_of(value) for name, value in own.items()}
        return "".join([shown[piece] if type(piece) is Hole else piece for piece in self._pieces])


class _Spine:
    """A dict or list with a hole in it or below it; what is beside the way to the holes is copied by reference."""

    __slots__ = ("_below", "_holes", "_whole")

    def __init__(self, whole: Any) -> None:
        places = list(whole.items() if isinstance(whole, dict) else enumerate(whole))
        self._whole = whole
        self._holes = [(place, value) for place, value in places if isinstance(value, Hole)]
        self._below = [(place, _Spine(value)) for place, value in places if _is_open(value, hole=False)]

    def filled(self, own: Mapping[str, Scalar]) -> Any:
        made = self._whole.copy()
        for place, hole in self._holes:
            made[place] = own[hole]
        for place, below in self._below:
            made[place] = below.filled(own)
        return made


def _is_open(value: Any, *, hole: bool = True) -> bool:
    """Whether there is a hole below; `hole`: whether a hole itself counts."""
    if isinstance(value, dict | list):
        return any(map(_is_open, value.values() if isinstance(value, dict) else value))
    return hole and isinstance(value, Hole)


def _pieces(value: Any) -> Iterator[str]:
    """The text of `value` in pieces, the holes among them."""
    if isinstance(value, Hole):
        yield value
    elif not _is_open(value):
        yield sorted_json(value)
    elif isinstance(value, dict):
        for sign, key in zip(chain("{", repeat(",")), sorted(value), strict=False):
            yield f"{sign}{sorted_json(key)}:"
            yield from _pieces(value[key])
        yield "}"
    else:
        for sign, entry in zip(chain("[", repeat(",")), value, strict=False):
            yield sign
            yield from _pieces(entry)
        yield "]"


def _text_of(value: Scalar) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    return repr(value) if type(value) is int else sorted_json(value)
