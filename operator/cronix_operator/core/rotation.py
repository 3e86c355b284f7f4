"""Which listed key the app accepts and which one signs: verdicts of signed fetches in, an order of names out.

No key comes in here, only a fingerprint of each that this process alone can make (a random salt, kept in memory): it
tells that a Secret's content changed and helps nobody to guess.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from cronix_operator.core.model import App, Now

State: TypeAlias = Literal["accepted", "refused", "missing", "unknown"]
STATES: tuple[State, ...] = ("accepted", "refused", "missing", "unknown")
# "denied" is an answer such as a bare 401: the app's word about the key only where another key fared better.
Verdict: TypeAlias = Literal["accepted", "refused", "denied", "unclear"]

MAX_ASKED = 8  # keys asked about in one look; spec.signing.keys holds no more
MAX_RECALLED = 16  # rows in status
OFF = "off"  # the value of cronix.dev/probe-signature that stops the random key
CONTROL_PERIOD = timedelta(days=7)
CONTROL_RETRY_SECONDS = 3600.0
SETTLE_SECONDS = 30.0
MAX_RELAPSES = 4
MIN_ROUND_SECONDS = 30.0
ROUND_INTERVALS = 3  # between two rounds while a key is awaited
QUIET_ROUND_INTERVALS = 12  # while nothing is awaited but that an old key is taken away


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of one key by its name.

    `proven`: it may sign first. `fingerprint`: None until this process has read it. `accepted_since`: monotonic seconds
    of the first of its acceptances in a row. `relapses`: how often it was refused after it had been accepted.
    """

    name: str
    state: State = "unknown"
    proven: bool = False
    probed_at: datetime | None = None
    fingerprint: bytes | None = None
    accepted_since: float | None = None
    relapses: int = 0

    @property
    def settle_seconds(self) -> float:
        """How long it must be accepted before it takes over from a key that is accepted, too."""
        return float(SETTLE_SECONDS * 4 ** min(self.relapses, MAX_RELAPSES))


@dataclasses.dataclass(frozen=True, slots=True)
class Rotation:
    """`groups`: the lists of keys that jobs have, in the CronixApp's order. `enforced`: whether a wrong key is refused.

    `control_at`: when a random key was last tried. `next_round`, `next_control`: monotonic seconds.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    records: tuple[KeyRecord, ...] = ()
    enforced: bool | None = None
    control_at: datetime | None = None
    next_round: float = 0.0
    next_control: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What one look at the app found: `fingerprints` of the keys that are there, `verdicts` on those that were asked.

    `control`: the verdict on a random key, None when none was tried. `in_round`: all keys that are there were asked.
    """

    groups: tuple[tuple[str, ...], ...]
    fingerprints: Mapping[str, bytes]
    verdicts: Mapping[str, Verdict]
    control: Verdict | None
    in_round: bool


def preferred(rotation: Rotation) -> tuple[str, ...]:
    """Names of the keys that should sign, best first; what is not named keeps its place behind."""
    proven = [record.name for record in rotation.records if record.proven]
    accepted = [record.name for record in rotation.records if record.state == "accepted"]
    return tuple(dict.fromkeys((*proven, *accepted)))


def first_of(rotation: Rotation, group: Sequence[str]) -> str | None:
    """The key of a job's list that signs first; None for an empty list."""
    return next((name for name in preferred(rotation) if name in group), group[0] if group else None)


def round_due(rotation: Rotation, fingerprints: Mapping[str, bytes], now: Now, *, asked_for: bool) -> bool:
    """Whether every key is asked about: something changed, somebody asks, or the slow period is over."""
    if len(fingerprints) < 2 or rotation.enforced is False:
        return False
    known = {record.name: record.fingerprint for record in rotation.records}
    changed = any(known.get(name) != fingerprint for name, fingerprint in fingerprints.items())
    return changed or asked_for or now.monotonic >= rotation.next_round


def control_due(rotation: Rotation, app: App, now: Now) -> bool:
    """Whether a random key is tried: at first, once a week, and hourly while the app accepts any key."""
    if app.probe_signature == OFF or now.monotonic < rotation.next_control:
        return False
    if rotation.control_at is None or rotation.enforced is not True:
        return True
    # Up to a tenth later, always the same for one app: apps that were made together are not probed together.
    spread = int.from_bytes(hashlib.sha256(app.uid.encode()).digest()[:4]) / 2**32 / 10
    return now.utc - rotation.control_at >= CONTROL_PERIOD * (1 + spread)


def requested(rotation: Rotation) -> Rotation:
    """The same, with the random key due at once: somebody asked for it by annotation."""
    return dataclasses.replace(rotation, control_at=None, next_control=0.0)


def without_verdict(rotation: Rotation) -> Rotation:
    """The same, with nothing held against the app: the random key was switched off by annotation."""
    return dataclasses.replace(rotation, enforced=rotation.enforced or None)


def next_promotion(rotation: Rotation) -> float | None:
    """Monotonic seconds of the look that may let an accepted key take over; None when none waits."""
    waits = [
        record.accepted_since + record.settle_seconds
        for record in rotation.records
        if record.state == "accepted" and not record.proven and record.accepted_since is not None
    ]
    return min(waits, default=None)


def observed(before: Rotation, look: Look, app: App, now: Now) -> Rotation:
    """The state after one look. A key takes over only from a refused or missing one at once, else after a while."""
    enforced = _enforced(before, look)
    names = dict.fromkeys((*(name for group in look.groups for name in group), *look.fingerprints))
    known = {record.name: record for record in before.records}
    records = [
        _observed_record(_same_key(known.get(name, KeyRecord(name)), look), look, enforced, now) for name in names
    ]
    after = Rotation(
        groups=look.groups,
        records=_with_proven(records, now),
        enforced=enforced,
        control_at=now.utc if look.control in {"accepted", "refused", "denied"} else before.control_at,
        next_control=before.next_control,
    )
    if look.control == "unclear" or enforced is False:
        after = dataclasses.replace(after, next_control=now.monotonic + CONTROL_RETRY_SECONDS)
    next_round = _next_round(after, app, now) if look.in_round else before.next_round
    return dataclasses.replace(after, next_round=next_round)


def _enforced(before: Rotation, look: Look) -> bool | None:
    if look.control == "accepted":
        return False
    if look.control in {"refused", "denied"} or "refused" in look.verdicts.values():
        return True
    return before.enforced


def _said(look: Look, name: str, enforced: bool | None) -> State | None:  # noqa: FBT001  # three values, not a switch
    """What this look says of a key; None when nothing, and what was known stays."""
    verdict = look.verdicts.get(name)
    if verdict == "accepted" and enforced:
        return "accepted"
    other_fared_better = "accepted" in look.verdicts.values()
    return "refused" if verdict == "refused" or (verdict == "denied" and other_fared_better) else None


def _same_key(record: KeyRecord, look: Look) -> KeyRecord:
    """The record of the value that the key has now. What was not asked about stays unread, and so due to be asked."""
    fingerprint = look.fingerprints.get(record.name)
    if fingerprint is None:
        return record
    if record.state == "missing" or record.fingerprint not in {None, fingerprint}:
        record = KeyRecord(record.name, proven=record.proven)  # another key now; its place stays until it was asked
    return dataclasses.replace(record, fingerprint=fingerprint) if record.name in look.verdicts else record


def _observed_record(
    record: KeyRecord,
    look: Look,
    enforced: bool | None,  # noqa: FBT001  # three values, not a switch
    now: Now,
) -> KeyRecord:
    if record.name not in look.fingerprints:
        return dataclasses.replace(record, state="missing", fingerprint=None, accepted_since=None, probed_at=None)
    if enforced is False:
        return dataclasses.replace(record, state="unknown", accepted_since=None)
    state = _said(look, record.name, enforced)
    if state is None:
        return record
    since = now.monotonic if record.accepted_since is None else record.accepted_since
    return dataclasses.replace(
        record,
        state=state,
        probed_at=now.utc,
        accepted_since=since if state == "accepted" else None,
        relapses=record.relapses + (record.state == "accepted" and state == "refused"),
    )


def _with_proven(records: Sequence[KeyRecord], now: Now) -> tuple[KeyRecord, ...]:
    accepted = [record for record in records if record.state == "accepted"]
    if not accepted:
        return tuple(records)  # nobody is better: the order stays, and no CronJob is written
    holds = any(record.proven for record in accepted)
    return tuple(
        dataclasses.replace(record, proven=record.state == "accepted" and (not holds or _may_sign(record, now)))
        for record in records
    )


def _may_sign(record: KeyRecord, now: Now) -> bool:
    since = now.monotonic if record.accepted_since is None else record.accepted_since
    return record.proven or now.monotonic - since >= record.settle_seconds


def _next_round(rotation: Rotation, app: App, now: Now) -> float:
    promotion = next_promotion(rotation)
    if promotion is not None:
        return max(promotion, now.monotonic)
    there = [record for record in rotation.records if record.state != "missing"]
    if len(there) < 2:
        return math.inf
    quiet = all(record.state == "accepted" for record in there)
    pause = app.interval_seconds * (QUIET_ROUND_INTERVALS if quiet else ROUND_INTERVALS)
    return now.monotonic + max(MIN_ROUND_SECONDS, pause)


def recalled(status: Mapping[str, Any]) -> Rotation:
    """What an operator starts with, from the status it wrote: the order stays as it is until the app was asked.

    Anybody may edit status: a forged row can at worst choose which of the listed keys is tried first, once.
    """
    rows = status.get("keys")
    records = [_recalled_row(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    signature = status.get("signature")
    signature = signature if isinstance(signature, Mapping) else {}
    enforced = signature.get("enforced")
    return Rotation(
        records=tuple(record for record in records if record is not None)[:MAX_RECALLED],
        enforced=enforced if isinstance(enforced, bool) else None,
        control_at=_instant(signature.get("lastProbeTime")),
    )


def _recalled_row(row: Mapping[str, Any]) -> KeyRecord | None:
    name, state = row.get("name"), row.get("state")
    if not isinstance(name, str) or state not in STATES:
        return None
    return KeyRecord(name, state, proven=row.get("signs") is True, probed_at=_instant(row.get("lastProbeTime")))


def _instant(value: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return instant if instant.tzinfo else None
