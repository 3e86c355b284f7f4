"""What one walk down the corridor came to; built from the plan and what executing it gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from cronix_operator.core import naming
from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.memory import Known, Memory, fingerprint
from cronix_operator.core.model import App, Desired, DesiredCronJob, Done, JobFault, KubeObject, Now, Plan
from cronix_operator.core.plan import CONTESTED_WINDOW_SECONDS
from cronix_operator.core.prune import Verdict
from cronix_operator.core.render import spec_hash
from cronix_operator.core.secret_conditions import secret_conditions
from cronix_operator.core.settle import Settled

REFUSED_RETRY_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """`in_step`: every CronJob that is as desired now. `faults`: cannot be made. `refused`: the server said no.

    `warnings`: abnormal-true conditions as type → (reason, message). `retry_after_seconds`: the earliest time at which
    another walk is needed although nothing happens, or None. `rolling`: how many wait for a new signer image.
    `success_config_map`: the ConfigMap from which signers learn of the last success, "" where there is none.
    """

    digest: str
    manifest_changed: bool
    source_fault: ReconcileError | None
    job_names: tuple[str, ...]
    in_step: tuple[tuple[DesiredCronJob, KubeObject], ...]
    faults: tuple[JobFault, ...]
    refused: tuple[JobFault, ...]
    done: tuple[Done, ...]
    warnings: Mapping[str, tuple[str, str]]
    pending_prune: int
    retry_after_seconds: float | None
    rolling: int = 0
    success_config_map: str = ""


def conclude(
    app: App,
    memory: Memory,
    settled: Settled,
    desired: Desired,
    verdict: Verdict,
    plan: Plan,
    results: Sequence[Done],
) -> Outcome:
    """The Outcome of a walk whose plan was executed with these results."""
    before = memory.good
    in_step = [*plan.unchanged, *plan.rolling]
    in_step += [(d.change.desired, d.live) for d in results if d.change.desired and d.live and d.fault is None]
    failed = [d.fault for d in results if d.fault is not None]
    # A name that somebody else holds shows at the write when his object has none of our labels; a person must decide.
    late_conflicts = [fault for fault in failed if fault.reason == "NameConflict"]
    refused = tuple(fault for fault in failed if fault.reason != "NameConflict")
    waits = [hold.retry_after_seconds for hold in plan.holds if hold.retry_after_seconds is not None]
    waits += [REFUSED_RETRY_SECONDS] if refused else []
    waits += [plan.roll_wait_seconds] if plan.roll_wait_seconds is not None else []
    waits += [10.0 for d in results if d.change.verb == "suspend"]
    return Outcome(
        digest=settled.good.digest,
        manifest_changed=before is None or before.digest != settled.good.digest,
        source_fault=settled.fault,
        job_names=desired.job_names,
        in_step=tuple(in_step),
        faults=(*desired.faults, *plan.conflicts, *late_conflicts),
        refused=refused,
        done=tuple(results),
        warnings=secret_conditions(app, settled) | _warnings(plan, verdict),
        pending_prune=sum(hold.reason in {"PruneBlocked", "PruneUnconfirmed", "RunActive"} for hold in plan.holds),
        retry_after_seconds=min(waits, default=None),
        rolling=len(plan.rolling),
    )


def _warnings(plan: Plan, verdict: Verdict) -> dict[str, tuple[str, str]]:
    warnings: dict[str, tuple[str, str]] = {}
    if verdict.blocked:
        names = ", ".join(sorted(verdict.blocked)[:5])
        warnings["PruneBlocked"] = (
            "PruneBlocked",
            (
                f"the manifest no longer names {len(verdict.blocked)} CronJobs ({names}…), more than "
                "spec.prune.maxDeletePercent; nothing is deleted. If it is meant: "
                f"kubectl annotate cxa NAME --overwrite cronix.dev/approve-prune={verdict.approval}"
            ),
        )
    contested = [hold for hold in plan.holds if hold.reason == "DriftContested"]
    if contested:
        warnings["DriftContested"] = ("DriftContested", contested[0].message)
    return warnings


def remember(memory: Memory, settled: Settled, plan: Plan, results: Sequence[Done], now: Now) -> Memory:
    """The memory after a walk: the good manifest, the pair of each write, and which repairs were just made."""
    # What is held back or was refused keeps its old pair: it says whose the last write was.
    kept = {hold.name for hold in plan.holds} | {done.change.name for done in results if done.fault is not None}
    # An owner reference that somebody falsified reads as a conflict until garbage collection takes the object.
    kept |= {naming.cron_job_name(settled.good.manifest.app, c.job, c.index or 0) for c in plan.conflicts}
    kept |= {want.name for want, _ in plan.rolling}
    pairs = {name: known for name, known in memory.pairs.items() if name in kept}
    pairs |= {want.name: _found(want, live, memory.pairs.get(want.name)) for want, live in plan.unchanged}
    pairs |= known_after(results)
    return dataclasses.replace(memory, good=settled.good, pairs=pairs, repairs=recent_repairs(memory, results, now))


def known_after(results: Sequence[Done]) -> dict[str, Known]:
    """The pair of each write that was made."""
    written = [(done.change.desired, done.live) for done in results if done.fault is None]
    return {want.name: _known(want, live) for want, live in written if want is not None and live is not None}


def recent_repairs(memory: Memory, results: Sequence[Done], now: Now) -> dict[str, tuple[float, ...]]:
    """When each CronJob was repaired, these results included; what is older than the window is forgotten."""
    repairs = {
        name: recent
        for name, times in memory.repairs.items()
        if (recent := tuple(t for t in times if now.monotonic - t < CONTESTED_WINDOW_SECONDS))
    }
    for done in results:
        if done.change.reason == "Drifted" and done.live is not None and done.fault is None and not done.overtaken:
            repairs[done.change.name] = (*repairs.get(done.change.name, ()), now.monotonic)
    return repairs


def _found(want: DesiredCronJob, live: KubeObject, before: Known | None) -> Known:
    """The pair of a CronJob that is in step. What was known of this very version still holds and is not made again."""
    meta = live["metadata"]
    if before is not None and (before.uid, before.version) == (meta["uid"], meta.get("resourceVersion")):
        return before if before.rendered == want.spec_hash else dataclasses.replace(before, rendered=want.spec_hash)
    return _known(want, live)


def _known(want: DesiredCronJob, live: KubeObject) -> Known:
    as_rendered = live["spec"] == want.body["spec"]  # nearly always, and quicker than the hash of it
    return Known(
        uid=live["metadata"]["uid"],
        rendered=want.spec_hash,
        live=want.spec_hash if as_rendered else spec_hash(live["spec"]),
        metadata=fingerprint(live),
        version=str(live["metadata"].get("resourceVersion") or ""),
        status=live.get("status") or {},
    )
