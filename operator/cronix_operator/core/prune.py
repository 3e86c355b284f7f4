"""Whether CronJobs that the manifest no longer names may go; names and clock readings in, a verdict out.

A manifest can be short because the app is half deployed, because an old replica answered, or because someone meant it.
Only two valid fetches that agree, some time apart, are taken for meaning it (promise 2, attack K4).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

CONFIRM_SECONDS = 30.0
SECOND_LOOK_SECONDS = CONFIRM_SECONDS + 0.5  # rounding must not make the second look come a hair too early
FEW = 2  # up to this many at once need no approval, whatever percentage they are


@dataclasses.dataclass(frozen=True, slots=True)
class Absence:
    """The monotonic seconds of the first and of the latest valid fetch that did not name a CronJob."""

    first: float
    latest: float


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`allowed`: CronJobs that may be removed now. `unconfirmed`: only a second look decides (`second_look`).

    `blocked`: confirmed absent, but too many at once; they wait until the approval annotation says `approval`.
    """

    allowed: frozenset[str] = frozenset()
    unconfirmed: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    approval: str | None = None


def note_absent(absent: Collection[str], known: Mapping[str, Absence], fetched_monotonic: float) -> dict[str, Absence]:
    """The absences after one more valid fetch: who is back is forgotten, who is still missing keeps the first time."""
    return {
        name: Absence(known[name].first if name in known else fetched_monotonic, fetched_monotonic) for name in absent
    }


def second_look(absences: Mapping[str, Absence]) -> float | None:
    """The monotonic seconds at which a fetch can confirm the oldest unconfirmed absence; None when there is none."""
    return min((a.first + SECOND_LOOK_SECONDS for a in absences.values() if not _is_confirmed(a)), default=None)


def _is_confirmed(absence: Absence) -> bool:
    return absence.latest - absence.first >= CONFIRM_SECONDS


def judge(
    absences: Mapping[str, Absence],
    *,
    owned: int,
    own_word: bool,
    max_delete_percent: int,
    approval: str,
    approved: str | None,
) -> Verdict:
    """The verdict on every absent CronJob, out of `owned` in all.

    `own_word`: the manifest is the tenant's own (inline, ConfigMap), so no second look is needed; the percentage still
    counts. `approval` is the manifest's digest: approving one shrink must not approve the next. At `max_delete_percent`
    0 nothing goes without approval.
    """
    confirmed = frozenset(name for name, a in absences.items() if own_word or _is_confirmed(a))
    unconfirmed = frozenset(absences) - confirmed
    few = FEW if max_delete_percent else 0
    too_many = len(confirmed) > few and 100 * len(confirmed) > max_delete_percent * owned
    if too_many and approved != approval:
        return Verdict(unconfirmed=unconfirmed, blocked=confirmed, approval=approval)
    return Verdict(allowed=confirmed, unconfirmed=unconfirmed)
