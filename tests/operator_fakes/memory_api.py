"""An API server in memory, as far as the operator speaks to one; the real edges talk to it.

It keeps what matters for correctness: uid and resourceVersion are fences (409), a PUT that changes nothing stores
nothing, `generation` moves with the spec, status is a subresource, a DELETE obeys its preconditions. What it does not
have: validation, defaulting (unless `admit` does it), garbage collection, watches.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from cronix_operator.core.errors import Waiting
from cronix_operator.edges.api import Reply

Object = dict[str, Any]
_PATH = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?P<status>/status)?"
)


def _copy(value: Any) -> Any:
    """What a trip over the wire makes of a value."""
    return json.loads(json.dumps(value))


class MemoryApi:
    """Objects by (plural, namespace, name). `writes` lists every request that could write, in order.

    `fail_at`: the number of the write (from 1) that gets no answer; `applied`: whether it reached the store before the
    connection broke, as happens. `before`: called ahead of each request, to let others interfere. `admit`: changes a
    CronJob on every write, as a webhook does.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.writes: list[tuple[str, str]] = []
        self.requests: list[tuple[str, str]] = []
        self.fail_at: int | None = None
        self.applied = False
        self.before: Callable[[str, str], None] | None = None
        self.admit: Callable[[Object], None] | None = None
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    def put(self, plural: str, namespace: str, name: str, **content: Any) -> Object:
        """Store an object behind everybody's back."""
        body: Object = {"metadata": {"namespace": namespace, "name": name}, **_copy(content)}
        self._create(body, (plural, namespace, name))
        return self.objects[plural, namespace, name]

    def cron_jobs(self) -> dict[str, Object]:
        return {key[2]: body for key, body in self.objects.items() if key[0] == "cronjobs"}

    def touch(self, plural: str, namespace: str, name: str, change: Callable[[Object], object]) -> None:
        """Somebody else edits an object."""
        key = (plural, namespace, name)
        body = _copy(self.objects[key])
        change(body)
        self._store(key, body, self.objects[key])

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        self.requests.append((method, path))
        if self.before is not None:
            self.before(method, path)
        if method == "GET":
            return self._handle(method, path, None)
        self.writes.append((method, path))
        fails = self.fail_at == len(self.writes)
        if not fails or self.applied:
            reply = self._handle(method, path, _copy(dict(body or {})))
        if fails:
            raise Waiting("ApiUnavailable", "the API server did not answer: ConnectionResetError")
        return reply

    async def items(self, path: str, query: Mapping[str, str | int]) -> AsyncIterator[Object]:
        self.requests.append(("LIST", path))
        found = _PATH.fullmatch(path)
        assert found is not None, path
        terms = [term.partition("=") for term in str(query.get("labelSelector", "")).split(",") if term]
        for (plural, namespace, _), body in list(self.objects.items()):
            labels = body["metadata"].get("labels") or {}
            if (plural, namespace) == (found["plural"], found["namespace"]) and all(
                (labels.get(k.rstrip("!")) == v) is not k.endswith("!") for k, _, v in terms
            ):
                yield _copy(body)

    def _handle(self, method: str, path: str, body: Object | None) -> Reply:
        found = _PATH.fullmatch(path)
        assert found is not None, path
        key = (found["plural"], found["namespace"], found["name"] or (body or {}).get("metadata", {}).get("name", ""))
        live = self.objects.get(key)
        if method == "POST":
            return _status(409, "AlreadyExists") if live else self._create(body or {}, key)
        if live is None:
            return _status(404, "NotFound")
        if method == "GET":
            return Reply(200, _copy(live))
        if method == "DELETE":
            return self._delete(key, live, (body or {}).get("preconditions") or {})
        if method == "PATCH":
            assert found["status"], "only status is ever patched"
            changed = _copy(live)
            _merge(changed, body or {})
            return self._store(key, {**live, "status": changed["status"]}, live)
        return self._replace(key, body or {}, live)

    def _create(self, body: Object, key: tuple[str, str, str]) -> Reply:
        body["metadata"] = {
            "creationTimestamp": "2026-11-22T12:00:30Z",
            **body["metadata"],
            "uid": body["metadata"].get("uid") or f"uid-{next(self._uids)}",
            "generation": 1,
        }
        return self._store(key, body, None, 201)

    def _delete(self, key: tuple[str, str, str], live: Object, preconditions: Mapping[str, str]) -> Reply:
        if any(live["metadata"][field] != value for field, value in preconditions.items()):
            return _status(409, "Conflict")
        del self.objects[key]
        return _status(200, "")

    def _replace(self, key: tuple[str, str, str], body: Object, live: Object) -> Reply:
        meta = body["metadata"]
        for field in ("uid", "resourceVersion"):
            if meta.get(field) not in (None, live["metadata"][field]):
                return _status(409, "Conflict")
        for field in ("uid", "creationTimestamp", "generation"):
            meta[field] = live["metadata"][field]
        return self._store(key, {**body, "status": live.get("status", {})}, live)

    def _store(self, key: tuple[str, str, str], body: Object, live: Object | None, status: int = 200) -> Reply:
        if self.admit is not None and key[0] == "cronjobs":
            self.admit(body)
        if live is not None:
            body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
            if body == live:
                return Reply(200, _copy(live))
            if body.get("spec") != live.get("spec"):
                body["metadata"]["generation"] = live["metadata"]["generation"] + 1
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key] = body
        return Reply(status, _copy(body))


def _status(code: int, reason: str) -> Reply:
    return Reply(code, {"kind": "Status", "reason": reason, "message": f"{reason}: as the API server would say"})


def _merge(target: Object, patch: Mapping[str, Any]) -> None:
    """RFC 7396."""
    for field, value in patch.items():
        if value is None:
            target.pop(field, None)
        elif isinstance(value, Mapping):
            if not isinstance(target.get(field), dict):
                target[field] = {}
            _merge(target[field], value)
        else:
            target[field] = _copy(value)
