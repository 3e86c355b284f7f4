"""Every single change that somebody could make to a live object, derived from it and from the server's own schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

Schemas = Mapping[str, Mapping[str, Any]]
Patch = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Tampering:
    """One change: `verb` (edit, remove, add), the path as our Events write it, and the JSON patch that does it."""

    verb: str
    path: str
    patch: Patch

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


def tamperings(live: Any, schema: Mapping[str, Any], schemas: Schemas, path: str, pointer: str) -> Iterator[Tampering]:
    """Each leaf edited, each field and item removed, each field that the schema has and the object lacks added."""
    schema = _resolved(schema, schemas)
    if isinstance(live, dict):
        for name, value in live.items():
            below = f"{pointer}/{_escaped(name)}"
            child = schema.get("properties", {}).get(name) or schema.get("additionalProperties") or {}
            yield Tampering("remove", f"{path}.{name}", [{"op": "remove", "path": below}])
            yield from tamperings(value, child, schemas, f"{path}.{name}", below)
        for name, child in _absent(live, schema):
            value = _sample(name, child, schemas)
            op = {"op": "add", "path": f"{pointer}/{_escaped(name)}", "value": value}
            yield Tampering("add", f"{path}.{name}", [op])
    elif isinstance(live, list):
        items = schema.get("items", {})
        for i, value in enumerate(live):
            yield Tampering("remove", f"{path}[{i}]", [{"op": "remove", "path": f"{pointer}/{i}"}])
            yield from tamperings(value, items, schemas, f"{path}[{i}]", f"{pointer}/{i}")
        extra = _sample(path.rpartition(".")[2], items, schemas)
        yield Tampering("add", f"{path}[{len(live)}]", [{"op": "add", "path": f"{pointer}/-", "value": extra}])
    else:
        yield Tampering("edit", path, [{"op": "replace", "path": pointer, "value": _other(path, live, schema)}])


def _absent(live: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield "example.com/added", schema["additionalProperties"]
    yield from ((name, child) for name, child in schema.get("properties", {}).items() if name not in live)


# What the server accepts in a field of this name, where its schema says no more than "string".
_WORDS: Mapping[str, Any] = {
    "timeZone": "Asia/Tokyo", "schedule": "5 5 5 5 *", "image": "example.com/evil:1", "mountPath": "/added",
    "key": "added",
    "ip": "10.9.8.7", "hostnames": "evil", "podIP": "10.9.8.7", "nameservers": "10.9.8.7", "searches": "evil.example",
    "path": "added", "topologyKey": "zone", "cpu": "77m", "memory": "77Mi", "operator": "Exists",
    "effect": "NoSchedule",
    "claims": {"name": "x"}, "priorityClassName": "system-node-critical", "add": "NET_ADMIN", "drop": "CHOWN",
    "fieldPath": "metadata.name", "resource": "limits.cpu", "managedBy": "example.com/other", "manualSelector": False,
    "volumes": {"name": "added", "emptyDir": {}}, "initContainers": {"name": "added", "image": "example.com/evil:1"},
    "containers": {"name": "sidecar", "image": "example.com/evil:1"}, "env": {"name": "ADDED", "value": "x"},
    "envFrom": {"secretRef": {"name": "anybody-s"}}, "ports": {"containerPort": 8080, "protocol": "TCP"},
    "lifecycle": {"postStart": {"exec": {"command": ["id"]}}}, "livenessProbe": {"exec": {"command": ["id"]}},
    "readinessProbe": {"exec": {"command": ["id"]}}, "volumeMounts": {"name": "keys", "mountPath": "/added"},
    "appArmorProfile": {"type": "Unconfined"}, "seccompProfile": {"type": "Unconfined"}, "type": "Unconfined",
    "mountPropagation": "HostToContainer", "recursiveReadOnly": "IfPossible", "seLinuxChangePolicy": "Recursive",
    "tolerations": {"operator": "Exists"}, "sources": {"secret": {"name": "anybody-s"}}, "os": {"name": "linux"},
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "x", "operator": "Exists"}]}]}}},
    "topologySpreadConstraints": {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
    "readinessGates": {"conditionType": "example.com/never"}, "schedulingGates": {"name": "example.com/never"},
    "onPodConditions": {"type": "Example", "status": "True"}, "values": 9, "completions": 1, "parallelism": 2,
    "rules": {"action": "Count", "onExitCodes": {"operator": "In", "values": [9]}},
    "sysctls": {"name": "a", "value": "b"},
    "seLinuxOptions": {"level": "s0"}, "dnsConfig": {"nameservers": ["10.9.8.7"]}, "procMount": "Default",
    "restartPolicy": "OnFailure", "dnsPolicy": "Default", "preemptionPolicy": "Never", "runtimeClassName": "evil",
    "terminationMessagePath": "/added", "subPath": "added", "medium": "Memory", "podFailurePolicy": {"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [9]}}]},
}  # fmt: skip


def _sample(name: str, schema: Mapping[str, Any], schemas: Schemas) -> Any:
    """A small value for a field of this name."""
    schema = _resolved(schema, schemas)
    kind = schema.get("type")
    if kind == "array":
        return [_sample(name, schema.get("items", {}), schemas)]
    if name in _WORDS:
        return _WORDS[name]
    if schema.get("enum"):
        return schema["enum"][0]
    if kind == "object":
        wanted = schema.get("required") or []
        return {field: _sample(field, schema["properties"][field], schemas) for field in wanted}
    return {"boolean": True, "integer": 7}.get(str(kind), "added")


def _other(path: str, live: Any, schema: Mapping[str, Any]) -> Any:
    name = path.rpartition(".")[2].partition("[")[0]
    if isinstance(live, bool):
        return not live
    if isinstance(live, int):
        return live + 10
    others = [word for word in (*schema.get("enum", ()), _WORDS.get(name)) if isinstance(word, str) and word != live]
    return others[0] if others else f"{live}-x"


def _resolved(schema: Mapping[str, Any], schemas: Schemas) -> Mapping[str, Any]:
    for part in schema.get("allOf", [schema]):
        if "$ref" in part:
            return _resolved(schemas[part["$ref"].rpartition("/")[2]], schemas)
    return schema


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
