"""Who wrote what: reads the API server's audit log (JSON lines) and counts writes between two moments."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronix_cluster.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_COMPLETE = "ResponseComplete"
# An entry is written when the request's handler has returned, which may be just after the client has its answer.
SETTLE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One finished request; `name` may be empty (generateName); `offset` is where the next entry starts."""

    verb: str
    user: str
    resource: str
    subresource: str
    api_group: str
    namespace: str
    name: str
    status: int
    user_agent: str
    received: str
    offset: int

    @property
    def is_write(self) -> bool:
        """Whether it changed something or tried to."""
        return self.verb in WRITE_VERBS


def parse_entry(line: bytes, offset: int) -> AuditEntry | None:
    """One line of the log; None for other stages, requests that are about no object, and lines that are no entry."""
    try:
        raw = json.loads(line)
    except ValueError:
        return None
    if not isinstance(raw, dict) or raw.get("stage") != _COMPLETE or not isinstance(raw.get("objectRef"), dict):
        return None
    ref = raw["objectRef"]
    return AuditEntry(
        verb=raw.get("verb", ""),
        user=raw.get("user", {}).get("username", ""),
        resource=ref.get("resource", ""),
        subresource=ref.get("subresource", ""),
        api_group=ref.get("apiGroup", ""),
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        status=int(raw.get("responseStatus", {}).get("code", 0)),
        user_agent=raw.get("userAgent", ""),
        received=raw.get("requestReceivedTimestamp", ""),
        offset=offset,
    )


def read_audit(since_offset: int = 0, log: Path | None = None) -> Iterator[AuditEntry]:
    """Finished requests from a byte offset on, oldest first; a last line still being written is left for next time."""
    with (log or Paths().audit_log).open("rb") as file:
        file.seek(since_offset)
        offset = since_offset
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            entry = parse_entry(line, offset)
            if entry is not None:
                yield entry


class AuditMark:
    """A moment in the audit log: `entries()` and `writes()` are about what came after it."""

    def __init__(self, log: Path | None = None, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._log = log or Paths().audit_log
        self._settle_seconds = settle_seconds
        time.sleep(settle_seconds)  # the entry of a request of before, whose effect has been seen, may be on its way
        self._offset = self._log.stat().st_size

    def entries(
        self,
        *,
        verb: str | None = None,
        resource: str | None = None,
        user: str | None = None,
        name: str | None = None,
        namespace: str | None = None,
    ) -> list[AuditEntry]:
        """Finished requests since the mark that match; `resource` is `cronjobs`, `cronjobs/status`, …."""
        time.sleep(self._settle_seconds)

        def matches(entry: AuditEntry) -> bool:
            full = f"{entry.resource}/{entry.subresource}" if entry.subresource else entry.resource
            pairs = (
                (verb, entry.verb),
                (resource, full),
                (user, entry.user),
                (name, entry.name),
                (namespace, entry.namespace),
            )
            return all(wanted is None or wanted == actual for wanted, actual in pairs)

        return [entry for entry in read_audit(self._offset, self._log) if matches(entry)]

    def writes(self, **filters: str) -> list[AuditEntry]:
        """The writes among `entries`."""
        return [entry for entry in self.entries(**filters) if entry.is_write]

    def count_writes(self, **filters: str) -> Counter[tuple[str, str]]:
        """How many writes of each (verb, resource[/subresource])."""
        return Counter(
            (e.verb, f"{e.resource}/{e.subresource}" if e.subresource else e.resource) for e in self.writes(**filters)
        )
