"""The CronixApps that there are, with what is known of each; whose a CronJob is. No I/O, no decision about a write."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

from cronix_operator.core import naming
from cronix_operator.core.app import GROUP
from cronix_operator.core.memory import Memory, recalled
from cronix_operator.core.model import KubeObject, Subject
from cronix_operator.core.touchup import Seen
from cronix_operator.ports import Key

STATUS_COALESCE_SECONDS = 10.0
# What only a start moved waits, so that the run's end does not find its write spent: counters come with that write.
STARTS_WAIT_SECONDS = 12.0
_READ_ANNOTATIONS = "cronix.dev/"


@dataclasses.dataclass(slots=True)
class Tenant:
    """One CronixApp as last seen: its body, the core's memory of it, the status last written and when, failed walks.

    `started_monotonic`: since when a start waits to be shown in status.

    Whoever holds `lock` is the one writer of `memory`: a walk or a touch-up. `touched`: CronJobs, by name, of which the
    watch told meanwhile.
    """

    body: Mapping[str, Any]
    memory: Memory
    status: Mapping[str, Any]
    written_monotonic: float = float("-inf")
    started_monotonic: float | None = None
    failures: int = 0
    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    touched: dict[str, Seen] = dataclasses.field(default_factory=dict)

    @property
    def subject(self) -> Subject:
        meta = self.body["metadata"]
        return Subject(meta["namespace"], meta["name"], meta["uid"])

    def pause(self, now_monotonic: float) -> float:
        """Seconds until the status may be written again for what only runs did."""
        return max(0.0, self.written_monotonic + STATUS_COALESCE_SECONDS - now_monotonic)

    def pause_of_start(self, now_monotonic: float) -> float:
        """Seconds until the status may be written for what only a start moved, of which this may be the first news."""
        if self.started_monotonic is None:
            self.started_monotonic = now_monotonic
        return max(self.started_monotonic + STARTS_WAIT_SECONDS - now_monotonic, self.pause(now_monotonic))

    def written(self, status: Mapping[str, Any], now_monotonic: float) -> None:
        """This status was written."""
        self.status, self.written_monotonic, self.started_monotonic = status, now_monotonic, None


def new_tenant(body: Mapping[str, Any]) -> Tenant:
    """A CronixApp that is seen for the first time in this process."""
    status = dict(body.get("status") or {})
    return Tenant(body, recalled(status), status)


def asked_of(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What a person can change on a CronixApp that asks for a walk: the spec (by generation) and our annotations."""
    meta = body["metadata"]
    annotations = meta.get("annotations") or {}
    ours = tuple(sorted((k, v) for k, v in annotations.items() if k.startswith(_READ_ANNOTATIONS)))
    return (meta["uid"], meta.get("generation"), ours)


def owners_of(body: KubeObject, tenants: Mapping[Key, Tenant]) -> set[Key]:
    """The CronixApps that must look at a CronJob: those it names, and the one whose it is all the same."""
    meta = body["metadata"]
    namespace = meta["namespace"]
    owners = meta.get("ownerReferences") or []
    named = {(namespace, str(o.get("name"))) for o in owners if str(o.get("apiVersion")).startswith(f"{GROUP}/")}
    if len(owners) != 1 or not named & tenants.keys():
        # Taken away or falsified: whoever has this object among the last writes is its owner.
        named |= {k for k, t in tenants.items() if k[0] == namespace and meta["name"] in t.memory.pairs}
    marked = {(meta.get(part) or {}).get(naming.OWNER_UID) for part in ("labels", "annotations")} - {None}
    if marked - {owner.get("uid") for owner in owners}:
        named |= {k for k, t in tenants.items() if k[0] == namespace and t.body["metadata"]["uid"] in marked}
    return named & tenants.keys()
