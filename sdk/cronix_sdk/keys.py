"""Where the keys come from; a key leaves this file only towards the verifier, never into a text or a repr."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cronix_sdk.errors import SecretError

Secret = str | Sequence[str] | Callable[[], "str | Sequence[str]"]

SHORTEST_GOOD_KEY_BYTES = 16

_log = logging.getLogger("cronix_sdk")


def without_line_end(text: str) -> str:
    """The key without the one line end that `kubectl create secret --from-file` keeps; the signer strips it, too."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


class KeyFiles:
    """Keys in mounted files, read anew for every request, so that a rotated Secret needs no restart.

    `KeyFiles("/etc/cron/current", "/etc/cron/previous")` is a `secret=` for `Cron`. A file that is absent counts as "no
    key here" (the previous key is often not there); one that exists and cannot be read is an error. `names` are those
    of the files, so that the log can say which key verified a run.
    """

    def __init__(self, *paths: str | Path) -> None:
        if not paths:
            raise SecretError("KeyFiles() needs at least one path, such as KeyFiles('/var/run/cron/current')")
        self.paths = tuple(Path(path) for path in paths)
        self.names = tuple(path.name for path in self.paths)

    @classmethod
    def from_text(cls, comma_separated: str) -> KeyFiles:
        """From one text with commas, as an environment variable has it: `/keys/current,/keys/previous`."""
        return cls(*(part.strip() for part in comma_separated.split(",") if part.strip()))

    def __call__(self) -> list[str]:
        """The keys, in the order of the paths; an empty text keeps the place of an absent file."""
        return [self._read(path) for path in self.paths]

    @staticmethod
    def _read(path: Path) -> str:
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return ""
        try:
            return raw.decode()
        except UnicodeDecodeError:
            # The exception would carry the bytes of the key.
            raise SecretError(f"{path}: the key is not UTF-8 text; the signer uses keys as text") from None

    def __repr__(self) -> str:
        return f"KeyFiles({', '.join(map(str, self.paths))})"


def resolve(secret: Secret) -> tuple[str, ...]:
    """Every key in its place, or `SecretError` that says why none is usable; the places are `secret_index`."""
    value: object = secret() if callable(secret) else secret
    if not isinstance(value, Iterable):
        raise SecretError(f"secret: {_origin(secret)} is {type(value).__name__}; want a key (str) or a list of keys")
    listed = (value,) if isinstance(value, (str, bytes, bytearray)) else tuple(value)
    keys = tuple(without_line_end(key) for key in listed if isinstance(key, str))
    if len(keys) < len(listed):
        raise SecretError("secret: keys are text (str); write key.decode() where you read the bytes")
    if not keys:
        raise SecretError(f"secret: {_origin(secret)} is an empty list; nothing could be verified")
    if not any(key.strip() for key in keys):
        raise SecretError(
            f"secret: {_origin(secret)} holds only empty or blank text; is the variable set, or the Secret mounted?"
        )
    return tuple(key if key.strip() else "" for key in keys)


def check_at_start(secret: Secret | None) -> tuple[str, ...]:
    """The keys as they are when the app starts; warns about a short one and refuses to go on without any."""
    if secret is None:
        raise SecretError("secret is missing: Cron(…, secret=os.environ['CRON_SECRET']) or secret=KeyFiles('/path')")
    keys = resolve(secret)
    for place, key in enumerate(keys):
        if 0 < len(key.encode()) < SHORTEST_GOOD_KEY_BYTES:
            _log.warning(
                "WeakKey: secret %d has fewer than %d bytes; use 32 random ones", place, SHORTEST_GOOD_KEY_BYTES
            )
    return keys


def name_of(secret: Secret | None, index: int | None) -> str:
    """What the log calls the key that verified: a file's name where there is one, else its place in the list."""
    if index is None:
        return "none"
    names = getattr(secret, "names", ())
    return str(names[index]) if index < len(names) else str(index)


def _origin(secret: Secret) -> str:
    return (
        repr(secret) if isinstance(secret, KeyFiles) else ("the callable's answer" if callable(secret) else "the value")
    )
