"""Which names of time zones Kubernetes takes; the list of zones is an argument, for asking the file system is I/O."""

import re
from collections.abc import Collection

from cronix_protocol.faults import closest, quoted

# kubernetes 1.34, pkg/apis/batch/validation: validTimeZoneCharacters, applied to each part between slashes.
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")


def zone_fault(name: str, zones: Collection[str]) -> str | None:
    """Why the API server refuses `name` as a CronJob's timeZone, with what to write instead, or None.

    Kubernetes compares names as its files are named: case counts. `Local` would be the controller's own zone.
    Source: kubernetes 1.34, pkg/apis/batch/validation/validation.go validateTimeZone.
    """
    if not name:
        return 'is empty; write an IANA name such as "Europe/Paris", or leave the field out for UTC'
    if name.casefold() == "local":
        return f'{quoted(name)} would be the controller\'s own zone; write an IANA name such as "Europe/Paris" or UTC'
    if name in zones and all(map(_is_zone_part, name.split("/"))):
        return None
    near = closest(name, zones)
    advice = f"did you mean {near}?" if near else 'write an IANA name such as "Europe/Paris", or UTC'
    return f"unknown time zone {quoted(name)}; {advice}"


def _is_zone_part(part: str) -> bool:
    return part not in (".", "..") and not part.startswith("-") and _ZONE_PART.fullmatch(part) is not None
