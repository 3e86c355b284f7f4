"""What a CronixApp refers to: its Service, Secrets and ConfigMaps, read by name, never watched."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from cronix_operator.core import advice
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
            service = await self._read(app, "Service", app.source.name, "spec.source.service")
            return service_endpoint(app, app.source, service)
        return url_endpoint(app.source.url) if isinstance(app.source, UrlSource) else None

    async def config_map_document(self, app: App, source: ConfigMapSource) -> bytes:
        """The manifest in a ConfigMap, as bytes."""
        return await self._config_map(app, source.name, source.key, "spec.source.configMapKeyRef")

    async def _config_map(self, app: App, name: str, key: str, field: str) -> bytes:
        data = (await self._read(app, "ConfigMap", name, field)).get("data") or {}
        if key not in data:
            raise Waiting("KeyNotFound", advice.missing_key("ConfigMap", name, key, field, data))
        return str(data[key]).encode()

    async def material(self, app: App, refs: Sequence[str]) -> KeyMaterial:
        """The keys that may sign the fetch, best first, and the connection's headers and certificates."""
        secrets: dict[str, Mapping[str, bytes]] = {}
        signing = advice.SIGNING
        data_keys = await self._data(app, app.signing_secret, signing, secrets) if app.signing_secret else {}
        usable = []
        missing: ReconcileError | None = None
        candidates = core_keys.fetch_keys(app, data_keys, refs)
        for key in candidates:
            try:
                data = await self._data(app, key.ref.secret, signing, secrets)
            except ReconcileError as exc:
                missing = missing or exc  # the next key may live in another Secret: the first that is present signs
                continue
            text = core_keys.clean_key(data.get(key.ref.key, b""))
            if text is not None:
                usable.append((key, text))
        if not usable:
            raise missing or Waiting("KeyNotFound", advice.no_signing_key(app, candidates, data_keys))
        headers = [(header.name, await self._header(app, header, secrets)) for header in app.connection.headers]
        return KeyMaterial(tuple(usable), tuple(headers), *await self._tls(app, secrets))

    async def _tls(
        self, app: App, secrets: dict[str, Mapping[str, bytes]]
    ) -> tuple[str | None, str | None, str | None]:
        """The CA, the client's certificate and its key, as far as the connection names them."""
        connection, tls = app.connection, "spec.connection.tls"
        ca_pem = certificate = private_key = None
        if connection.ca_secret is not None:
            ca_pem = await self._text(app, connection.ca_secret, f"{tls}.caSecretKeyRef", secrets)
        if connection.ca_config_map is not None:
            ca_pem = (await self._config_map(app, *connection.ca_config_map, f"{tls}.caConfigMapKeyRef")).decode()
        if connection.client_cert_secret is not None:
            certificate, private_key = [
                await self._text(
                    app, SecretKey(connection.client_cert_secret, key), f"{tls}.clientCertSecretRef", secrets
                )
                for key in ("tls.crt", "tls.key")
            ]
        return ca_pem, certificate, private_key

    async def _header(self, app: App, header: Header, secrets: dict[str, Mapping[str, bytes]]) -> str:
        if header.secret is None:
            return header.value or ""
        value = await self._text(app, header.secret, f"spec.connection.headers: {header.name}", secrets)
        # Checked here, for the HTTP library would show the value in its own error.
        if wrong := header_fault(header.name, value):
            raise Stalled("InvalidHeader", f'Secret "{header.secret.secret}", key "{header.secret.key}": {wrong}')
        return value

    async def _text(self, app: App, ref: SecretKey, field: str, secrets: dict[str, Mapping[str, bytes]]) -> str:
        data = await self._data(app, ref.secret, field, secrets)
        text = core_keys.clean_key(data.get(ref.key, b""))
        if text is None:
            raise Waiting("KeyNotFound", advice.missing_key("Secret", ref.secret, ref.key, field, data))
        return text

    async def _data(
        self, app: App, secret: str, field: str, seen: dict[str, Mapping[str, bytes]]
    ) -> Mapping[str, bytes]:
        if secret not in seen:
            body = await self._read(app, "Secret", secret, field)
            seen[secret] = _decoded(body.get("data") or {})
        return seen[secret]

    async def _read(self, app: App, kind: str, name: str, field: str) -> dict[str, Any]:
        plural = f"{kind.lower()}s"
        reply = await self._api.request("GET", f"/api/v1/namespaces/{app.namespace}/{plural}/{name}")
        if reply.status == 404:
            raise Waiting(f"{kind}NotFound", advice.missing_object(kind, app, name, field))
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
