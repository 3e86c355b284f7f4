"""Which Events one walk is worth; Outcome in, sentences out; no I/O."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.model import Done
from cronix_operator.core.outcome import Outcome

MAX_EVENTS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Announcement:
    """An Event to be: `reason` is the same word as in the plan and the condition.

    `once`: what names the news itself. Under that name it can be posted once only, by whichever process.
    """

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    once: str = ""


def announce(outcome: Outcome | ReconcileError) -> list[Announcement]:
    """The Events of one walk, at most ten: what was written and why, what was refused, what waits for a person."""
    if isinstance(outcome, ReconcileError):
        return [Announcement("Warning", outcome.reason, outcome.message)]
    events = _applied(outcome) + _rolled(outcome) + repaired(outcome.done)
    if outcome.source_fault is not None:
        events.append(Announcement("Warning", outcome.source_fault.reason, outcome.source_fault.message))
    for fault in (*outcome.faults, *outcome.refused):
        where = fault.job if fault.index is None else f"{fault.job}/{fault.index}"
        events.append(Announcement("Warning", fault.reason, f'job "{where}": {fault.message}'))
    events += [Announcement("Warning", reason, message) for reason, message in outcome.warnings.values()]
    return events[:MAX_EVENTS]


def _applied(outcome: Outcome) -> list[Announcement]:
    made = [d.change for d in outcome.done if d.fault is None and d.change.reason not in {"Drifted", "SignerRolled"}]
    if not made:
        return []
    counts: Counter[str] = Counter("adopt" if change.reason == "Adopted" else change.verb for change in made)
    words = {
        "create": "created",
        "update": "updated",
        "adopt": "taken over in place",
        "delete": "deleted",
        "suspend": "suspended until its run ends",
    }
    text = ", ".join(f"{counts[verb]} {word}" for verb, word in words.items() if counts[verb])
    names = ", ".join(change.name for change in made[:3]) + ("…" if len(made) > 3 else "")
    return [Announcement("Normal", "ManifestApplied", f"{text} ({names}) for {outcome.digest[:19]}")]


def _rolled(outcome: Outcome) -> list[Announcement]:
    """One Event for the whole app, with the last of its CronJobs."""
    rolled = [d.change.desired for d in outcome.done if d.fault is None and d.change.reason == "SignerRolled"]
    if not rolled or rolled[-1] is None or outcome.rolling or outcome.refused:
        return []
    image = rolled[-1].body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
    count = len(outcome.in_step)
    text = f"all {count} CronJobs run the signer {image} now; nothing else about them has changed"
    return [Announcement("Normal", "SignerRolled", text)]


def repaired(results: Sequence[Done]) -> list[Announcement]:
    """The Events of what others had changed and was put back."""
    events = []
    for done in results:
        if done.fault is not None or done.overtaken or done.change.reason != "Drifted":
            continue
        fields = ", ".join(done.change.fields)
        if done.change.verb == "create":
            text = f'CronJob "{done.change.name}" was deleted by someone else; made anew'
            events.append(Announcement("Warning", "DriftRepaired", text))
        elif done.mutated:
            text = f'CronJob "{done.change.name}": the cluster itself rewrites {fields} on every write; left as it is'
            events.append(Announcement("Warning", "ServerMutation", text))
        else:
            text = f'CronJob "{done.change.name}": {fields} was changed by someone else; put back'
            events.append(Announcement("Warning", "DriftRepaired", text))
    return events
