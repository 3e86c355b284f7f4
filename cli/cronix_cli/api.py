"""The port to the API server: what the commands ask of `cronix_operator.edges.api`, and no more; no I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias


class Reply(Protocol):
    """An answer of the API server (`cronix_operator.edges.api.Reply`)."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> dict[str, Any]: ...
    @property
    def ok(self) -> bool: ...
    @property
    def message(self) -> str: ...
    @property
    def reason(self) -> str: ...


class Api(Protocol):
    """The API server (`cronix_operator.edges.api.ApiServer`). `namespace` is the context's."""

    namespace: str

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Reply: ...

    def lines(self, path: str, query: Mapping[str, str | int]) -> AsyncIterator[bytes]: ...

    async def raw(
        self, path: str, *, query: Mapping[str, str | int] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]: ...


# kubeconfig and context in, a connection out; loading the client library is put off until it is called.
Connect: TypeAlias = Callable[["str | None", "str | None"], AbstractAsyncContextManager[Api]]
