"""What to tell a person about an input that is missing or is not what it should be; facts in, sentences out; no I/O.

A sentence names the object and the field of the CronixApp that asks for it, and ends with what to write or to run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cronix_operator.core.model import App, ConfigMapSource, Endpoint, InlineSource, SigningKey

SIGNING = "spec.signing"
SOURCE = "spec.source"


def some(words: Sequence[str], most: int) -> str:
    """The first few words of a list, and how many more there are."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def place_of(key: SigningKey) -> str:
    """Where a signing key's bytes should be."""
    return f'Secret "{key.ref.secret}" key "{key.ref.key}"'


def missing_object(kind: str, app: App, name: str, field: str) -> str:
    """An object that `field` names and that is not in the app's namespace."""
    text = f'{kind} "{name}" does not exist in namespace "{app.namespace}" ({field}); '
    if kind == "Secret" and field.startswith(SIGNING):
        return text + (
            f"create it: kubectl -n {app.namespace} create secret generic {name} "
            "--from-literal=current=$(openssl rand -hex 32)"
        )
    return text + "correct the name, or create it"


def missing_key(kind: str, name: str, key: str, field: str, there: Collection[str]) -> str:
    """A data key that `field` names, which the object lacks or which holds nothing that could be used."""
    if key in there:
        return f'{kind} "{name}", key "{key}" ({field}) is empty or no UTF-8 text; put the value there'
    listed = ", ".join(sorted(there)) or "no keys at all"
    return f'{kind} "{name}" has no key "{key}" ({field}), it has {listed}; correct the key, or add it'


def no_signing_key(app: App, tried: Collection[SigningKey], data_keys: Collection[str]) -> str:
    """None of the keys that may sign is there; `data_keys`: those of `signing.secretRef`'s Secret."""
    end = "nothing is ever fetched or fired unsigned. Make a key with: openssl rand -hex 32"
    if app.signing_secret is not None and not data_keys:
        return f'Secret "{app.signing_secret}" ({SIGNING}) is empty; put the key under "current": {end}'
    names = ", ".join(map(place_of, tried))
    return f"{SIGNING}: no usable key, each of these is missing, empty or no UTF-8 text: {names}; {end}"


def origin(app: App, endpoint: Endpoint | None) -> str:
    """What a manifest was read from, as the subject of a sentence."""
    if endpoint is not None:
        return f"the manifest at {endpoint.url}"
    if isinstance(app.source, ConfigMapSource):
        return f'the manifest in ConfigMap "{app.source.name}", key "{app.source.key}",'
    return "spec.source.inline" if isinstance(app.source, InlineSource) else "the manifest"


def not_json(document: object) -> str:
    """What a document that is no JSON object looks like, and so what to look at; "" when it may well be JSON.

    Nothing of it is quoted: a page may echo what we sent in confidence (attack C5).
    """
    if not isinstance(document, bytes):
        return ""
    start = document[:512].lstrip().lower()
    if not start:
        return "it is empty; "
    if start.startswith(b"<"):
        return (
            "it is an HTML or XML page: see whether the path is the manifest's, and whether something in front of the "
            "app wants a login (spec.connection.headers); "
        )
    if start.startswith((b"version:", b"app:", b"jobs:", b"---", b"#")):
        return "it looks like YAML, a manifest is JSON; "
    return ""
