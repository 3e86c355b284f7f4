"""Typed fields out of an untrusted object, every fault collected with its path; no I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from cronix_operator.core.duration import parse_duration
from cronix_operator.core.model import SecretKey
from cronix_protocol.faults import path_segment, quoted

T = TypeVar("T")

MAX_TEXT = 8192
MAX_ITEM = 260
OBJECT_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
SERVICE_NAME = re.compile(r"(?=.{1,63}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
DATA_KEY = re.compile(r"(?!\.\.)(?!\.\Z)[-._a-zA-Z0-9]{1,253}")
JOB_GLOB = re.compile(r"[a-z0-9*?-]{1,63}")
JOB_GLOB_RULE = "a job's name, in which * and ? are wildcards"
_NAME_RULE = "the bare name of an object of this namespace: small letters, digits, dashes and dots"
_KEY_RULE = "one key of the object's data: letters, digits, dashes, dots and underscores"


class SpecReader:
    """Reads typed fields out of one object. A wrong one gives a fault and an empty value, so that reading goes on.

    Names go into the paths of API requests, so none may hold a slash: `../secrets/x` must not travel (attack T1).
    """

    def __init__(self) -> None:
        self.faults: list[str] = []

    def fault(self, path: str, message: str) -> None:
        self.faults.append(f"{path}: {message}")

    def mapping(self, parent: Mapping[str, Any], field: str, path: str) -> Mapping[str, Any]:
        value = parent.get(field)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fault(f"{path}.{field}".lstrip("."), "must be an object")
            return {}
        return value

    def items(self, parent: Mapping[str, Any], field: str, path: str, limit: int = 64) -> list[Any]:
        value = parent.get(field)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > limit:
            self.fault(f"{path}.{field}", f"must be a list of at most {limit}")
            return []
        return value

    def entries(
        self, parent: Mapping[str, Any], field: str, path: str, limit: int = 64
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """The objects of a list, each with its path."""
        found = []
        for i, item in enumerate(self.items(parent, field, path, limit)):
            place = f"{path}.{field}[{i}]"
            if isinstance(item, Mapping):
                found.append((place, item))
            else:
                self.fault(place, "must be an object")
        return found

    def scalar(self, parent: Mapping[str, Any], field: str, path: str, kind: type[T]) -> T | None:
        value = parent.get(field)
        # bool is an int in Python: `true` must not pass for a number.
        if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
            return value
        self.fault(f"{path}.{field}", f"must be of type {kind.__name__}")
        return None

    def whole(self, parent: Mapping[str, Any], field: str, path: str, low: int, high: int) -> int | None:
        """An integer within bounds, or None when it is not there."""
        value = self.scalar(parent, field, path, int)
        if value is not None and not low <= value <= high:
            self.fault(f"{path}.{field}", f"must be from {low} to {high}")
            return None
        return value

    def text(self, parent: Mapping[str, Any], field: str, path: str) -> str | None:
        value = self.scalar(parent, field, path, str)
        if value is not None and len(value) > MAX_TEXT:
            self.fault(f"{path}.{field}", f"must be at most {MAX_TEXT} characters")
            return None
        return value

    def choice(self, parent: Mapping[str, Any], field: str, path: str, among: Collection[str]) -> str | None:
        value = self.text(parent, field, path)
        if value is None or value in among:
            return value
        self.fault(f"{path}.{field}", f"must be {' or '.join(among)}, not {quoted(value)}")
        return None

    def required_text(self, parent: Mapping[str, Any], field: str, path: str) -> str:
        value = self.text(parent, field, path)
        if not value:
            self.fault(f"{path}.{field}", "is required")
        return value or ""

    def matching(self, parent: Mapping[str, Any], field: str, path: str, pattern: re.Pattern[str], rule: str) -> str:
        """A required text of a given form."""
        value = self.required_text(parent, field, path)
        if value and not pattern.fullmatch(value):
            self.fault(f"{path}.{field}", f"{quoted(value)} is not {rule}")
            return ""
        return value

    def object_name(self, parent: Mapping[str, Any], path: str, pattern: re.Pattern[str] = OBJECT_NAME) -> str:
        return self.matching(parent, "name", path, pattern, _NAME_RULE)

    def data_key(self, parent: Mapping[str, Any], path: str) -> str:
        return self.matching(parent, "key", path, DATA_KEY, _KEY_RULE)

    def secret_key(self, parent: Mapping[str, Any], field: str, path: str) -> SecretKey:
        """A required reference to one key of a Secret."""
        ref = self.mapping(parent, field, path)
        path = f"{path}.{field}"
        return SecretKey(self.object_name(ref, path), self.data_key(ref, path))

    def matching_items(
        self, parent: Mapping[str, Any], field: str, path: str, pattern: re.Pattern[str], rule: str
    ) -> tuple[str, ...]:
        """The texts of a list, each of a given form."""
        found = []
        for i, item in enumerate(self.items(parent, field, path, 32)):
            if isinstance(item, str) and len(item) <= MAX_ITEM and pattern.fullmatch(item):
                found.append(item)
            else:
                self.fault(f"{path}.{field}[{i}]", f"{quoted(str(item)[:100])} is not {rule}")
        return tuple(found)

    def texts(self, parent: Mapping[str, Any], field: str, path: str) -> dict[str, str]:
        """An object whose values are all strings."""
        found = {}
        for key, value in self.mapping(parent, field, path).items():
            if isinstance(value, str):
                found[key] = value
            else:
                self.fault(f"{path}.{field}[{path_segment(key)}]", "must be a string")
        return found

    def unknown(self, parent: Mapping[str, Any], path: str, known: Collection[str]) -> None:
        """Tell every field that is not among `known`."""
        for field in parent:
            if field not in known:
                self.fault(
                    f"{path}.{path_segment(str(field))}", f"there is no such field; there are {', '.join(known)}"
                )

    def seconds(self, parent: Mapping[str, Any], field: str, path: str, default: str, bounds: tuple[int, int]) -> float:
        """The seconds of a duration within bounds."""
        text = self.text(parent, field, path) or default
        try:
            seconds = parse_duration(text)
        except ValueError as exc:
            self.fault(f"{path}.{field}", str(exc))
            return parse_duration(default)
        if not bounds[0] <= seconds <= bounds[1]:
            self.fault(f"{path}.{field}", f"{quoted(text)} is out of bounds; write {bounds[0]}s to {bounds[1]}s")
        return seconds
