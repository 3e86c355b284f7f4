"""A Lease's record: who holds it, when another may take it, and what to write into it; pure.

As in every Kubernetes election nobody compares clocks of two machines: a waiting process times, on its own monotonic
clock, how long a record has stayed the same. `renewTime` is for people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """How long a lease lasts, in seconds; duration > renew deadline > retry.

    Others may take it when it was not renewed for the duration. Its holder stops writing earlier, at the renew
    deadline; the time in between is for requests that are on their way.
    """

    duration_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sighting:
    """One state of the record and since when (monotonic seconds) this process has seen it unchanged."""

    version: str
    holder: str
    duration_seconds: float
    since_monotonic: float


def sighted(lease: Mapping[str, Any], before: Sighting | None, now_monotonic: float) -> Sighting:
    """The record as it is; its time runs on while nothing about it changes."""
    version = lease["metadata"]["resourceVersion"]
    spec = lease.get("spec") or {}
    same = before is not None and before.version == version
    return Sighting(
        version=version,
        holder=spec.get("holderIdentity") or "",
        duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
        since_monotonic=before.since_monotonic if before is not None and same else now_monotonic,
    )


def may_take(seen: Sighting, me: str, now_monotonic: float) -> bool:
    """Whether `me` holds the lease, nobody does, or its holder was silent for as long as it had asked for."""
    return seen.holder in ("", me) or now_monotonic - seen.since_monotonic >= seen.duration_seconds


def claimed(spec: Mapping[str, Any], me: str, terms: Terms, now: datetime) -> dict[str, Any]:
    """The record's spec with `me` as the holder, renewed now."""
    moment = micro_time(now)
    mine = spec.get("holderIdentity") == me
    return {
        **spec,
        "holderIdentity": me,
        "leaseDurationSeconds": max(1, round(terms.duration_seconds)),
        "acquireTime": spec.get("acquireTime") or moment if mine else moment,
        "renewTime": moment,
        "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if mine or not spec else 1),
    }


def given_up(spec: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The record's spec with nobody as the holder, so that the next one need not wait."""
    return {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time(now)}


def micro_time(instant: datetime) -> str:
    """Kubernetes' MicroTime."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
