"""Files and environment in, the signing key and secret header values out; read anew for each attempt, never kept."""

from cronix_protocol.headers import header_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from cronix_protocol.jobfile import Header

MAX_KEY_BYTES: "Final" = 64 * 1024
_BLANKS = " \t\n\v\f\r"


class NoKey(Exception):
    """Nothing can be signed, or a secret header is missing; the message names files and reasons, never contents."""


def read_file(path: str, limit: int = MAX_KEY_BYTES) -> bytes:
    """Return a file's first ``limit`` bytes and one more if there are more; raises ``OSError``."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # pathlib costs as much as the whole signer
        return file.read(limit + 1)


def signing_keys(
    refs: "Sequence[tuple[str, str]]",
    environ: "Mapping[str, str]",
    *,
    trim: bool,
    skipped: "Callable[[str], None]",
    several: bool = False,
) -> list[str]:
    """Return the first key that is present, or with ``several`` all that are; raises ``NoKey`` without any (C3, C4).

    One line end at the end of a file is not part of the key, as everywhere in this project; ``trim`` takes all blanks
    around it away, as the protocol does for spec files that people write. An empty or all-blank key counts as absent.
    ``skipped`` is told about each key before the first one that is returned.
    """
    found: list[str] = []
    reasons: list[str] = []
    for scheme, rest in refs:
        key, reason = _key(scheme, rest, environ, trim=trim)
        if key:
            found.append(key)
            if not several:
                break
        elif not found:
            reasons.append(reason)
    if not found:
        raise NoKey("no key to sign with: " + ("; ".join(reasons) if reasons else "the job file names none"))
    for reason in reasons:
        skipped(reason)
    return found


def _key(scheme: str, rest: str, environ: "Mapping[str, str]", *, trim: bool) -> tuple[str, str]:
    if scheme == "raw":
        return (rest, "") if rest.strip(_BLANKS) else ("", "a raw key is blank")
    if scheme == "env":
        key = environ.get(rest, "")
        return (key, "") if key.strip(_BLANKS) else ("", f"environment variable {rest} is not set or blank")
    try:
        text = _text(rest)
    except ValueError as error:
        return "", str(error)
    text = text.strip(_BLANKS) if trim else text
    return (text, "") if text.strip(_BLANKS) else ("", f"{rest} is empty")


def _text(path: str) -> str:
    """Return a file's text less one line end, or raise ``ValueError`` naming the file and the trouble."""
    try:
        raw = read_file(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or 'not a path'}") from None
    if len(raw) > MAX_KEY_BYTES:
        raise ValueError(f"{path} is longer than {MAX_KEY_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:  # its own text would show a byte of the key
        raise ValueError(
            f"{path} is not UTF-8 (byte {error.start}); write the key as text, say hex or base64"
        ) from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def previous_success(path: str) -> str:
    """Return the Unix seconds that a file tells, or ``""`` where there is no such file or time: it is then not sent."""
    try:
        text = _text(path) if path else ""
    except ValueError:
        return ""
    return text if text.isascii() and text.isdigit() and len(text) <= 16 else ""


def header_values(headers: "Sequence[Header]") -> list[tuple[str, str]]:
    """Return names and values, those from files read now; raises ``NoKey`` for a file that is missing or unfit."""
    found = []
    for header in headers:
        value = header.value
        if header.file:
            try:
                value = _text(header.file)
            except ValueError as error:
                raise NoKey(f"header {header.name}: {error}") from None
            if fault := header_fault(header.name, value):
                raise NoKey(f"header {header.name} from {header.file}: {fault}")
        found.append((header.name, value))
    return found
