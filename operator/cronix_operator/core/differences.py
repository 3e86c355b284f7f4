"""The first JSON paths in which two objects differ, for the person who reads the Event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MAX_FIELDS = 3


def first_differences(desired: Any, live: Any, path: str = "") -> tuple[str, ...]:
    """Up to three paths, e.g. `spec.jobTemplate.spec.template.spec.containers[0].image`; empty iff equal."""
    found: list[str] = []
    for difference in _walk(desired, live, path):
        found.append(difference)
        if len(found) == MAX_FIELDS:
            break
    return tuple(found)


def _walk(desired: Any, live: Any, path: str) -> Iterator[str]:
    if isinstance(desired, dict) and isinstance(live, dict):
        for key in sorted({*desired, *live}):
            if key not in desired or key not in live:
                yield f"{path}.{key}"
            else:
                yield from _walk(desired[key], live[key], f"{path}.{key}")
    elif isinstance(desired, list) and isinstance(live, list):
        for i in range(max(len(desired), len(live))):
            if i >= len(desired) or i >= len(live):
                yield f"{path}[{i}]"
            else:
                yield from _walk(desired[i], live[i], f"{path}[{i}]")
    elif desired != live:
        yield path
