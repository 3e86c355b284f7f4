"""What the tests of `kubectl cronix` share: one call of the program, an API server in memory, golden captures."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cronix_cli.__main__ import main
from cronix_cli.screen import Screen
from cronix_cli.session import Session
from cronix_operator.edges.api import Reply
from operator_fakes.memory_api import MemoryApi, Object

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 24, 10, 0, 30, tzinfo=UTC)
_PATH = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?"
)


@dataclasses.dataclass(frozen=True)
class Told:
    """What one call said."""

    code: int
    out: str
    err: str


class Kube(MemoryApi):
    """The server in memory with what only a person asks for: lists, rights, patches.

    `denied`: (verb, plural) pairs that are forbidden. `answers`: fixed replies by path.
    """

    def __init__(self) -> None:
        super().__init__()
        self.namespace = "shop"
        self.denied: set[tuple[str, str]] = set()
        self.answers: dict[str, Reply] = {}
        self.reads: list[str] = []
        self.no_crd = False
        self.logs: dict[str, list[str]] = {}
        self.on_sleep: Callable[[Kube], None] | None = None
        self.sleeps = 0
        self.on_raw: Callable[[str, dict[str, str]], tuple[int, bytes, Mapping[str, str]]] = _nothing_there

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        if path in self.answers:
            return self.answers[path]
        if path == "/apis/cronix.dev/v1alpha1":
            resources = [{"name": "cronixapps"}, {"name": "cronixapps/status"}]
            return Reply(404, {}) if self.no_crd else Reply(200, {"resources": resources})
        if path.startswith("/api/v1/namespaces/") and path.count("/") == 4:
            there = path.endswith(f"/{self.namespace}")
            return Reply(200, {"metadata": {"labels": {}}}) if there else Reply(404, {"reason": "NotFound"})
        found = _PATH.fullmatch(path)
        assert found is not None, path
        plural, name = found["plural"], found["name"]
        if plural == "selfsubjectaccessreviews":
            asked = (body or {})["spec"]["resourceAttributes"]
            return Reply(201, {"status": {"allowed": (asked["verb"], asked["resource"]) not in self.denied}})
        verb = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}.get(method)
        verb = verb or ("get" if name else "list")
        if (verb, plural) in self.denied:
            return Reply(403, {"reason": "Forbidden", "message": f'User "ann" cannot {verb} resource "{plural}"'})
        if self.no_crd and plural == "cronixapps":
            return Reply(404, {"message": "the server could not find the requested resource"})
        if verb == "list":
            self.reads.append(path)
            return Reply(
                200, {"items": self._listed(plural, found["namespace"], str((query or {}).get("labelSelector", "")))}
            )
        if method == "PATCH" and not found["sub"]:
            return self._patched(found, body or {})
        return await super().request(method, path, query=query, body=body, content_type=content_type)

    async def lines(self, path: str, query: Mapping[str, str | int]) -> AsyncIterator[bytes]:
        found = _PATH.fullmatch(path)
        assert found is not None, path
        assert query["container"] == "signer"
        for line in self.logs.get(found["name"], []):
            yield line.encode()

    async def raw(
        self, path: str, *, query: Mapping[str, str | int] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        return self.on_raw(path, dict(headers or {}))

    async def sleep(self, seconds: float) -> None:
        """A pause of the program, in which the cluster does what `on_sleep` says."""
        self.sleeps += 1
        assert self.sleeps < 10000
        if self.on_sleep is not None:
            self.on_sleep(self)

    def _patched(self, found: re.Match[str], body: Mapping[str, Any]) -> Reply:
        key = (found["plural"], found["namespace"], found["name"])
        if key not in self.objects:
            return Reply(404, {"reason": "NotFound", "message": f'{found["plural"]} "{found["name"]}" not found'})
        self.writes.append(("PATCH", found.string))
        fence = body.get("metadata", {}).get("resourceVersion")
        if fence not in (None, self.objects[key]["metadata"]["resourceVersion"]):
            return Reply(409, {"reason": "Conflict", "message": "the object has been modified"})
        self.touch(*key, lambda live: _merged(live, body))
        return Reply(200, self.objects[key])

    def _listed(self, plural: str, namespace: str | None, selector: str) -> list[Object]:
        wanted = [term.split("=") for term in selector.split(",") if term]
        return [
            live
            for (kind, place, _), live in sorted(self.objects.items())
            if kind == plural
            and namespace in (None, place)
            and all((live["metadata"].get("labels") or {}).get(k) == v for k, v in wanted)
        ]


def _nothing_there(_path: str, _headers: dict[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
    return 404, b"", {}


def _merged(live: Any, patch: Mapping[str, Any]) -> None:
    for field, value in patch.items():
        if isinstance(value, Mapping):
            _merged(live.setdefault(field, {}), value)
        elif value is None:
            live.pop(field, None)
        else:
            live[field] = value


def call(
    *arguments: str,
    kube: Kube | None = None,
    width: int | None = None,
    color: bool = False,
    ascii_only: bool = False,
    now: datetime = NOW,
    stdin: bytes = b"",
    clock: Callable[[], datetime] | None = None,
) -> Told:
    """`kubectl cronix <arguments>`, in this process."""
    out, err = io.StringIO(), io.StringIO()

    def connect(_kubeconfig: str | None, _context: str | None) -> Any:
        assert kube is not None, "this command must not need a cluster"
        return kube

    session = Session(
        now=clock or (lambda: now),
        connect=connect,
        screen=Screen(width, color=color, ascii_only=ascii_only),
        sleep=kube.sleep if kube is not None else asyncio.sleep,
        token=lambda: "x7k2p",
    )
    source = io.TextIOWrapper(io.BytesIO(stdin))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _stdin(source):
        code = main(list(arguments), session)
    return Told(int(code), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _stdin(source: Any) -> Any:
    import sys

    before, sys.stdin = sys.stdin, source
    try:
        yield
    finally:
        sys.stdin = before


def assert_golden(name: str, text: str) -> None:
    """Compare with a capture that a person has looked at; CRONIX_GOLDEN=write takes a new one."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("CRONIX_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; look at it, then CRONIX_GOLDEN=write"
