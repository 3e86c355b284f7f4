"""Instants and spans as people read them; pure, the present is an argument."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86400


def span(seconds: float) -> str:
    """A length of time in at most two units: 0.8s, 42s, 4m12s, 15h02m, 3d4h, 90d."""
    seconds = abs(seconds)
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m{whole % MINUTE:02}s"
    if whole < DAY:
        return f"{whole // HOUR}h{whole % HOUR // MINUTE:02}m"
    days, hours = whole // DAY, whole % DAY // HOUR
    return f"{days}d{hours}h" if hours and days < 10 else f"{days}d"


def ago(then: datetime, now: datetime) -> str:
    """`4m12s ago`, or `in 4m12s` for what is to come; whole seconds."""
    seconds = round((now - then).total_seconds())
    return f"in {span(seconds)}" if then > now else f"{span(seconds)} ago"


def wall(instant: datetime, zone: tzinfo) -> str:
    """`2026-11-25 02:00 CET`; seconds only where there are some."""
    local = instant.astimezone(zone)
    return local.strftime("%Y-%m-%d %H:%M:%S %Z" if local.second else "%Y-%m-%d %H:%M %Z")


def weekday(instant: datetime, zone: tzinfo) -> str:
    """Mon to Sun, in English whatever the locale."""
    return ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[instant.astimezone(zone).weekday()]


def rfc3339(instant: datetime) -> str:
    """UTC with seconds, as Kubernetes writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed(text: Any) -> datetime | None:
    """The instant that a Kubernetes timestamp says, or None for anything else."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
