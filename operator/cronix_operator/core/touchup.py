"""What it takes to put one CronJob right without a look at all of its app; values in, values out; no I/O.

A walk reads and renders every job of an app; somebody who edits one CronJob needs one of them. Only what a walk would
do as well is done here: the same rendering, the same decision, the same memory afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cronix_operator.core.memory import Memory, fingerprint
from cronix_operator.core.model import App, Change, Desired, Done, KubeObject, Now, Plan
from cronix_operator.core.naming import cron_job_name
from cronix_operator.core.outcome import known_after, recent_repairs
from cronix_operator.core.plan import Ground, decide
from cronix_operator.core.render import spec_hash
from cronix_protocol.manifest import Manifest

MAX_AT_ONCE = 8  # more changes of one app than this are for a walk, which writes in parallel


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A CronJob as a watch has shown it. `body`: None where it was not kept.

    `live`: hash of its spec, "" where only the version was looked at; then `metadata` is empty as well.
    """

    name: str
    uid: str
    version: str
    live: str
    metadata: str
    status: Mapping[str, Any]
    body: KubeObject | None


def seen(memory: Memory, body: KubeObject, *, keep: bool) -> Seen:
    """What a watch event says; without `keep` too little to repair on, and small.

    What a walk under way has just made is not known yet, and what we know in this very version is no news: of both the
    version is enough, for the hashes are most of what an event costs.
    """
    meta = body["metadata"]
    known = memory.pairs.get(meta["name"])
    is_echo = known is None or known.version == meta["resourceVersion"]
    return Seen(
        name=meta["name"],
        uid=meta["uid"],
        version=meta["resourceVersion"],
        live="" if is_echo else spec_hash(body["spec"]),
        metadata="" if is_echo else fingerprint(body),
        status=body.get("status") or {},
        body=body if keep and not is_echo else None,
    )


def is_news(memory: Memory, what: Seen) -> bool:
    """Whether somebody else did this: it is not what our last write or look left behind."""
    known = memory.pairs.get(what.name)
    if known is None or known.uid != what.uid:
        return True
    return known.version != what.version and (known.live, known.metadata) != (what.live, what.metadata)


def has_run(memory: Memory, what: Seen) -> bool:
    """Whether its status is another than at our last write or look."""
    known = memory.pairs.get(what.name)
    return known is not None and known.status != what.status


def only(app: App, memory: Memory, name: str) -> Manifest | None:
    """The last good manifest with no job but the one that CronJob `name` is of; None when a walk has to decide.

    That is the case before the first good manifest, after an edit of `spec.app`, and for a name that the manifest does
    not ask for or that we never wrote: whether to adopt, to prune or to complain takes a look at everything.
    """
    if memory.good is None or memory.good.manifest.app != app.app or name not in memory.pairs:
        return None
    manifest = memory.good.manifest
    for job in manifest.jobs:
        if any(cron_job_name(app.app, job.name, index) == name for index in range(len(job.schedules))):
            return Manifest(manifest.version, manifest.app, (job,))
    return None


def repair(app: App, desired: Desired, what: Seen, ground: Ground) -> Plan | None:
    """The one write that puts it back; None where there is nothing to put back, or more to it than that.

    Where this app would render something else than what was last written, a walk is due or held back on purpose (an
    edit, a suspension, a signer that is rolled out in turns): then it is the walk's.
    """
    want = next((want for want in desired.cron_jobs if want.name == what.name), None)
    if want is None or what.body is None or ground.pairs[what.name].rendered != want.spec_hash:
        return None
    change = decide(app, want, what.body, ground)
    if isinstance(change, Change) and change.verb == "update" and change.reason == "Drifted":
        return Plan((change,), (), (), ())
    return None


def after_repair(memory: Memory, results: Sequence[Done], now: Now) -> Memory | None:
    """The memory once these repairs were made; None where one was refused or has to be told: that is for a walk."""
    if any(done.fault is not None or done.live is None for done in results):
        return None
    pairs = {**memory.pairs, **known_after(results)}
    return dataclasses.replace(memory, pairs=pairs, repairs=recent_repairs(memory, results, now))
