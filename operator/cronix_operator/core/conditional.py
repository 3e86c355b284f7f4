"""When to ask "has it changed since?" (If-None-Match), and with which ETag; no I/O.

A 304 counts as a good fetch of the last good manifest, but it never confirms a removal: while a CronJob is missing from
the manifest the whole of it is asked for, so that two full answers, or one after a 304, have to agree (promise 2).
"""

from __future__ import annotations

import re

from cronix_operator.core.memory import Good, Memory
from cronix_operator.core.model import App, Endpoint, KeyMaterial

# RFC 9110 section 8.8.3, without bytes beyond ASCII; the bound is ours. It goes back over the wire: no CR, no LF.
_ETAG = re.compile(r'(?:W/)?"[!#-~]{1,250}"')


def usable_etag(header: str | None) -> str | None:
    """The ETag of an answer where it is one that may be sent back, else None: what an app makes up may be anything."""
    return header if header is not None and _ETAG.fullmatch(header) else None


def is_same(etag: str, other: str) -> bool:
    """Weak comparison: `W/` does not count (RFC 9110 section 8.8.3.2)."""
    return etag.removeprefix("W/") == other.removeprefix("W/")


def to_compare(app: App, memory: Memory, endpoint: Endpoint, material: KeyMaterial) -> Good | None:
    """The last good manifest, with an ETag, if it is enough to hear that it has not changed; else None.

    Not after an edit of the CronixApp or when a person asks for a reading, not from another address, not after a fetch
    that failed, not while a removal waits to be confirmed, and not while there is more than one key: then the answer is
    also the app's word on which one it accepts, and a 304 may come from something that looked at the ETag only.
    """
    good = memory.good
    if good is None or good.etag is None or good.endpoint is None or good.endpoint.url != endpoint.url:
        return None
    asked_anew = memory.generation != app.generation or memory.reconcile_at != app.reconcile_at
    one_key = len(material.keys) == 1 and memory.probe_signature == app.probe_signature
    return good if one_key and not (asked_anew or memory.source_fault is not None or memory.absences) else None
