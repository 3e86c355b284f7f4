"""What the operator remembers of one app between two walks down the corridor; frozen, replaced as a whole.

Nothing here is needed for safety: a restart forgets it all and the next walk is merely more careful (a prune starts to
count again). What saves writes over a restart (`pairs`) is read back from the CronixApp's status.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.keys import ReadKeys
from cronix_operator.core.model import Endpoint
from cronix_operator.core.prune import Absence
from cronix_operator.core.rotation import Rotation
from cronix_operator.core.rotation import recalled as recalled_rotation
from cronix_protocol.canonical import canonical_json
from cronix_protocol.manifest import Manifest

_sorted_json = json.JSONEncoder(sort_keys=True).encode  # made once, as in render


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """One CronJob as last written or found in step: spec hashes of what we rendered and of what the server made of it.

    `metadata` and `status` let an event be told from our own echo, `version` (resourceVersion) says of which version
    all of this was; they do not outlive the process.
    """

    uid: str
    rendered: str
    live: str
    metadata: str = ""
    version: str = ""
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def manifest_digest(manifest: Manifest) -> str:
    """`sha256:<hex>` of the canonical form: what status calls the manifest's hash, and what an approval names."""
    return "sha256:" + hashlib.sha256(canonical_json(manifest)).hexdigest()


def fingerprint(live: Mapping[str, Any]) -> str:
    """128 bits, as hex digits, over the part of an object's metadata that people and tools write."""
    meta = live["metadata"]
    parts = (meta.get(part) for part in ("labels", "annotations", "ownerReferences", "finalizers"))
    text = _sorted_json([*parts, meta.get("deletionTimestamp")])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclasses.dataclass(frozen=True, slots=True)
class Good:
    """The last manifest that was accepted: its digest, where it came from, when it was fetched and when it changed.

    `etag`: what its source calls this version of it, None where it does not say. `body_hash`: of the bytes that it was
    read from, b"" where it was not fetched.
    """

    manifest: Manifest
    digest: str
    endpoint: Endpoint | None
    fetched_at: datetime
    changed_at: datetime
    etag: str | None = None
    body_hash: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """`generation` and `reconcile_at`: the last ones handled; another value makes a fetch due at once.

    `source_fault`: why the last asking of the source failed; it stands until the next one. `changed`: digest of the
    manifest that status spoke of at the start, and when it had changed. `absences`: owned CronJobs that the manifest
    did not name. `repairs`: CronJob name → monotonic seconds of its recent repairs.
    """

    generation: int = -1
    reconcile_at: str | None = None
    approve_prune: str | None = None
    probe_signature: str | None = None
    good: Good | None = None
    source_fault: ReconcileError | None = None
    changed: tuple[str, datetime] | None = None
    next_fetch_monotonic: float = 0.0
    consecutive_failures: int = 0
    pairs: Mapping[str, Known] = dataclasses.field(default_factory=dict)
    keys: ReadKeys | None = None
    absences: Mapping[str, Absence] = dataclasses.field(default_factory=dict)
    repairs: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    rotation: Rotation = dataclasses.field(default_factory=Rotation)


def recalled(status: Mapping[str, Any]) -> Memory:
    """The memory an operator starts with: the hash pairs it wrote into status before it was restarted.

    Status is written by us alone, but anybody may edit it: a forged pair can at worst hide one drift until the next
    change, and a row that makes no sense is skipped.
    """
    pairs = {}
    rows = status.get("jobs")
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, Mapping):
            continue
        rendered, _, live = str(row.get("specHash", "")).partition("/")
        if rendered and live and row.get("cronJobName") and row.get("cronJobUID"):
            pairs[str(row["cronJobName"])] = Known(uid=str(row["cronJobUID"]), rendered=rendered, live=live)
    probe_signature = status.get("lastHandledProbeSignature")
    return Memory(
        pairs=pairs,
        changed=_recalled_change(status.get("manifest")),
        probe_signature=probe_signature if isinstance(probe_signature, str) else None,
        rotation=recalled_rotation(status),
    )


def _recalled_change(manifest: object) -> tuple[str, datetime] | None:
    if not isinstance(manifest, Mapping):
        return None
    try:
        changed_at = datetime.fromisoformat(str(manifest.get("lastChangeTime")))
    except ValueError:
        return None
    return (str(manifest.get("hash")), changed_at) if changed_at.tzinfo else None
