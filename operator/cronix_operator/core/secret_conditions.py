"""What the last reading of the Secrets says about an app's signing keys: names in, conditions out; no I/O."""

from __future__ import annotations

from cronix_operator.core.advice import place_of, some
from cronix_operator.core.keys import jobs_without_key
from cronix_operator.core.model import App
from cronix_operator.core.settle import Settled

MAX_SHOWN = 3


def secret_conditions(app: App, settled: Settled) -> dict[str, tuple[str, str]]:
    """The conditions WeakKey and NoSuchKey as type → (reason, message), as far as they hold.

    A job whose keys are all missing is in step and yet cannot fire: without the word, its first failed run would be
    the first to say so, perhaps in the night.
    """
    if settled.keys is None:
        return {}
    found: dict[str, tuple[str, str]] = {}
    if settled.keys.weak:
        weak = ", ".join(settled.keys.weak)
        text = f"signing key {weak} is shorter than 16 bytes; make one with: openssl rand -hex 32"
        found["WeakKey"] = ("WeakKey", text)
    keyless = jobs_without_key(app, settled.good.manifest, settled.keys.present)
    if keyless:
        names = some([f'"{job}"' for job in keyless], MAX_SHOWN)
        where = " or ".join(map(place_of, next(iter(keyless.values()))))
        text = (
            f"job {names} has no key to sign with, its runs end unsent (NoKey): "
            f"there is no usable {where}; add it, or correct auth.secret_refs in the manifest"
        )
        found["NoSuchKey"] = ("NoSuchKey", text)
    return found
