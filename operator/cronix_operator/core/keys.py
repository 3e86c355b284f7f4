"""Which keys a fetch or a job may use, and in what order; names and references only, never bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from collections.abc import Collection, Sequence

from cronix_operator.core.model import App, KeyMaterial, SecretKey, SigningKey
from cronix_protocol.manifest import Manifest

DEFAULT_KEY_NAMES = ("current", "previous")
MIN_KEY_BYTES = 16  # shorter keys work but are told (WeakKey): below this, guessing becomes thinkable
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


@dataclasses.dataclass(frozen=True, slots=True)
class ReadKeys:
    """What one reading of the Secrets showed, by name only: the keys that are `present`, and the `weak` among them."""

    present: tuple[str, ...]
    weak: tuple[str, ...]


class KeyNotMapped(Exception):
    """The manifest names a key that the CronixApp does not offer; `name` is that name, `offered` what there is."""

    def __init__(self, name: str, offered: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.offered = tuple(offered)


def fetch_keys(app: App, data_keys: Collection[str], refs: Sequence[str]) -> tuple[SigningKey, ...]:
    """The keys that may sign the manifest fetch, best first; empty when the Secret is.

    `data_keys`: the data keys of `signing.secretRef`'s Secret (unused with `signing.keys`). `refs`: the `secret_refs`
    of the last good manifest; before the first one only `current`, `previous` or any other key can be tried.
    """
    if app.signing_secret is None:
        return app.signing_keys
    names = [name for name in (*refs, *DEFAULT_KEY_NAMES) if name in data_keys] or sorted(data_keys)
    return tuple(_of_secret(app.signing_secret, name) for name in dict.fromkeys(names))


def job_keys(app: App, refs: Sequence[str], preferred: Sequence[str] = ()) -> tuple[SigningKey, ...]:
    """The keys mounted into a job's signer, first one signs; raises KeyNotMapped for a name the CronixApp has not got.

    Order is the CronixApp's, but for the first: that is the first of `preferred` (what the app is known to accept)
    that the job has. The manifest's `secret_refs` narrow the list when they name any. For a whole Secret
    (`signing.secretRef`) the names are its data keys: any legal one is taken at its word and mounted `optional`.
    """
    keys = _declared_keys(app, refs)
    first = next((key for name in preferred for key in keys if key.name == name), None)
    return keys if first is None else (first, *(key for key in keys if key is not first))


def _declared_keys(app: App, refs: Sequence[str]) -> tuple[SigningKey, ...]:
    if app.signing_secret is not None:
        for name in refs:
            if not _DATA_KEY.fullmatch(name):
                raise KeyNotMapped(name, ())
        # Each once: two files of one path in a volume would make the API server refuse the whole CronJob.
        return tuple(_of_secret(app.signing_secret, name) for name in dict.fromkeys(refs or DEFAULT_KEY_NAMES))
    offered = {key.name: key for key in app.signing_keys}
    for name in refs:
        if name not in offered:
            raise KeyNotMapped(name, list(offered))
    return tuple(key for key in app.signing_keys if not refs or key.name in refs)


def key_groups(app: App, manifest: Manifest | None, present: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """The different lists of keys that jobs have, by name; before the first manifest the one of a job that names none.

    Of a whole Secret, `previous` counts only where it is `present` or a job names it: most have no second key.
    """
    groups: dict[tuple[str, ...], None] = {}
    for refs in [job.secret_refs for job in manifest.jobs] if manifest is not None else [()]:
        try:
            names = [key.name for key in _declared_keys(app, refs)]
        except KeyNotMapped:
            continue  # told for that job; it has no CronJob
        implied = app.signing_secret is not None and not refs
        groups[tuple(n for i, n in enumerate(names) if not (implied and i) or n in present)] = None
    return tuple(groups)


def _of_secret(secret: str, name: str) -> SigningKey:
    return SigningKey(name, SecretKey(secret, name))


def clean_key(raw: bytes) -> str | None:
    """The key's text with one trailing newline stripped; None when only blanks are left or it is not UTF-8.

    The signer and the SDK do the same, so `echo secret > file` and `printf` agree on both sides.
    """
    for ending in (b"\r\n", b"\n"):
        if raw.endswith(ending):
            raw = raw[: -len(ending)]
            break
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.strip(" \t\n\v\f\r") else None


def read_keys(material: KeyMaterial) -> ReadKeys:
    """The names of the keys that were read, and of those that are shorter than 16 bytes."""
    weak = tuple(key.name for key, text in material.keys if len(text.encode()) < MIN_KEY_BYTES)
    return ReadKeys(tuple(key.name for key, _ in material.keys), weak)


def jobs_without_key(app: App, manifest: Manifest, present: Collection[str]) -> dict[str, tuple[SigningKey, ...]]:
    """Each job none of whose keys is `present`, with those keys: its runs would end unsent (outcome NoKey).

    One key of several is enough: the next one of a rotation need not be there yet, nor the last one any more.
    """
    keyless = {}
    for job in manifest.jobs:
        try:
            keys = _declared_keys(app, job.secret_refs)
        except KeyNotMapped:
            continue  # told for that job; it has no CronJob
        if not any(key.name in present for key in keys):
            keyless[job.name] = keys
    return keyless


def fingerprint(salt: bytes, text: str) -> bytes:
    """What tells that a key has changed; `salt` is random, of this process and kept in memory, so it helps no guess."""
    return hmac.new(salt, text.encode(), hashlib.sha256).digest()
