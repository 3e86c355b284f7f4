"""CronixApp body in, App out; no I/O.

The CRD's schema and CEL rules have refused most nonsense before it gets here. This parser still trusts nothing: an
object written past an older schema must end in a condition, not in a crash (attack T8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cronix_operator.core import model
from cronix_operator.core.duration import parse_duration
from cronix_operator.core.errors import Stalled

GROUP = "cronix.dev"
VERSION = "v1alpha1"
PLURAL = "cronixapps"
KIND = "CronixApp"
API_VERSION = f"{GROUP}/{VERSION}"

RECONCILE_AT = "cronix.dev/reconcile-at"
APPROVE_PRUNE = "cronix.dev/approve-prune"
SUSPENDED_JOBS = "cronix.dev/suspended-jobs"
ADOPT = "cronix.dev/adopt"

MANIFEST_PATH = "/.well-known/cron-manifest"
APP_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")

T = TypeVar("T")


class _Reader:
    """Reads typed fields out of one object and collects every fault with its path."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def fault(self, path: str, message: str) -> None:
        self.faults.append(f"{path}: {message}")

    def mapping(self, parent: Mapping[str, Any], field: str, path: str) -> Mapping[str, Any]:
        value = parent.get(field)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fault(f"{path}.{field}", "must be an object")
            return {}
        return value

    def items(self, parent: Mapping[str, Any], field: str, path: str) -> list[Any]:
        value = parent.get(field)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(f"{path}.{field}", "must be a list")
            return []
        return value

    def scalar(self, parent: Mapping[str, Any], field: str, path: str, kind: type[T]) -> T | None:
        value = parent.get(field)
        # bool is an int in Python: `true` must not pass for a number.
        if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
            return value
        self.fault(f"{path}.{field}", f"must be of type {kind.__name__}")
        return None

    def text(self, parent: Mapping[str, Any], field: str, path: str) -> str | None:
        return self.scalar(parent, field, path, str)

    def required_text(self, parent: Mapping[str, Any], field: str, path: str) -> str:
        value = self.text(parent, field, path)
        if not value:
            self.fault(f"{path}.{field}", "is required")
        return value or ""

    def seconds(self, parent: Mapping[str, Any], field: str, path: str, default: str, bounds: tuple[int, int]) -> float:
        text = self.text(parent, field, path) or default
        try:
            seconds = parse_duration(text)
        except ValueError as exc:
            self.fault(f"{path}.{field}", str(exc))
            return parse_duration(default)
        if not bounds[0] <= seconds <= bounds[1]:
            self.fault(f"{path}.{field}", f"{text} is out of bounds; write {bounds[0]}s to {bounds[1]}s")
        return seconds


def parse_app(body: Mapping[str, Any]) -> model.App:
    """The App that a CronixApp body describes, defaults filled in; raises Stalled(InvalidSpec) naming every fault."""
    meta = body["metadata"]
    reader = _Reader()
    spec = reader.mapping(body, "spec", "")
    annotations = meta.get("annotations") or {}
    signing_secret, signing_keys = _signing(reader, reader.mapping(spec, "signing", "spec"))
    targets = reader.mapping(spec, "targets", "spec")
    source = reader.mapping(spec, "source", "spec")
    percent = reader.scalar(reader.mapping(spec, "prune", "spec"), "maxDeletePercent", "spec.prune", int)
    app = model.App(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        app=_app_id(reader, spec, meta["name"]),
        source=_source(reader, source),
        interval_seconds=reader.seconds(source, "interval", "spec.source", "5m", (15, 86400)),
        timeout_seconds=reader.seconds(source, "timeout", "spec.source", "10s", (1, 60)),
        signing_secret=signing_secret,
        signing_keys=signing_keys,
        connection=_connection(reader, reader.mapping(spec, "connection", "spec")),
        allowed_hosts=tuple(str(host).lower() for host in reader.items(targets, "allowedHosts", "spec.targets")),
        rewrite_base_url=reader.text(targets, "rewriteBaseURL", "spec.targets"),
        allow_insecure_http=bool(reader.scalar(spec, "allowInsecureHTTP", "spec", bool)),
        suspend=bool(reader.scalar(spec, "suspend", "spec", bool)),
        max_delete_percent=50 if percent is None else percent,
        job_defaults=_knobs(reader, reader.mapping(spec, "jobDefaults", "spec"), "spec.jobDefaults"),
        overrides=_overrides(reader, spec),
        reconcile_at=annotations.get(RECONCILE_AT),
        approve_prune=annotations.get(APPROVE_PRUNE),
        suspended_jobs=_names(annotations.get(SUSPENDED_JOBS)),
        adopt=annotations.get(ADOPT) == "true",
    )
    if reader.faults:
        raise Stalled("InvalidSpec", "; ".join(reader.faults))
    return app


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[,\s]+", text or "") if part)


def _app_id(reader: _Reader, spec: Mapping[str, Any], name: str) -> str:
    app = reader.text(spec, "app", "spec") or name
    if not APP_NAME.fullmatch(app):
        reader.fault(
            "spec.app",
            f'"{app}" is not an app id (a-z, then a-z, 0-9, "-", at most 63); set spec.app to the app of your manifest',
        )
    return app


def _source(reader: _Reader, source: Mapping[str, Any]) -> model.Source:
    given = [kind for kind in ("service", "url", "configMapKeyRef", "inline") if source.get(kind) is not None]
    if len(given) != 1:
        reader.fault(
            "spec.source", f"exactly one of service, url, configMapKeyRef, inline; found {', '.join(given) or 'none'}"
        )
        return model.InlineSource(None)
    path = f"spec.source.{given[0]}"
    makers: dict[str, Callable[[], model.Source]] = {
        "service": lambda: _service(reader, reader.mapping(source, "service", "spec.source"), path),
        "url": lambda: model.UrlSource(reader.required_text(source, "url", "spec.source")),
        "configMapKeyRef": lambda: _config_map(reader, reader.mapping(source, "configMapKeyRef", "spec.source"), path),
        "inline": lambda: model.InlineSource(source["inline"]),
    }
    return makers[given[0]]()


def _service(reader: _Reader, service: Mapping[str, Any], path: str) -> model.ServiceSource:
    port = service.get("port")
    if port is not None and (isinstance(port, bool) or not isinstance(port, int | str)):
        reader.fault(f"{path}.port", "must be a port number or a port name")
        port = None
    return model.ServiceSource(
        name=reader.required_text(service, "name", path),
        port=int(port) if isinstance(port, str) and port.isascii() and port.isdigit() else port,
        scheme=reader.text(service, "scheme", path),
        path=reader.text(service, "path", path) or MANIFEST_PATH,
    )


def _config_map(reader: _Reader, ref: Mapping[str, Any], path: str) -> model.ConfigMapSource:
    return model.ConfigMapSource(
        reader.required_text(ref, "name", path), reader.text(ref, "key", path) or "manifest.json"
    )


def _secret_key(reader: _Reader, parent: Mapping[str, Any], field: str, path: str) -> model.SecretKey:
    ref = reader.mapping(parent, field, path)
    path = f"{path}.{field}"
    return model.SecretKey(reader.required_text(ref, "name", path), reader.required_text(ref, "key", path))


def _signing(reader: _Reader, signing: Mapping[str, Any]) -> tuple[str | None, tuple[model.SigningKey, ...]]:
    has_ref, has_keys = signing.get("secretRef") is not None, signing.get("keys") is not None
    if has_ref == has_keys:
        reader.fault(
            "spec.signing",
            "exactly one of secretRef and keys; the shortest form is signing: {secretRef: {name: my-secret}}",
        )
        return None, ()
    if has_ref:
        ref = reader.mapping(signing, "secretRef", "spec.signing")
        return reader.required_text(ref, "name", "spec.signing.secretRef"), ()
    keys = []
    for i, item in enumerate(reader.items(signing, "keys", "spec.signing")):
        path = f"spec.signing.keys[{i}]"
        entry = item if isinstance(item, Mapping) else {}
        keys.append(
            model.SigningKey(
                reader.required_text(entry, "name", path), _secret_key(reader, entry, "secretKeyRef", path)
            )
        )
    return None, tuple(keys)


def _connection(reader: _Reader, connection: Mapping[str, Any]) -> model.Connection:
    headers = []
    for i, item in enumerate(reader.items(connection, "headers", "spec.connection")):
        path = f"spec.connection.headers[{i}]"
        entry = item if isinstance(item, Mapping) else {}
        value_from = reader.mapping(entry, "valueFrom", path)
        secret = _secret_key(reader, value_from, "secretKeyRef", f"{path}.valueFrom") if value_from else None
        headers.append(
            model.Header(reader.required_text(entry, "name", path), reader.text(entry, "value", path), secret)
        )
    tls = reader.mapping(connection, "tls", "spec.connection")
    path = "spec.connection.tls"
    config_map = reader.mapping(tls, "caConfigMapKeyRef", path)
    client = reader.mapping(tls, "clientCertSecretRef", path)
    return model.Connection(
        headers=tuple(headers),
        ca_secret=_secret_key(reader, tls, "caSecretKeyRef", path) if tls.get("caSecretKeyRef") else None,
        ca_config_map=(
            reader.required_text(config_map, "name", f"{path}.caConfigMapKeyRef"),
            reader.text(config_map, "key", f"{path}.caConfigMapKeyRef") or "ca.crt",
        )
        if config_map
        else None,
        client_cert_secret=reader.required_text(client, "name", f"{path}.clientCertSecretRef") if client else None,
    )


def _knobs(reader: _Reader, knobs: Mapping[str, Any], path: str) -> model.JobKnobs:
    retry_on = knobs.get("retryOn")
    pod = reader.mapping(knobs, "pod", path)
    return model.JobKnobs(
        suspend=reader.scalar(knobs, "suspend", path, bool),
        starting_deadline_seconds=reader.scalar(knobs, "startingDeadlineSeconds", path, int),
        successful_jobs_history_limit=reader.scalar(knobs, "successfulJobsHistoryLimit", path, int),
        failed_jobs_history_limit=reader.scalar(knobs, "failedJobsHistoryLimit", path, int),
        ttl_seconds_after_finished=reader.scalar(knobs, "ttlSecondsAfterFinished", path, int),
        jitter_seconds=reader.scalar(knobs, "jitterSeconds", path, int),
        retry_on=None
        if retry_on is None
        else tuple(c for c in reader.items(knobs, "retryOn", path) if isinstance(c, int)),
        honor_retry_after=reader.scalar(knobs, "honorRetryAfter", path, bool),
        pod=pod or None,
    )


def _overrides(reader: _Reader, spec: Mapping[str, Any]) -> tuple[model.Override, ...]:
    overrides = []
    for i, item in enumerate(reader.items(spec, "overrides", "spec")):
        path = f"spec.overrides[{i}]"
        entry = item if isinstance(item, Mapping) else {}
        jobs = tuple(str(glob) for glob in reader.items(entry, "jobs", path))
        overrides.append(model.Override(jobs, _knobs(reader, entry, path)))
    return tuple(overrides)
