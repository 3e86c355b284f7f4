"""What a CronixApp refers to: its Service, Secrets and ConfigMaps, read by name, never watched."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from cronix_operator.core import keys as core_keys
from cronix_operator.core.endpoint import service_endpoint, url_endpoint
from cronix_operator.core.errors import ReconcileError, Stalled, Waiting
from cronix_operator.core.grants import grant
from cronix_operator.core.model import (
    App,
    ConfigMapSource,
    Endpoint,
    Header,
    KeyMaterial,
    SecretKey,
    ServiceSource,
    UrlSource,
)
from cronix_operator.edges.api import ApiServer
from cronix_protocol.headers import header_fault


class Inputs:
    """Reads, on behalf of one walk, the objects a CronixApp names in its own namespace."""

    def __init__(self, api: ApiServer, service_account: str) -> None:
        self._api = api
        self._service_account = service_account

    async def endpoint(self, app: App) -> Endpoint | None:
        """Where the manifest is fetched from; None for sources that are not fetched."""
        if isinstance(app.source, ServiceSource):
            service = await self._read(app, "services", app.source.name, "ServiceNotFound")
            return service_endpoint(app, app.source, service)
        return url_endpoint(app.source.url) if isinstance(app.source, UrlSource) else None

    async def config_map_document(self, app: App, source: ConfigMapSource) -> bytes:
        """The manifest in a ConfigMap, as bytes."""
        config_map = await self._read(app, "configmaps", source.name, "ConfigMapNotFound")
        text = (config_map.get("data") or {}).get(source.key)
        if text is None:
            there = ", ".join(sorted(config_map.get("data") or {})) or "nothing"
            raise Waiting("KeyNotFound", f'ConfigMap "{source.name}" has no key "{source.key}" (it has {there})')
        return str(text).encode()

    async def material(self, app: App, refs: Sequence[str]) -> KeyMaterial:
        """The keys that may sign the fetch, best first, and the connection's headers and certificates."""
        secrets: dict[str, Mapping[str, bytes]] = {}
        data_keys = await self._data(app, app.signing_secret, secrets) if app.signing_secret else {}
        usable = []
        missing: ReconcileError | None = None
        for key in core_keys.fetch_keys(app, data_keys, refs):
            try:
                data = await self._data(app, key.ref.secret, secrets)
            except ReconcileError as exc:
                missing = missing or exc  # the next key may live in another Secret: the first that is present signs
                continue
            text = core_keys.clean_key(data.get(key.ref.key, b""))
            if text is not None:
                usable.append((key, text))
        if not usable:
            raise missing or Waiting("KeyNotFound", _no_key(app, data_keys))
        connection = app.connection
        headers = [(header.name, await self._header(app, header, secrets)) for header in connection.headers]
        ca_pem = await self._text(app, connection.ca_secret, secrets) if connection.ca_secret else None
        if connection.ca_config_map is not None:
            ca_pem = (await self.config_map_document(app, ConfigMapSource(*connection.ca_config_map))).decode()
        certificate = private_key = None
        if connection.client_cert_secret is not None:
            certificate = await self._text(app, SecretKey(connection.client_cert_secret, "tls.crt"), secrets)
            private_key = await self._text(app, SecretKey(connection.client_cert_secret, "tls.key"), secrets)
        return KeyMaterial(tuple(usable), tuple(headers), ca_pem, certificate, private_key)

    async def _header(self, app: App, header: Header, secrets: dict[str, Mapping[str, bytes]]) -> str:
        if header.secret is None:
            return header.value or ""
        value = await self._text(app, header.secret, secrets)
        # Checked here, for the HTTP library would show the value in its own error.
        if wrong := header_fault(header.name, value):
            raise Stalled("InvalidHeader", f'Secret "{header.secret.secret}", key "{header.secret.key}": {wrong}')
        return value

    async def _text(self, app: App, ref: SecretKey, secrets: dict[str, Mapping[str, bytes]]) -> str:
        text = core_keys.clean_key((await self._data(app, ref.secret, secrets)).get(ref.key, b""))
        if text is None:
            raise Waiting("KeyNotFound", f'Secret "{ref.secret}" has no usable key "{ref.key}"')
        return text

    async def _data(self, app: App, secret: str, seen: dict[str, Mapping[str, bytes]]) -> Mapping[str, bytes]:
        if secret not in seen:
            body = await self._read(app, "secrets", secret, "SecretNotFound")
            seen[secret] = _decoded(body.get("data") or {})
        return seen[secret]

    async def _read(self, app: App, plural: str, name: str, missing: str) -> dict[str, Any]:
        reply = await self._api.request("GET", f"/api/v1/namespaces/{app.namespace}/{plural}/{name}")
        kind = plural[:-1].capitalize() if plural != "configmaps" else "ConfigMap"
        if reply.status == 404:
            raise Waiting(
                missing, f'{kind} "{name}" does not exist in namespace "{app.namespace}"; {_advice(plural, app, name)}'
            )
        if reply.status == 403:
            raise Stalled("Forbidden", grant(app, plural, name, self._service_account))
        if not reply.ok:
            raise Waiting("ApiUnavailable", f'reading {kind} "{name}": {reply.message}')
        return reply.body


def _decoded(data: Mapping[str, str]) -> dict[str, bytes]:
    decoded = {}
    for key, value in data.items():
        try:
            decoded[key] = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            continue  # the API server stores valid base64 only
    return decoded


def _advice(plural: str, app: App, name: str) -> str:
    if plural == "secrets":
        return (
            f"create it: kubectl -n {app.namespace} create secret generic {name} "
            "--from-literal=current=$(openssl rand -hex 32)"
        )
    return f"correct the name in spec.source, or create it in namespace {app.namespace}"


def _no_key(app: App, data_keys: Mapping[str, bytes]) -> str:
    if app.signing_secret is not None:
        there = ", ".join(sorted(data_keys)) or "none"
        return (
            f'Secret "{app.signing_secret}" has no usable signing key (data keys: {there}); put the key under "current"'
        )
    wanted = ", ".join(f"{key.ref.secret}/{key.ref.key}" for key in app.signing_keys)
    return f"none of the keys in spec.signing.keys exists ({wanted}); nothing is ever fired unsigned"
