"""A new signer image reaches the CronJobs in turns: which updates are nothing but that, and which of them go now; pure.

A CronJob that somebody else gave another image looks the same at first sight. It is told apart by the last write that
we remember, and put right at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from cronix_operator.core.memory import Known
from cronix_operator.core.model import App, Change, DesiredCronJob, Hold, JobFault, KubeObject, Plan
from cronix_operator.core.plan import Ground, decide
from cronix_operator.core.render import spec_hash

REASON = "SignerRolled"
_CONTAINER = "spec.jobTemplate.spec.template.spec.containers[0]"
_OF_THE_IMAGE = frozenset({f"{_CONTAINER}.image", f"{_CONTAINER}.imagePullPolicy"})


def marked(plan: Plan, pairs: Mapping[str, Known]) -> Plan:
    """The plan with the reason SignerRolled on each update that only brings another signer image."""
    alike = [change for change in plan.changes if _is_image_only(change)]
    last_images = {_image(change.live) for change in alike if _is_our_last_write(change, pairs)}
    # By image, not by pair: status has room for 256 pairs, and the CronJobs beyond run what those of the same app run.
    rolls = {change.name for change in alike if _image(change.live) in last_images}
    return dataclasses.replace(
        plan,
        changes=tuple(dataclasses.replace(c, reason=REASON) if c.name in rolls else c for c in plan.changes),
    )


def rolls_in(plan: Plan) -> int:
    """How many updates of a marked plan only bring another signer image."""
    return sum(change.reason == REASON for change in plan.changes)


def held_back(plan: Plan, granted: int, wait_seconds: float) -> Plan:
    """The plan with so many of its rolls; the others stay as they are until `wait_seconds` have passed."""
    rolls = [change for change in plan.changes if change.reason == REASON]
    later = {change.name for change in rolls[granted:]}
    return dataclasses.replace(
        plan,
        changes=tuple(change for change in plan.changes if change.name not in later),
        rolling=tuple(_pair(change) for change in rolls[granted:]),
        roll_wait_seconds=wait_seconds if later else None,
    )


def decide_again(
    app: App, want: DesiredCronJob, live: KubeObject | None, *, ground: Ground, rolled: Iterable[str]
) -> Change | Hold | JobFault | None:
    """As `decide`, after a conflict: what was a roll and still is nothing else keeps its reason."""
    decision = decide(app, want, live, ground)
    if isinstance(decision, Change) and decision.name in set(rolled) and _is_image_only(decision):
        return dataclasses.replace(decision, reason=REASON)
    return decision


def rolled_names(plan: Plan) -> tuple[str, ...]:
    """The CronJobs that this plan brings another signer image and nothing else."""
    return tuple(change.name for change in plan.changes if change.reason == REASON)


def _is_image_only(change: Change) -> bool:
    return change.verb == "update" and bool(change.fields) and _OF_THE_IMAGE.issuperset(change.fields)


def _is_our_last_write(change: Change, pairs: Mapping[str, Known]) -> bool:
    known, live = pairs.get(change.name), change.live
    if known is None or live is None:
        return False
    return known.uid == live["metadata"]["uid"] and known.live == spec_hash(live["spec"])


def _image(live: KubeObject | None) -> str:
    containers = (live or {})["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return str(containers[0].get("image"))


def _pair(change: Change) -> tuple[DesiredCronJob, KubeObject]:
    assert change.desired is not None  # noqa: S101  # an update carries both
    assert change.live is not None  # noqa: S101  # an update carries both
    return (change.desired, change.live)
