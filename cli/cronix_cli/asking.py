"""The app's manifest, fetched as the operator fetches it, but with the person's rights; errors are the operator's.

A Service is asked through the API server's proxy, so that this works from any machine that kubectl works from; a URL is
asked directly. The signature covers the protocol's constant path, so the detour does not touch it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, TypeVar, cast

from cronix_cli.reading import Cluster
from cronix_cli.table import cut, printable
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.app import MANIFEST_PATH
from cronix_operator.core.errors import Stalled, Waiting
from cronix_operator.core.model import App, ConfigMapSource, Endpoint, InlineSource, KeyMaterial, ServiceSource
from cronix_operator.edges.inputs import Inputs
from cronix_protocol import sign
from cronix_protocol.joburl import split_url

T = TypeVar("T")
MAX_EXCERPT = 120


class Asker:
    """Reads what a CronixApp names, and asks its app."""

    def __init__(self, cluster: Cluster) -> None:
        self._api = cluster.api
        self.inputs = Inputs(cast("Any", cluster.api), "cronix-system:cronix-operator")

    async def endpoint(self, app: App) -> Endpoint | None:
        """Where the manifest is fetched from; None when it stands in the CronixApp or a ConfigMap."""
        return await _as_person(app, self.inputs.endpoint(app))

    async def material(self, app: App) -> KeyMaterial:
        """The keys, best first."""
        return await _as_person(app, self.inputs.material(app, ()))

    async def own_document(self, app: App) -> object:
        """The manifest of a source that is not fetched."""
        if isinstance(app.source, ConfigMapSource):
            return await _as_person(app, self.inputs.config_map_document(app, app.source))
        return app.source.document if isinstance(app.source, InlineSource) else None

    async def fetch(self, app: App, endpoint: Endpoint, material: KeyMaterial, now: datetime) -> bytes:
        """The manifest's bytes, signed with the first key of `material`; raises the operator's errors."""
        if isinstance(app.source, ServiceSource):
            return await self._through_the_api_server(app, app.source, endpoint, material, int(now.timestamp()))
        from cronix_operator.edges.source import HttpSource

        fetched = await HttpSource().fetch(app, endpoint, material, int(now.timestamp()))
        return fetched.body or b""  # no ETag was sent, so there is a body

    async def _through_the_api_server(
        self, app: App, source: ServiceSource, endpoint: Endpoint, material: KeyMaterial, timestamp: int
    ) -> bytes:
        url = split_url(endpoint.url)
        place = f"{url.scheme}:{source.name}:{url.port}"
        path = f"/api/v1/namespaces/{app.namespace}/services/{place}/proxy{url.path}"
        signature = sign(material.keys[0][1], method="GET", path=MANIFEST_PATH, timestamp=timestamp)
        headers = {**dict(material.headers), "X-Cron-Signature": signature, "Accept": "application/json"}
        status, body, _ = await self._api.raw(path, headers=headers)
        if 200 <= status < 300:
            return body
        raise _refusal(app, endpoint.url, status, body)


def _refusal(app: App, url: str, status: int, body: bytes) -> Exception:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    if answer.get("kind") == "Status" and status == 403:
        return Trouble(
            Exit.NO_RIGHT,
            f'you may not reach Services through the API server in namespace "{app.namespace}"',
            f"kubectl auth can-i get services/proxy -n {app.namespace}",
        )
    text = cut(printable(str(answer.get("message") or body.decode("utf-8", "replace"))), MAX_EXCERPT)
    if status == 401:
        return Waiting("SignatureRefused", f"{url} refused the signature ({answer.get('code', '401')}: {text})")
    if answer.get("kind") == "Status":
        return Waiting("FetchFailed", f"the API server cannot reach {url}: {text}")
    return Waiting("FetchFailed", f"{url} answered {status}: {text}")


async def _as_person(app: App, work: Awaitable[T]) -> T:
    """The operator's advice on a missing right is how to grant it to the operator; here the person's is missing."""
    try:
        return await work
    except Stalled as exc:
        if exc.reason != "Forbidden":
            raise
        plural = next((word for word in ("secrets", "configmaps", "services") if word in exc.message), "secrets")
        raise Trouble(
            Exit.NO_RIGHT,
            f'you may not read {plural} in namespace "{app.namespace}"',
            f"kubectl auth can-i get {plural} -n {app.namespace}",
        ) from exc
