"""CronixApps drawn at random from the CRD's own schema: most of them plausible, some of them nonsense, all hostile."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

# Values that get past the CRD's rules, by the field's name: what is behind the rules is to be reached, too.
_PLAUSIBLE: Mapping[str, Sequence[Any]] = {
    "app": ("shop", "a-b", "x" * 63),
    "url": (
        "https://192.0.2.7/m", "https://192.0.2.8/m", "https://shop.invalid/m", "http://puppet.elsewhere.svc:8080/m",
        "https://169.254.169.254/latest", "https://[::ffff:127.0.0.1]/m", "https://0x7f.1/m", "https://metadata/m",
    ),
    "name": ("puppet", "nobody", "a.b", "keys", "current", "x" * 63),
    "key": ("current", "previous", "manifest.json", "..data", "a_b"),
    "port": (8080, "http", 1, 65535, "web"),
    "path": ("/m", "/.well-known/cron-manifest", "/%2e%2e/x", "//x"),
    "interval": ("15s", "5m", "24h", "1m30s"),
    "timeout": ("1s", "2s", "10s"),
    "allowedHosts": ("*.example.com", "api.example.com:8443", "puppet"),
    "rewriteBaseURL": ("https://gw.example.com", "http://puppet:8080"),
    "jobs": ("*", "j?", "tick", "none-*"),
    "value": ("x", "", "two words", "\t"),
    "cpu": ("10m", 1, "0.5"), "memory": ("32Mi", "1Gi"), "example.com/gpu": (1, "2"),
    "priorityClassName": ("none-such", "system-cluster-critical"),
}  # fmt: skip
_KEYS = ("team", "example.com/a", "x" * 63, "cronix.dev/evil", "not a key", "")
_LEAVES: Sequence[Any] = (None, True, -1, 1e300, "", "\u0000", "$(HOME)", "é\u2028", "x" * 5000, [], {})
_SCHEDULES = (
    *["0 3 1 1 *"] * 12,
    "@yearly",
    "0 4 1 1 *",
    "61 * * * *",
    "@every 1s",
    "TZ=UTC 0 0 * * *",
    "0 0 31 2 *",
    7,
)


class RandomApps:
    """`spec()` again and again gives other specs; the same seed gives the same ones."""

    def __init__(self, schema: Schema, seed: int) -> None:
        self._schema = schema["properties"]["spec"]
        self._random = random.Random(seed)

    def spec(self, name: str) -> dict[str, Any]:
        """One spec: as a rule exactly one source and one kind of signing, as the CRD's rules want it."""
        spec: dict[str, Any] = self._object(self._schema, "")
        if self._chance(0.9):
            kind = self._random.choice(("service", "url", "url", "configMapKeyRef", "inline", "inline"))
            source = self._schema["properties"]["source"]["properties"]
            spec["source"] = {field: self._value(field, source[field]) for field in ("interval", "timeout")}
            spec["source"][kind] = (
                self.document(spec.get("app", name)) if kind == "inline" else self._value(kind, source[kind])
            )
            spec["signing"] = {"secretRef": {"name": "puppet-cron"}}
        return spec

    def annotations(self) -> dict[str, str]:
        """Our own annotations, with nonsense in them."""
        words = ("reconcile-at", "approve-prune", "suspended-jobs", "adopt", "evil")
        return {
            f"cronix.dev/{w}": self._random.choice(("true", "", ",,", "x" * 3000)) for w in words if self._chance(0.2)
        }

    def status(self, schema: Schema) -> dict[str, Any]:
        """A forged status."""
        found: dict[str, Any] = self._object(schema["properties"]["status"], "")
        return found

    def document(self, app: Any) -> Any:
        """An inline manifest: right, nearly right, or anything at all."""
        if self._chance(0.2):
            return {"hole": self._anything(4)}
        jobs = [self._job(n) for n in range(self._random.randint(0, 4))]
        document = {"version": 1, "app": self._random.choice((app, app, app, "other")), "jobs": jobs}
        if self._chance(0.2):
            document[self._random.choice(("version", "app", "jobs", "more"))] = self._anything(2)
        return document

    def _job(self, number: int) -> dict[str, Any]:
        job = {
            "name": self._random.choice((f"j{number}", "tick", "x" * 63)),
            "schedule": self._random.choice(_SCHEDULES),
            "request": {"url": self._random.choice((*_PLAUSIBLE["url"], *["http://puppet:8080/x"] * 20))},
        }
        if self._chance(0.3):
            job[self._random.choice((*job, "policy", "timezone", "auth", "headers"))] = self._anything(2)
        return job

    def _anything(self, depth: int) -> Any:
        if depth and self._chance(0.5):
            return [self._anything(depth - 1) for _ in range(3)]
        if depth and self._chance(0.5):
            return {key: self._anything(depth - 1) for key in ("a", "jobs", "é")}
        return self._random.choice(_LEAVES)

    def _object(self, schema: Schema, _: str) -> dict[str, Any]:
        required = schema.get("required", ())
        fields = schema.get("properties", {})
        found = {
            name: self._value(name, child) for name, child in fields.items() if name in required or self._chance(0.3)
        }
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            keys = self._random.sample((*_KEYS, "cpu", "memory", "example.com/gpu"), 2)
            found |= {key: self._value(key, more) for key in keys}
        if schema.get("x-kubernetes-preserve-unknown-fields") and self._chance(0.3):
            found["free"] = self._anything(3)
        return found

    def _value(self, name: str, schema: Schema) -> Any:
        if self._chance(0.01):
            return self._anything(2)
        makers: Mapping[str, Callable[[Schema, str], Any]] = {
            "object": self._object,
            "array": lambda s, n: [self._value(n, s["items"]) for _ in range(self._random.randint(1, 3))],
            "boolean": lambda s, n: self._chance(0.5),
            "integer": self._integer,
        }
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        if schema.get("type") in makers:
            return makers[schema["type"]](schema, name)
        return self._random.choice(_PLAUSIBLE.get(name, ("x", "true", "1")))

    def _integer(self, schema: Schema, _: str) -> int:
        low, high = schema.get("minimum", 0), schema.get("maximum", 2**31 - 1)
        return self._random.choice((low, high, self._random.randint(low, high)))

    def _chance(self, share: float) -> bool:
        return self._random.random() < share
