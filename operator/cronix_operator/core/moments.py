"""Times as Kubernetes writes them: text in, UTC out, and back; never raises on what it reads."""

from __future__ import annotations

from datetime import UTC, datetime


def time_of(value: object) -> datetime | None:
    """An RFC 3339 time with a zone, in UTC; None for anything else."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
        # Room at both ends, so that no sum with a deadline leaves the calendar.
        return moment.astimezone(UTC) if moment.tzinfo is not None and 1970 <= moment.year < 3000 else None
    except (ValueError, OverflowError):
        return None


def timestamp(instant: datetime) -> str:
    """RFC 3339 in UTC with whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
