"""The one ConfigMap per CronixApp that the operator writes: read, create, replace, remove, each fenced."""

from __future__ import annotations

from cronix_operator.core.errors import Stalled, Waiting
from cronix_operator.core.grants import grant_config_map
from cronix_operator.core.model import KubeObject, Subject
from cronix_operator.core.previous import Verb
from cronix_operator.edges.api import STRICT, ApiServer, Reply, fenced


class ConfigMaps:
    """Speaks about single ConfigMaps, by name; `service_account`: namespace:name, for the advice on a missing right."""

    def __init__(self, api: ApiServer, service_account: str) -> None:
        self._api = api
        self._service_account = service_account

    async def config_map(self, app: Subject, name: str) -> KubeObject | None:
        """A ConfigMap of the app's namespace; None when it is not there."""
        reply = await self._api.request("GET", f"{_path(app)}/{name}")
        if reply.status == 404:
            return None
        if not reply.ok:
            raise self._refusal(app, name, reply)
        return reply.body

    async def write_config_map(self, app: Subject, verb: Verb, body: KubeObject) -> bool:
        """False when somebody was faster. `update` and `delete` carry the uid and version that `body` was read with."""
        name = body["metadata"]["name"]
        path = f"{_path(app)}/{name}"
        if verb == "create":
            reply = await self._api.request("POST", _path(app), query=STRICT, body=body)
        elif verb == "update":
            reply = await self._api.request("PUT", path, query=STRICT, body=body)
        else:
            reply = await self._api.request("DELETE", path, body=fenced(body))
        if reply.ok:
            return True
        if reply.status in {404, 409}:
            return False
        raise self._refusal(app, name, reply)

    def _refusal(self, app: Subject, name: str, reply: Reply) -> Stalled | Waiting:
        if reply.status == 403 and "cannot " in reply.message:  # else a quota, or a namespace that is being deleted
            return Stalled("Forbidden", grant_config_map(app, name, self._service_account))
        text = f'ConfigMap "{name}": {reply.message}'
        if reply.status >= 500 or reply.status == 429:
            return Waiting("ApiUnavailable", text)
        return Stalled("ApplyFailed", text)


def _path(app: Subject) -> str:
    return f"/api/v1/namespaces/{app.namespace}/configmaps"
