"""Raw JSON to and from the Kubernetes API server; the only file that imports the client library.

`kubernetes.aio` gives configuration, tokens, TLS and the connection pool; its typed calls are not used: they cost more
CPU per object than the request itself, and an object we compare must arrive as it was sent.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from yaml import YAMLError

from cronix_operator.core.errors import Waiting

REQUEST_TIMEOUT_SECONDS = 30.0
CONCURRENT_REQUESTS = 16
PAGE_SIZE = 500
BUSY_RETRIES = 4
MAX_RAW_BYTES = 2 * 1024 * 1024


class Refused(Waiting):
    """The API server was there and said no."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The server's answer: HTTP status and its JSON object (a Status object on refusal, {} when it was no JSON)."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def reason(self) -> str:
        return str(self.body.get("reason") or self.status)

    @property
    def message(self) -> str:
        return str(self.body.get("message") or f"the API server answered {self.status}")


# How we write: a field that the server does not know is an error, and the field manager says who it was.
STRICT = {"fieldValidation": "Strict", "fieldManager": "cronix-operator"}


def fenced(live: Mapping[str, Any], **options: str) -> dict[str, Any]:
    """DeleteOptions that hold for `live` as it was read, and for no later version and no other object of its name."""
    meta = live["metadata"]
    preconditions = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options, "preconditions": preconditions}


def _must_exist(kubeconfig: str) -> None:
    """Say that the file is missing, where the client library raises about a key in it; one of several is enough."""
    if not any(Path(path).expanduser().exists() for path in kubeconfig.split(os.pathsep) if path):
        raise Waiting("ApiUnavailable", f"kubeconfig: {kubeconfig} does not exist")


class ApiServer:
    """One connection pool to the API server. `async with` it; requests never raise for a status, only for no answer.

    `requested` is told of each request: method, path, HTTP status or None without an answer. `fence` is called right
    before each request that writes, each repetition too, and raises where it must not be sent.
    """

    def __init__(
        self,
        kubeconfig: str | None = None,
        context: str | None = None,
        requested: Callable[[str, str, int | None], None] = lambda _method, _path, _status: None,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._requested = requested
        self._fence = fence
        self.namespace = "default"  # what the kubeconfig's context names
        self._seats = asyncio.Semaphore(CONCURRENT_REQUESTS)
        self._configuration = client.Configuration()
        self._client: client.ApiClient | None = None

    async def __aenter__(self) -> Self:
        if self._kubeconfig or "KUBERNETES_SERVICE_HOST" not in os.environ:
            await self._load_kubeconfig()
        else:
            config.load_incluster_config(client_configuration=self._configuration)  # type: ignore[no-untyped-call]  # the client library ships no types for it
        # A proxy in the environment must not see our token: the API server is always reached directly.
        self._configuration.client_session_kwargs = {"trust_env": False}
        # Requests have seats of their own; watches stay open, three for each namespace, and must not use those up.
        self._configuration.connection_pool_maxsize = 0
        self._client = client.ApiClient(self._configuration)
        return self

    async def _load_kubeconfig(self) -> None:
        _must_exist(self._kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
        try:
            contexts, active = config.list_kube_config_contexts(self._kubeconfig)  # type: ignore[no-untyped-call]  # the client library ships no types for it
            await config.load_kube_config(  # type: ignore[no-untyped-call]  # the client library ships no types for it
                self._kubeconfig, self._context, client_configuration=self._configuration
            )
        except (config.ConfigException, OSError, YAMLError, TypeError) as exc:
            raise Waiting("ApiUnavailable", f"kubeconfig: {exc}") from exc
        chosen = next((c for c in contexts if c["name"] == self._context), active)
        self.namespace = chosen["context"].get("namespace") or "default"

    async def __aexit__(self, *_exc: object) -> None:
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]  # the client library ships no types for it

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        """One request; 429 is waited out as the server asks, a few times. Waiting(ApiUnavailable) without an answer."""
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        async with self._seats:
            for attempt in range(BUSY_RETRIES):
                reply, pause = await self._counted(method, path, url, body, content_type)
                if reply.status != 429 or attempt == BUSY_RETRIES - 1:
                    break
                await asyncio.sleep(pause)
        return reply

    async def _counted(self, method: str, path: str, url: str, body: Any, content_type: str) -> tuple[Reply, float]:
        status: int | None = None
        try:
            reply, pause = await self._once(method, url, body, content_type)
            status = reply.status
        finally:
            self._requested(method, path, status)
        return reply, pause

    async def _once(self, method: str, url: str, body: Any, content_type: str) -> tuple[Reply, float]:
        assert self._client is not None, "ApiServer is used inside `async with`"  # noqa: S101  # a programming error
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "cronix-operator"}
        headers |= await self._credentials()
        if method != "GET":
            self._fence()
        try:
            response = await self._client.rest_client.request(  # type: ignore[no-untyped-call]  # the client library ships no types for it
                method, url, headers=headers, body=body, _request_timeout=REQUEST_TIMEOUT_SECONDS
            )
            raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise _no_answer(exc) from exc
        pause = response.getheaders().get("Retry-After", "1")
        return Reply(response.status, _object(raw)), float(pause) if pause.isdigit() else 1.0

    async def raw(
        self, path: str, *, query: Mapping[str, str | int] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """GET what is no JSON object, at most `MAX_RAW_BYTES` of it: status, body, headers (names in any case)."""
        response = await self._open(path, query, headers or {}, aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS))
        try:
            body = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > MAX_RAW_BYTES:
                    break
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise _no_answer(exc) from exc
        finally:
            response.close()
        return response.status, bytes(body), response.headers

    async def lines(
        self, path: str, query: Mapping[str, str | int], seconds: float | None = None
    ) -> AsyncIterator[bytes]:
        """An answer line by line as it comes, of any length: a pod's log, a watch; at most for so many seconds.

        Refused when the server will not begin, Waiting(ApiUnavailable) when it does not, or breaks off.
        """
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                response = await self._open(path, query, {}, aiohttp.ClientTimeout(total=seconds, sock_connect=10))
        except TimeoutError as exc:
            raise _no_answer(exc) from exc
        try:
            if response.status != 200:
                refusal = Reply(response.status, _object(await response.read()))
                raise Refused("ApiUnavailable", f"reading {path}: {refusal.message}")
            rest = b""
            async for chunk in response.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line
            if rest:
                yield rest
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise _no_answer(exc) from exc
        finally:
            response.close()

    async def _open(
        self,
        path: str,
        query: Mapping[str, str | int] | None,
        headers: Mapping[str, str],
        patience: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        assert self._client is not None, "ApiServer is used inside `async with`"  # noqa: S101  # a programming error
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            wrapped = await self._client.rest_client.request(  # type: ignore[no-untyped-call]  # the client library ships no types for it
                "GET", url, headers={"Accept": "*/*", **headers, **await self._credentials()}, _request_timeout=patience
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise _no_answer(exc) from exc
        response: aiohttp.ClientResponse = wrapped.response
        return response

    async def _credentials(self) -> dict[str, str]:
        token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return {"Authorization": token} if token else {}

    async def pages(self, path: str, query: Mapping[str, str | int]) -> AsyncIterator[dict[str, Any]]:
        """A list in pages of 500, each as the server sends it; Waiting(ApiUnavailable) on a refusal."""
        token = ""
        while True:
            asked = {**query, "limit": PAGE_SIZE, **({"continue": token} if token else {})}
            reply = await self.request("GET", path, query=asked)
            if not reply.ok:
                raise Waiting("ApiUnavailable", f"listing {path}: {reply.message}")
            yield reply.body
            token = (reply.body.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    async def items(self, path: str, query: Mapping[str, str | int]) -> AsyncIterator[dict[str, Any]]:
        """Every item of a list; Waiting(ApiUnavailable) on a refusal."""
        async for page in self.pages(path, query):
            for item in page.get("items") or []:
                yield item


def _no_answer(exc: BaseException) -> Waiting:
    return Waiting("ApiUnavailable", f"the API server did not answer: {type(exc).__name__}")


def _object(raw: bytes | None) -> dict[str, Any]:
    try:
        value = json.loads(raw or b"{}")
    except ValueError:
        return {}  # an unknown path answers in plain text
    return value if isinstance(value, dict) else {}
