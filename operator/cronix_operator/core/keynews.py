"""What a person is told about the keys: rows, conditions and Events out of the state of the rotation; no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from cronix_operator.core.announce import Announcement
from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.rotation import KeyRecord, Rotation, first_of

MAX_ROWS = 16
Told = tuple[str, str]  # reason, message


def listed_keys(rotation: Rotation) -> list[tuple[KeyRecord, bool]]:
    """The keys that jobs have, in the CronixApp's order, at most 16, and whether each one signs for some job."""
    listed = {name for group in rotation.groups for name in group} or {record.name for record in rotation.records}
    signing = {signing_key(rotation, group) for group in rotation.groups}
    rows = [(record, record.name in signing) for record in rotation.records if record.name in listed]
    return rows[:MAX_ROWS]


def signing_key(rotation: Rotation, group: Sequence[str]) -> str | None:
    """The key that signs for a job with this list: its first one that is there."""
    missing = {record.name for record in rotation.records if record.state == "missing"}
    first = first_of(rotation, group)
    return next((name for name in (first, *group) if name is not None and name not in missing), None)


def key_conditions(rotation: Rotation, fault: ReconcileError | None) -> dict[str, Told]:
    """The abnormal-true conditions about keys, as type → (reason, message)."""
    told: dict[str, Told] = {}
    if fault is not None and fault.reason == "NoKeyAccepted":
        told["NoKeyAccepted"] = (fault.reason, fault.message)
    if rotation.enforced is False:
        told["SignatureNotEnforced"] = ("SignatureNotEnforced", _NOT_ENFORCED)
    under_way = rotation_told(rotation)
    if under_way is not None:
        told["KeyRotation"] = under_way
    return told


_NOT_ENFORCED = (
    "the app serves its manifest to a request signed with a random key: it does not verify, or a proxy or cache "
    "answers for it. So nobody can tell which key it accepts, and its jobs may be open to everybody. Let it verify "
    "(cronix_sdk does, unless skip_verify=True). Where the manifest is meant to be public, say so: "
    "kubectl annotate cxa NAME cronix.dev/probe-signature=off"
)


def rotation_told(rotation: Rotation) -> Told | None:
    """How far the replacing of a key has come, for the first list of keys where there is something to say."""
    records = {record.name: record for record in rotation.records}
    for group in rotation.groups:
        listed = [records[name] for name in group if name in records]
        told = _group_told(rotation, listed)
        if told is not None:
            return told
    return None


def _group_told(rotation: Rotation, listed: Sequence[KeyRecord]) -> Told | None:
    if not any(record.state == "accepted" for record in listed):
        return None
    name = first_of(rotation, [record.name for record in listed])
    place = next(i for i, record in enumerate(listed) if record.name == name)
    signing, ahead, behind = listed[place], listed[:place], listed[place + 1 :]
    if ahead:
        return "KeyAwaited", _awaited(ahead[0], signing)
    accepted = [record.name for record in behind if record.state == "accepted"]
    unused = [record.name for record in behind if record.state in {"refused", "missing"}]
    if accepted:
        return "OldKeyAccepted", (
            f'runs are signed with "{signing.name}"; the app accepts {_named(accepted)} as well. If that is the old '
            "key, take it from the app, then from the Secret; if it is the new one, it can be promoted: put it first"
        )
    if unused and len(unused) == len(behind):
        return "OldKeyUnused", (
            f'runs are signed with "{signing.name}"; {_named(unused)} is refused by the app or not in its Secret. If '
            "that is the old key, it can go, from the Secret and spec.signing; if it is the new one, the app needs it"
        )
    return None


def _awaited(awaited: KeyRecord, signing: KeyRecord) -> str:
    why = {
        "missing": f'"{awaited.name}" is not in its Secret, or empty; write it there and it is tried',
        "refused": f'the app does not accept "{awaited.name}" yet; once it does, runs are signed with it',
        "unknown": f'whether the app accepts "{awaited.name}" is not known yet; it is tried again',
        "accepted": f'the app accepts "{awaited.name}" now; it is promoted when a second look agrees',
    }[awaited.state]
    return f'runs are signed with "{signing.name}": {why}'


def _named(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def key_news(before: Rotation, after: Rotation) -> list[Announcement]:
    """The Events of what changed between two states; none when nothing did."""
    news = []
    if after.enforced is False and before.enforced is not False:
        news.append(Announcement("Warning", "SignatureNotEnforced", _NOT_ENFORCED))
    for group in after.groups:
        was, now = (first_of(state, group) if _somebody_proven(state) else None for state in (before, after))
        if was is not None and now is not None and was != now:
            text = f'runs are signed with "{now}" from now on, with "{was}" before: the app accepts "{now}"'
            news.append(Announcement("Normal", "KeyPromoted", text))
    told, told_before = rotation_told(after), rotation_told(before)
    if told is not None and (told_before is None or told_before[1] != told[1]):
        news.append(Announcement("Normal", *told))
    return news


def _somebody_proven(rotation: Rotation) -> bool:
    """Whether any key is known to be accepted, now or the last time that one was."""
    return any(record.proven for record in rotation.records)
