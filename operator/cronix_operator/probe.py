"""One look at an app over HTTP: its manifest, and what it answers to each listed key; asks, and decides nothing.

The first key that the app is known to accept signs the fetch. Only where that is refused, or where the core says that
it is time, the others are asked, one request each, and a random key, which an app that verifies must refuse. If the
process dies in between nothing is lost: the next one asks again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from cronix_operator.core.conditional import to_compare
from cronix_operator.core.errors import Denied, ReconcileError, Waiting
from cronix_operator.core.keys import fingerprint, key_groups, read_keys
from cronix_operator.core.memory import Good, Memory
from cronix_operator.core.model import App, Endpoint, Fetched, KeyMaterial, Limits, Now, SecretKey, SigningKey
from cronix_operator.core.rotation import (
    MAX_ASKED,
    OFF,
    Look,
    Rotation,
    Verdict,
    control_due,
    observed,
    preferred,
    requested,
    round_due,
    without_verdict,
)
from cronix_operator.core.settle import Answer, accept, hash_body, read_before, secret_refs
from cronix_protocol.manifest import Manifest

_RANDOM = SigningKey("random", SecretKey("", ""))
Key = tuple[SigningKey, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Chance:
    """Randomness, from the door: a salt of this process, and a key that nobody has."""

    salt: bytes
    random_key: Callable[[], str]


class KeyPort(Protocol):
    async def material(self, app: App, refs: Sequence[str]) -> KeyMaterial: ...


class SourcePort(Protocol):
    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched: ...


class LookPorts(Protocol):
    """What a look needs of the corridor's ports."""

    @property
    def inputs(self) -> KeyPort: ...
    @property
    def source(self) -> SourcePort: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def chance(self) -> Chance: ...


async def look(app: App, memory: Memory, endpoint: Endpoint, now: Now, ports: LookPorts) -> Answer:
    """Fetch the manifest with the key that should sign it, and ask about the other keys where that is due."""
    before = memory.rotation
    asked_for = memory.probe_signature != app.probe_signature
    if asked_for:
        before = without_verdict(before) if app.probe_signature == OFF else requested(before)
    refs = secret_refs(memory.good.manifest if memory.good is not None else None)
    try:
        material = await ports.inputs.material(app, refs)
    except ReconcileError as exc:
        return Answer(fault=exc, rotation=before)
    asking = _Asking(app, endpoint, now, ports, material)
    asking.held, asking.last = to_compare(app, memory, endpoint, material), memory.good
    answer = await asking.fetch(before)
    manifest = answer.manifest
    if manifest is not None and not set(secret_refs(manifest)) <= set(refs):
        await asking.read_again(secret_refs(manifest))
    by_hand = asked_for or memory.reconcile_at != app.reconcile_at
    known = manifest if manifest is not None else memory.good.manifest if memory.good is not None else None
    # What the other keys were answered says something about those keys and nothing about this manifest: an app that is
    # being deployed may give each request another version, with another ETag.
    rotation = await asking.ask_all(before, known, by_hand=by_hand)
    return dataclasses.replace(answer, keys=read_keys(asking.material), rotation=rotation)


class _Asking:
    """The requests of one look and what they gave."""

    def __init__(self, app: App, endpoint: Endpoint, now: Now, ports: LookPorts, material: KeyMaterial) -> None:
        self._app = app
        self._endpoint = endpoint
        self._now = now
        self._ports = ports
        self.material = material
        self._verdicts: dict[str, Verdict] = {}
        self.held: Good | None = None
        self.last: Good | None = None

    async def read_again(self, refs: Sequence[str]) -> None:
        """The manifest names keys that were not read: the first one, or one that changed."""
        try:
            self.material = await self._ports.inputs.material(self._app, refs)
        except ReconcileError:
            return  # the manifest is good all the same; the next look reads them

    async def fetch(self, rotation: Rotation) -> Answer:
        """The manifest by the first key that is not refused, or the fault that says what is wrong."""
        order = preferred(rotation)
        keys = sorted(self.material.keys, key=lambda key: _place(order, key[0].name))[:MAX_ASKED]
        first_fault: ReconcileError | None = None
        for key in keys:
            answer = await self._ask(key)
            first_fault = first_fault or answer.fault
            if not isinstance(answer.fault, Denied):
                return answer  # a fault is the same for every key: the app is away, or what it serves is wrong
        if all(verdict == "refused" for verdict in self._verdicts.values()):
            first_fault = _no_key(list(self._verdicts), first_fault)
        return Answer(None, self._endpoint, first_fault)

    async def ask_all(self, before: Rotation, manifest: Manifest | None, *, by_hand: bool) -> Rotation:
        """What is known of the keys after this look."""
        prints = {key.name: fingerprint(self._ports.chance.salt, text) for key, text in self.material.keys}
        control: Verdict | None = None
        accepted = "accepted" in self._verdicts.values()
        if accepted and control_due(before, self._app, self._now):
            control = await self._verdict((_RANDOM, self._ports.chance.random_key()))
        refused = "refused" in self._verdicts.values() or "denied" in self._verdicts.values()
        in_round = accepted and control != "accepted"
        in_round = in_round and round_due(before, prints, self._now, asked_for=by_hand or refused)
        if in_round:
            await self._round()
        found = Look(
            groups=key_groups(self._app, manifest, prints),
            fingerprints=prints,
            verdicts=self._verdicts,
            control=control,
            in_round=in_round,
        )
        return observed(before, found, self._app, self._now)

    async def _round(self) -> None:
        """Ask about every key that was not asked yet, until the app gives an answer that says nothing.

        An app that accepts one key and then keeps us waiting must not hold a worker for all of them (promise 7).
        """
        gave_up = False
        for key in self.material.keys:
            name = key[0].name
            if name not in self._verdicts and len(self._verdicts) < MAX_ASKED and not gave_up:
                await self._ask(key)
                gave_up = self._verdicts[name] == "unclear"
            self._verdicts.setdefault(name, "unclear")

    async def _ask(self, key: Key) -> Answer:
        # Only the first request may be answered by 304: what the others ask is what the app thinks of a key.
        held, self.held = self.held, None
        answer = await self._request(key, held)
        self._verdicts[key[0].name] = _verdict(answer.fault)
        return answer

    async def _verdict(self, key: Key) -> Verdict:
        return _verdict((await self._request(key)).fault)

    async def _request(self, key: Key, held: Good | None = None) -> Answer:
        app, now, endpoint = self._app, self._now, self._endpoint
        others = tuple(other for other in self.material.keys if other[0] is not key[0])
        # The others stay in it: whatever the app echoes, no key may show.
        material = dataclasses.replace(self.material, keys=(key, *others))
        try:
            etag = None if held is None else held.etag
            fetched = await self._ports.source.fetch(app, endpoint, material, int(now.utc.timestamp()), etag)
            if fetched.body is None and held is not None:
                return Answer(held.manifest, endpoint, unchanged=True)
            hashed = hash_body(fetched.body or b"")
            limit, known = self._ports.limits.max_cron_jobs_per_app, read_before(self.last, hashed)
            manifest = accept(app, endpoint, fetched.body, limit, known)
            return Answer(manifest, endpoint, etag=fetched.etag, body_hash=hashed)
        except ReconcileError as exc:
            return Answer(None, endpoint, exc)


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _verdict(fault: ReconcileError | None) -> Verdict:
    if fault is None:
        return "accepted"
    if isinstance(fault, Denied):
        return "refused" if fault.names_key else "denied"
    return "unclear"


def _no_key(names: Sequence[str], fault: ReconcileError | None) -> Waiting:
    listed = ", ".join(f'"{name}"' for name in names)
    return Waiting(
        "NoKeyAccepted",
        f"the app accepts no listed key ({listed}), so it will refuse its runs, too; give the app and the Secret the "
        f"same key. {fault.message if fault is not None else ''}",
    )
