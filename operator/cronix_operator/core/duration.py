"""Go-style durations ("1h30m") to seconds; what Kubernetes users write."""

from __future__ import annotations

import re

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `90s`, `1h30m`; ValueError (with an example) on anything else."""
    if not text or not re.fullmatch(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+", text, re.ASCII):
        raise ValueError(f'"{text}" is not a duration; write it like 30s, 5m or 1h30m')
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
