"""Whether CronJobs that the manifest no longer names may go; names and clock readings in, a verdict out.

A manifest can be short because the app is half deployed, because an old replica answered, or because someone meant it.
Only two valid fetches that agree, some time apart, are taken for meaning it (promise 2, attack K4).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

CONFIRM_SECONDS = 30.0
FEW = 2  # up to this many at once need no approval, whatever percentage they are


@dataclasses.dataclass(frozen=True, slots=True)
class Absence:
    """The monotonic seconds of the first and of the latest valid fetch that did not name a CronJob."""

    first: float
    latest: float


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`allowed`: CronJobs that may be removed now. `unconfirmed`: a second look is due in `look_again_seconds`.

    `blocked`: confirmed absent, but too many at once; they wait until the approval annotation says `approval`.
    """

    allowed: frozenset[str] = frozenset()
    unconfirmed: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    look_again_seconds: float | None = None
    approval: str | None = None


def note_absent(absent: Collection[str], known: Mapping[str, Absence], fetched_monotonic: float) -> dict[str, Absence]:
    """The absences after one more valid fetch: who is back is forgotten, who is still missing keeps the first time."""
    return {
        name: Absence(known[name].first if name in known else fetched_monotonic, fetched_monotonic) for name in absent
    }


def judge(
    absences: Mapping[str, Absence],
    *,
    owned: int,
    now_monotonic: float,
    own_word: bool,
    max_delete_percent: int,
    approval: str,
    approved: str | None,
) -> Verdict:
    """The verdict on every absent CronJob, out of `owned` in all.

    `own_word`: the manifest is the tenant's own (inline, ConfigMap), so no second look is needed; the percentage still
    counts. `approval` is the manifest's digest: approving one shrink must not approve the next.
    """
    confirmed = frozenset(name for name, a in absences.items() if own_word or a.latest - a.first >= CONFIRM_SECONDS)
    unconfirmed = frozenset(absences) - confirmed
    waits = [max(0.0, absences[name].first + CONFIRM_SECONDS - now_monotonic) for name in unconfirmed]
    look_again = min(waits) if waits else None
    too_many = len(confirmed) > FEW and 100 * len(confirmed) > max_delete_percent * owned
    if too_many and approved != approval:
        return Verdict(unconfirmed=unconfirmed, blocked=confirmed, look_again_seconds=look_again, approval=approval)
    return Verdict(allowed=confirmed, unconfirmed=unconfirmed, look_again_seconds=look_again)
