"""Which manifest counts: the one just fetched where it is good, else the last good one; bytes in, a verdict out.

The parser is strict and knows no context; this is where a bad answer is taken as a part of life: nothing that was not
accepted here can reach the plan, so no answer of an app can delete a CronJob by being broken (promise 2).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

from cronix_operator.core.advice import not_json, origin
from cronix_operator.core.errors import ReconcileError, Stalled, Waiting
from cronix_operator.core.keys import ReadKeys
from cronix_operator.core.memory import Good, Memory, manifest_digest
from cronix_operator.core.model import App, Endpoint, Now
from cronix_operator.core.prune import second_look
from cronix_operator.core.rotation import Rotation, next_promotion
from cronix_protocol.manifest import Manifest, ManifestInvalid, parse_document, parse_manifest

BACKOFF_FIRST_SECONDS = 5.0
MAX_FAULTS_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What asking for the manifest gave: an accepted `manifest` (`etag`, `body_hash`), a `fault`, or neither: not due.

    `unchanged`: the source said only that the last good manifest, which is `manifest`, still counts (304).
    `restored`: with a fault, the last good manifest as the CronJobs still have it, when memory has none.
    """

    manifest: Manifest | None = None
    endpoint: Endpoint | None = None
    fault: ReconcileError | None = None
    keys: ReadKeys | None = None  # None: the keys were not read
    rotation: Rotation | None = None  # None: nothing was asked about keys
    restored: Good | None = None
    etag: str | None = None
    body_hash: bytes = b""
    unchanged: bool = False

    @property
    def asked(self) -> bool:
        return self.fault is not None or self.manifest is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """`good` is the manifest to work with; `fresh` iff this walk fetched it; `fault`: why the last fetch failed.

    `keys`: by the last reading of the Secrets; None while there was none, as with a manifest that is not fetched.
    """

    good: Good
    fresh: bool
    fault: ReconcileError | None
    keys: ReadKeys | None


def is_due(app: App, memory: Memory, now: Now) -> bool:
    """Whether asking the source is due: first time, spec or `reconcile-at` changed, interval over, retry due."""
    changed = memory.generation != app.generation or memory.reconcile_at != app.reconcile_at
    changed = changed or memory.approve_prune != app.approve_prune or memory.probe_signature != app.probe_signature
    return changed or now.monotonic >= memory.next_fetch_monotonic


def asks(app: App, memory: Memory, now: Now) -> bool:
    """Whether this walk asks the source: when it is due, unless the app sleeps and a good manifest is at hand."""
    return not (app.suspend and memory.good is not None) and is_due(app, memory, now)


def settle(app: App, memory: Memory, answer: Answer, now: Now) -> Settled:
    """The manifest that counts; raises the fault itself when there is no good manifest to fall back on.

    A walk that did not ask (a CronJob changed) has the fault of the last asking: conditions must not come and go.
    """
    if answer.manifest is not None:
        good = _good(memory, answer.manifest, answer, now)
        return Settled(good, fresh=True, fault=None, keys=_keys(memory, answer))
    fault = answer.fault or memory.source_fault
    # After an edit of spec.app the last good manifest is another app's: it must not be applied under the new id.
    last_good = memory.good or answer.restored
    if last_good is None or last_good.manifest.app != app.app:
        raise fault or Waiting("NotFetched", "the manifest has not been fetched yet")
    return Settled(last_good, fresh=False, fault=fault, keys=_keys(memory, answer))


def _keys(memory: Memory, answer: Answer) -> ReadKeys | None:
    return memory.keys if answer.keys is None else answer.keys


def rotation_after(memory: Memory, answer: Answer) -> Rotation:
    """What is known of the keys' acceptance once this answer is in."""
    return memory.rotation if answer.rotation is None else answer.rotation


def hash_body(body: bytes) -> bytes:
    """What tells that an app serves the very same bytes again; kept in place of them."""
    return hashlib.sha256(body).digest()


def read_before(last: Good | None, body_hash: bytes) -> Manifest | None:
    """What these very bytes were read as, if they are those of the last good manifest."""
    return last.manifest if last is not None and body_hash and last.body_hash == body_hash else None


def accept(
    app: App, endpoint: Endpoint | None, document: object, max_cron_jobs: int, known: Manifest | None = None
) -> Manifest:
    """The manifest that a fetched document (bytes) or inline object holds; raises Stalled when it must not be used.

    `known`: what it was read as before (`read_before`). Whether it may be used is asked anew: the CronixApp may have
    been edited.
    """
    source = origin(app, endpoint)
    try:
        manifest = known or (parse_manifest(document) if isinstance(document, bytes) else parse_document(document))
    except ManifestInvalid as exc:
        shown = [f"{fault.path or '(document)'}: {fault.message}" for fault in exc.faults[:MAX_FAULTS_SHOWN]]
        more = len(exc.faults) - len(shown)
        rest = f"; and {more} more" if more else ""
        hint = not_json(document) if exc.faults[0].code == "decode" else ""
        raise Stalled("ManifestInvalid", f"{source} is not valid: {hint}{'; '.join(shown)}{rest}") from exc
    if manifest.app != app.app:
        raise Stalled(
            "AppMismatch",
            f'{source} says app "{manifest.app}", this CronixApp is for "{app.app}"; if that is the right app, '
            f"write spec.app: {manifest.app}",
        )
    count = sum(len(job.schedules) for job in manifest.jobs)
    if count > max_cron_jobs:
        raise Stalled(
            "TooManyJobs",
            f"{source} asks for {count} CronJobs (one for each schedule of each job), the operator allows "
            f"{max_cron_jobs} per app; what is there stays as it is. Join schedules, or have the operator's "
            "CRONIX_MAX_CRONJOBS_PER_APP raised",
        )
    return manifest


def _good(memory: Memory, manifest: Manifest, answer: Answer, now: Now) -> Good:
    if answer.unchanged and memory.good is not None:
        return dataclasses.replace(memory.good, fetched_at=now.utc)
    last = memory.good
    digest = last.digest if last is not None and last.manifest is manifest else manifest_digest(manifest)
    before = (last.digest, last.changed_at) if last is not None else memory.changed
    changed_at = before[1] if before is not None and before[0] == digest else now.utc
    return Good(manifest, digest, answer.endpoint, now.utc, changed_at, answer.etag, answer.body_hash)


def secret_refs(manifest: Manifest | None) -> tuple[str, ...]:
    """Every key name that a manifest uses, in its order; none before the first manifest."""
    if manifest is None:
        return ()
    names: Mapping[str, None] = dict.fromkeys(name for job in manifest.jobs for name in job.secret_refs)
    return tuple(names)


def after_attempt(app: App, memory: Memory, answer: Answer, now: Now, jitter: float) -> Memory:
    """The memory once the source was asked: what it gave, when to ask again, how often it has failed in a row.

    `jitter`: a random number in [-1, 1), taken at the door; it moves the next look by at most a tenth of the interval.
    An absence that waits for its second look brings that look forward (attack K4), and so does a key that waits to take
    over. A good manifest is kept even where
    the walk itself failed (the API server was away): the next walk goes on with it.
    """
    if not answer.asked:
        return memory
    fault = answer.fault
    failures = memory.consecutive_failures + 1 if fault else 0
    pause = app.interval_seconds * (1 + jitter / 10)
    if isinstance(fault, Waiting):
        growing = BACKOFF_FIRST_SECONDS * 2 ** min(failures - 1, 16)
        pause = min(pause, fault.retry_after_seconds or growing)
    next_fetch = now.monotonic + pause
    rotation = rotation_after(memory, answer)
    if fault is None:
        looks = [look for look in (second_look(memory.absences), next_promotion(rotation)) if look is not None]
        next_fetch = min([next_fetch, *(max(look, now.monotonic) for look in looks)])
    return dataclasses.replace(
        memory,
        keys=_keys(memory, answer),
        generation=app.generation,
        reconcile_at=app.reconcile_at,
        approve_prune=app.approve_prune,
        probe_signature=app.probe_signature,
        rotation=rotation,
        good=memory.good or answer.restored if answer.manifest is None else _good(memory, answer.manifest, answer, now),
        source_fault=fault,
        consecutive_failures=failures,
        next_fetch_monotonic=next_fetch,
    )
