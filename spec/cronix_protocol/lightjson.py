"""JSON for a program that starts in milliseconds: text in, values out and back; no I/O.

``import json`` loads ``re``, ``enum`` and twenty modules more, which takes as long as the whole interpreter takes to
start. Its C scanner and C string encoder need none of them. The scanner is used as ``json`` uses it; whatever it
refuses goes to ``json`` itself, so that the words of the error, and the last word on what is JSON, are the library's.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

try:
    from _json import encode_basestring_ascii, make_scanner
except ImportError:  # an interpreter without the C accelerator: slower, never different
    from json.encoder import encode_basestring_ascii
    from json.scanner import make_scanner  # type: ignore[no-redef,attr-defined,unused-ignore]  # same class, in Python

_BLANKS = " \t\n\r"


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


class _Context:
    """What ``json.JSONDecoder`` is to its scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)
    memo: "dict[str, str]" = {}  # noqa: RUF012  # only the Python scanner looks here, and it clears it


_scan = make_scanner(_Context())  # type: ignore[arg-type,unused-ignore]  # typeshed names no protocol for it


def loads(text: str) -> object:
    """Return the value that ``text`` holds, or raise ``ValueError`` that says what is wrong where.

    ``NaN`` and ``Infinity`` are refused; of duplicate keys the last wins.
    """
    try:
        value, end = _scan(text, len(text) - len(text.lstrip(_BLANKS)))
        if not text[end:].strip(_BLANKS):
            return value
    except Exception:  # noqa: BLE001, S110  # whatever it was, json says it better
        pass
    return _loads_slowly(text)


def _loads_slowly(text: str) -> object:
    import json

    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps_flat(fields: "Mapping[str, str | float | bool | None]") -> str:
    """Return a one-line JSON object of plain values, ASCII only, so that it survives every log and every terminal."""
    return "{" + ",".join(f"{encode_basestring_ascii(key)}:{_scalar(value)}" for key, value in fields.items()) + "}"


def _scalar(value: "str | float | bool | None") -> str:
    if isinstance(value, str):
        return str(encode_basestring_ascii(value))
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
