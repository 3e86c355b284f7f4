"""Bytes in, JSON value out; whatever two parsers could read differently is refused; no I/O.

Python's own reader guesses UTF-16, takes NaN, keeps the last of two equal keys, turns a long number into an exception
that is no JSON error, and recurses as deep as it is told to. A manifest that means one thing to one implementation and
another to the next is worse than none, so all of these are faults here (attack J2).
"""

import json
import re
from itertools import accumulate
from typing import NoReturn

from cronix_protocol.faults import MAX_FAULTS, Fault, FaultLog, ManifestInvalid, path_segment, quoted

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
_MAX_INTEGER_DIGITS = 19
# Beyond every bound of the protocol, so a longer number ends as "out of range" at its own path.
_BEYOND_EVERY_BOUND = 10**19

# The end is optional: were it required, a text without a closing quote would be searched again from each quote in it.
_JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

JsonObject = dict[str, object]


def decode_json(raw: bytes, *, max_bytes: int = MAX_BYTES) -> object:
    """Decode one strict JSON document; raises ManifestInvalid with code `decode`.

    UTF-8 without BOM, at most `max_bytes` long and 32 levels deep, no duplicate key, no NaN, nothing after the end.
    Time and memory are linear in the length. Integers of more than 19 digits come back as ±10^19; lone surrogates
    come back as they are: the caller knows the path, and refuses them there.
    """
    if len(raw) > max_bytes:
        _refuse(f"is {len(raw)} bytes long; at most {max_bytes} are read")
    text = _utf8(raw)
    if _is_deeper(raw, MAX_DEPTH):
        _refuse(f"is nested deeper than {MAX_DEPTH} levels; a manifest needs 7")
    duplicates: list[tuple[JsonObject, str]] = []

    def object_of(pairs: list[tuple[str, object]]) -> JsonObject:
        value = dict(pairs)
        if len(value) != len(pairs):
            duplicates.append((value, _first_duplicate(pairs)))
            if len(duplicates) > MAX_FAULTS:
                _refuse(f"gives keys twice in more than {MAX_FAULTS} objects")
        return value

    decoder = json.JSONDecoder(object_pairs_hook=object_of, parse_int=_bounded_int, parse_constant=_no_constant)
    try:
        value: object = decoder.decode(text)
    except json.JSONDecodeError as error:
        _refuse(f"is not JSON: {error.msg} at line {error.lineno} column {error.colno}")
    if duplicates:
        raise ManifestInvalid(_duplicate_faults(value, duplicates))
    return value


def _refuse(message: str) -> NoReturn:
    raise ManifestInvalid((Fault("", f"the document {message}", "decode"),))


def _utf8(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        _refuse("starts with a byte order mark; send plain UTF-8 without one")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in raw[:4]:
        _refuse("looks like UTF-16 or UTF-32; send UTF-8")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(f"is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}")


def _is_deeper(raw: bytes, levels: int) -> bool:
    brackets = _JSON_STRING.sub(b"", raw).translate(None, _NOT_BRACKETS)
    return any(depth > levels for depth in accumulate(map(_STEP.__getitem__, brackets)))


def _bounded_int(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_INTEGER_DIGITS:
        return -_BEYOND_EVERY_BOUND if digits.startswith("-") else _BEYOND_EVERY_BOUND
    return int(digits)


def _no_constant(word: str) -> NoReturn:
    _refuse(f"is not JSON: {word} is no JSON number")


def _first_duplicate(pairs: list[tuple[str, object]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("called without a duplicate")


def _duplicate_faults(root: object, duplicates: list[tuple[JsonObject, str]]) -> tuple[Fault, ...]:
    """The places of the objects that name a key twice; an object that a later duplicate threw away has none."""
    key_of = {id(value): key for value, key in duplicates}
    log = FaultLog()
    pending: list[tuple[str, object]] = [("", root)]
    while pending:
        prefix, value = pending.pop()
        children: list[tuple[str, object]] = []
        if isinstance(value, dict):
            if (key := key_of.get(id(value))) is not None:
                log.add(prefix + path_segment(key), f"{quoted(key)} is given twice; keep one of them", "decode")
            children = [(f"{prefix}{path_segment(name)}/", child) for name, child in value.items()]
        elif isinstance(value, list):
            children = [(f"{prefix}{index}/", child) for index, child in enumerate(value)]
        pending.extend(reversed(children))
    return log.faults()
