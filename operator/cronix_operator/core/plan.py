"""Desired and observed in, Plan out: every write with its reason; no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from cronix_operator.core import naming
from cronix_operator.core.app import KIND
from cronix_operator.core.differences import first_differences
from cronix_operator.core.memory import Known
from cronix_operator.core.model import App, Change, Desired, DesiredCronJob, Hold, JobFault, KubeObject, Plan
from cronix_operator.core.prune import Verdict
from cronix_operator.core.render import spec_hash
from cronix_protocol.schedule import parse_schedule

MAX_REPAIRS_PER_MINUTE = 5
CONTESTED_WINDOW_SECONDS = 60.0
RUN_POLL_SECONDS = 10.0
OUR_DOMAIN = "cronix.dev/"
# What `kubectl delete --cascade=orphan|foreground` waits for: taken away, the Jobs would go after all, or at once.
GARBAGE_COLLECTION = frozenset({"orphan", "foregroundDeletion"})

# Decides anew about one CronJob when a write shows that the object is another than the plan was made on.
Redecide: TypeAlias = Callable[[DesiredCronJob, "KubeObject | None"], "Change | Hold | JobFault | None"]


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What a decision about one CronJob stands on besides desired and live."""

    pairs: Mapping[str, Known]
    repairs: Mapping[str, tuple[float, ...]]
    now: datetime
    now_monotonic: float


def diff(app: App, desired: Desired, observed: Sequence[KubeObject], verdict: Verdict, ground: Ground) -> Plan:
    """The writes that bring the cluster in step, creates and updates before deletes."""
    live_by_name = {live["metadata"]["name"]: live for live in observed}
    changes: list[Change] = []
    unchanged: list[tuple[DesiredCronJob, KubeObject]] = []
    holds: list[Hold] = []
    conflicts: list[JobFault] = []
    for want in desired.cron_jobs:
        decision = decide(app, want, live_by_name.get(want.name), ground)
        if isinstance(decision, Change):
            changes.append(decision)
        elif isinstance(decision, Hold):
            holds.append(decision)
        elif isinstance(decision, JobFault):
            conflicts.append(decision)
        else:
            unchanged.append((want, live_by_name[want.name]))
    removals, held = _removals(app, desired, observed, verdict)
    return Plan((*changes, *removals), tuple(unchanged), (*holds, *held), tuple(conflicts))


def decide(app: App, want: DesiredCronJob, live: KubeObject | None, ground: Ground) -> Change | Hold | JobFault | None:
    """What to do about one CronJob: a write, a pause, a conflict, or None when it is in step.

    Also called on a fresh read after a 409, so it must not rely on how `live` was found.
    """
    if live is None:
        gone = want.name in ground.pairs
        if gone and _is_contested(ground, want.name):
            return _contested(want.name, "the CronJob was deleted")
        return Change("create", want.name, "Drifted" if gone else "Missing", desired=want)
    owner = _ownership(app, live)
    if owner == "foreign" and not (app.adopt and _adoptable(live)):
        return JobFault(want.job, want.index, "NameConflict", _conflict_text(app, want, live))
    if live["metadata"].get("deletionTimestamp") and not _foreign_finalizers(live["metadata"]):
        return None  # Kubernetes is about to be done with it; the watch tells when it is gone, and it is made anew
    known = ground.pairs.get(want.name)
    spec_in_step = live["spec"] == want.body["spec"] or _pair_matches(known, live, want)
    fields = () if spec_in_step else first_differences(want.body["spec"], live["spec"], "spec")
    fields = (*fields, *_metadata_differences(want.body["metadata"], live["metadata"]))
    if not fields:
        return None
    reason = _reason(owner, known, want, live)
    if reason == "Drifted" and _is_contested(ground, want.name):
        return _contested(want.name, f"{fields[0]} was changed")
    return Change(
        "update",
        want.name,
        reason,
        fields=fields,
        desired=want,
        live=live,
        fence_slot=needs_fence(want, live, ground.now),
    )


def needs_fence(want: DesiredCronJob, live: KubeObject, now: datetime) -> bool:
    """Whether this update would make Kubernetes fire a slot that has passed.

    It does when schedule, time zone or an un-suspend brings a slot into (max(lastScheduleTime, creation, now -
    startingDeadlineSeconds), now]: not at once, but at the controller's next look (measured; k/k#63371). A longer
    deadline alone does it for a slot that the shorter one had given up.
    """
    spec, live_spec = want.body["spec"], live["spec"]
    same_slots = spec["schedule"] == live_spec.get("schedule") and spec["timeZone"] == live_spec.get("timeZone")
    revived = not same_slots or live_spec.get("suspend")
    deadline, live_deadline = spec["startingDeadlineSeconds"], live_spec.get("startingDeadlineSeconds")
    prolonged = live_deadline is not None and deadline > live_deadline
    if spec["suspend"] or not (revived or prolonged):
        return False
    starts = [now - timedelta(seconds=deadline), _time(live["metadata"]["creationTimestamp"])]
    last = (live.get("status") or {}).get("lastScheduleTime")
    if last:
        starts.append(_time(last))
    schedule, zone = parse_schedule(want.schedule), ZoneInfo(want.time_zone)
    newest = schedule.previous_at_or_before(now, zone, not_before=max(starts))
    if newest is None or revived:
        return newest is not None
    return newest <= now - timedelta(seconds=live_deadline or 0)


def merged_body(want: DesiredCronJob, live: KubeObject) -> dict[str, Any]:
    """The body of the PUT: our spec and metadata, other tools' labels and annotations, uid and version as fences."""
    ours, theirs = want.body["metadata"], live["metadata"]
    keep = {k: v for k, v in (theirs.get("annotations") or {}).items() if not k.startswith(OUR_DOMAIN)}
    labels = {k: v for k, v in (theirs.get("labels") or {}).items() if not k.startswith(OUR_DOMAIN)}
    metadata = {
        **ours,
        "labels": {**labels, **ours["labels"]},
        "annotations": {**keep, **ours["annotations"]},
        "uid": theirs["uid"],
        "resourceVersion": theirs["resourceVersion"],
    }
    if theirs.get("deletionTimestamp"):
        metadata["finalizers"] = [f for f in theirs.get("finalizers") or [] if f in GARBAGE_COLLECTION]
    return {**want.body, "metadata": metadata}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _ownership(app: App, live: KubeObject) -> str:
    """`ours`: our owner reference. `lost`: no controller, but it carries our uid. `foreign`: somebody else's."""
    owners = live["metadata"].get("ownerReferences") or []
    if any(o.get("controller") and o.get("uid") != app.uid for o in owners):
        return "foreign"
    if any(o.get("uid") == app.uid for o in owners):
        return "ours"
    annotations = live["metadata"].get("annotations") or {}
    if annotations.get(naming.OWNER_UID) == app.uid:
        return "lost"
    return "foreign"


def _adoptable(live: KubeObject) -> bool:
    """An object of the peer or one orphaned from an earlier CronixApp of this name: labelled, and nobody's child."""
    labels = live["metadata"].get("labels") or {}
    owners = live["metadata"].get("ownerReferences") or []
    orphan = labels.get(naming.MANAGED_BY) == naming.MANAGER
    return not owners and (orphan or labels.get(naming.PEER_MANAGED) == "true")


def _conflict_text(app: App, want: DesiredCronJob, live: KubeObject) -> str:
    references = live["metadata"].get("ownerReferences") or []
    if any((o.get("kind"), o.get("name")) == (KIND, app.name) and o.get("uid") != app.uid for o in references):
        return (  # two of one name cannot be at once: that one was deleted, alone or with its CRD
            f'CronJob "{want.name}" is still there from an earlier {KIND}/{app.name}, which was deleted; Kubernetes\' '
            "garbage collection removes it, and then it is made anew"
        )
    owners = [f"{o.get('kind')}/{o.get('name')}" for o in references]
    holder = f"belongs to {', '.join(owners)}" if owners else "has no owner"
    return (
        f'CronJob "{want.name}" already exists and {holder}; rename the job, delete that CronJob, or, if it came from '
        f"cronix, annotate the {KIND} with cronix.dev/adopt=true"
    )


def _pair_matches(known: Known | None, live: KubeObject, want: DesiredCronJob) -> bool:
    return (
        known is not None
        and known.uid == live["metadata"]["uid"]
        and known.rendered == want.spec_hash
        and known.live == spec_hash(live["spec"])
    )


def _metadata_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[str, ...]:
    fields: list[str] = []
    for part in ("labels", "annotations"):
        mine, live = ours[part], theirs.get(part) or {}
        in_domain = {k for k in live if k.startswith(OUR_DOMAIN)}
        fields += [f"metadata.{part}[{k}]" for k in sorted(set(mine) | in_domain) if mine.get(k) != live.get(k)]
    if theirs.get("ownerReferences") != ours["ownerReferences"]:
        fields.append("metadata.ownerReferences")
    if _foreign_finalizers(theirs):
        fields.append("metadata.finalizers")
    return tuple(fields)


def _foreign_finalizers(meta: Mapping[str, Any]) -> list[str]:
    dying = meta.get("deletionTimestamp") is not None
    return [f for f in meta.get("finalizers") or [] if not (dying and f in GARBAGE_COLLECTION)]


def _reason(owner: str, known: Known | None, want: DesiredCronJob, live: KubeObject) -> str:
    if owner == "foreign":
        return "Adopted"
    if owner == "lost":
        return "Drifted"  # somebody took our owner reference away
    recorded = (live["metadata"].get("annotations") or {}).get(naming.JOB_HASH_ANNOTATION)
    if known is not None and known.uid == live["metadata"]["uid"]:
        return "Drifted" if known.rendered == want.spec_hash else "Changed"
    return "Changed" if recorded != want.job_hash else "Drifted"


def _contested(name: str, what: str) -> Hold:
    return Hold(
        name,
        "DriftContested",
        f'CronJob "{name}": {what} {MAX_REPAIRS_PER_MINUTE} times within a minute, each time put right; '
        "find who else writes it (kubectl get cronjob -o yaml --show-managed-fields); trying again in a minute",
        retry_after_seconds=CONTESTED_WINDOW_SECONDS,
    )


def _is_contested(ground: Ground, name: str) -> bool:
    recent = [t for t in ground.repairs.get(name, ()) if ground.now_monotonic - t < CONTESTED_WINDOW_SECONDS]
    return len(recent) >= MAX_REPAIRS_PER_MINUTE


def owned_by(app: App, observed: Iterable[KubeObject]) -> list[KubeObject]:
    """Those that are ours beyond doubt: by owner uid and by a name that we give (attack T5).

    Labels only narrow a watch; anybody writes them. And a copy that someone made of one of ours, owner reference and
    all, under a name of his own, is his: it is not counted and not removed.
    """
    return [live for live in observed if _ownership(app, live) in {"ours", "lost"} and _is_our_name(app, live)]


def _is_our_name(app: App, live: KubeObject) -> bool:
    labels = live["metadata"].get("labels") or {}
    index = labels.get(naming.INDEX, "")
    if not (index.isascii() and index.isdigit() and len(index) <= 3):
        return False
    # The label has the id of the time when the object was made: spec.app may have been corrected since.
    ids = {labels.get(naming.APP, ""), app.app}
    return any(live["metadata"]["name"] == naming.cron_job_name(id_, job_of(live), int(index)) for id_ in ids)


def job_of(live: KubeObject) -> str:
    """The manifest's job name of an owned CronJob."""
    meta = live["metadata"]
    name: str = (meta.get("annotations") or {}).get(naming.JOB_NAME_ANNOTATION) or (meta.get("labels") or {}).get(
        naming.JOB, ""
    )
    return name


def absent_names(app: App, desired: Desired, observed: Iterable[KubeObject]) -> list[str]:
    """Owned CronJobs the manifest does not ask for; those of a job that cannot be rendered today are not absent."""
    wanted = {want.name for want in desired.cron_jobs}
    faulty = {fault.job for fault in desired.faults}
    # Whose it is takes longer to see than what it is called, and as a rule none is left to look at.
    unwanted = (live for live in observed if live["metadata"]["name"] not in wanted)
    return [live["metadata"]["name"] for live in owned_by(app, unwanted) if job_of(live) not in faulty]


def _removals(
    app: App, desired: Desired, observed: Sequence[KubeObject], verdict: Verdict
) -> tuple[list[Change], list[Hold]]:
    live_by_name = {live["metadata"]["name"]: live for live in observed}
    changes: list[Change] = []
    holds: list[Hold] = []
    for name in absent_names(app, desired, observed):
        if name in verdict.blocked:
            holds.append(Hold(name, "PruneBlocked", f'CronJob "{name}" waits for approval'))
        elif name not in verdict.allowed:
            holds.append(Hold(name, "PruneUnconfirmed", f'CronJob "{name}" is no longer in the manifest'))
        else:
            step = removal(live_by_name[name], name)
            (changes if isinstance(step, Change) else holds).append(step)  # type: ignore[arg-type]  # told apart here
    return changes, holds


def removal(live: KubeObject, name: str) -> Change | Hold:
    """Delete; while a run is active suspend first and wait: a run in flight ends before its CronJob goes."""
    if not (live.get("status") or {}).get("active"):
        return Change("delete", name, "NotInManifest", live=live)
    if live["spec"].get("suspend"):
        return Hold(name, "RunActive", f'CronJob "{name}" goes when its run has ended', RUN_POLL_SECONDS)
    return Change("suspend", name, "NotInManifest", live=live)
