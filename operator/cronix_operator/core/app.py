"""CronixApp body in, App out; no I/O.

The CRD's schema and CEL rules have refused most nonsense before it gets here. This parser still trusts nothing: an
object written past an older schema must end in a condition, not in a crash (attack T8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cronix_operator.core import model
from cronix_operator.core.errors import Stalled
from cronix_operator.core.knobs import read_knobs
from cronix_operator.core.schemes import read_schemes
from cronix_operator.core.specreader import JOB_GLOB, JOB_GLOB_RULE, SERVICE_NAME, SpecReader
from cronix_protocol.faults import quoted
from cronix_protocol.headers import header_fault
from cronix_protocol.joburl import split_url

GROUP = "cronix.dev"
VERSION = "v1alpha1"
PLURAL = "cronixapps"
KIND = "CronixApp"
API_VERSION = f"{GROUP}/{VERSION}"

RECONCILE_AT = "cronix.dev/reconcile-at"
APPROVE_PRUNE = "cronix.dev/approve-prune"
PROBE_SIGNATURE = "cronix.dev/probe-signature"
SUSPENDED_JOBS = "cronix.dev/suspended-jobs"
ADOPT = "cronix.dev/adopt"

MANIFEST_PATH = "/.well-known/cron-manifest"
APP_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
MAX_FAULTS_SHOWN = 10
MAX_ECHO = 256  # status.lastHandledReconcileAt

_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*(?::[0-9]{1,5})?")
_PATH = re.compile(r"/[!-~]*")
_PORT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?")
_KEY_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_:./-]{0,127}")
_HOST_RULE = "a host such as api.example.com, *.example.com or billing.shop.svc:8080"
# Beside those that a job may not set: the fetch asks for an answer as it is.
_CODINGS = frozenset({"accept-encoding", "content-encoding"})


def owner_reference(app: model.App | model.Subject) -> dict[str, Any]:
    """What makes an object a CronixApp's own, so that garbage collection takes it along.

    No blockOwnerDeletion: under OwnerReferencesPermissionEnforcement it needs a right on cronixapps/finalizers.
    """
    return {"apiVersion": API_VERSION, "kind": KIND, "name": app.name, "uid": app.uid, "controller": True}


def parse_app(body: Mapping[str, Any]) -> model.App:
    """The App that a CronixApp body describes, defaults filled in; raises Stalled(InvalidSpec) naming every fault."""
    meta = body["metadata"]
    reader = SpecReader()
    spec = reader.mapping(body, "spec", "")
    annotations = reader.texts(meta, "annotations", "metadata")
    signing = reader.mapping(spec, "signing", "spec")
    signing_secret, signing_keys = _signing(reader, signing)
    targets = reader.mapping(spec, "targets", "spec")
    source = reader.mapping(spec, "source", "spec")
    percent = reader.whole(reader.mapping(spec, "prune", "spec"), "maxDeletePercent", "spec.prune", 0, 100)
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
        allowed_hosts=reader.matching_items(targets, "allowedHosts", "spec.targets", _HOST, _HOST_RULE),
        rewrite_base_url=_rewrite(reader, targets),
        allow_insecure_http=bool(reader.scalar(spec, "allowInsecureHTTP", "spec", bool)),
        suspend=bool(reader.scalar(spec, "suspend", "spec", bool)),
        max_delete_percent=50 if percent is None else percent,
        job_defaults=read_knobs(reader, reader.mapping(spec, "jobDefaults", "spec"), "spec.jobDefaults"),
        overrides=_overrides(reader, spec),
        reconcile_at=annotations.get(RECONCILE_AT, "")[:MAX_ECHO] or None,
        approve_prune=annotations.get(APPROVE_PRUNE),
        probe_signature=annotations.get(PROBE_SIGNATURE, "")[:MAX_ECHO] or None,
        suspended_jobs=suspended_names(annotations),
        adopt=annotations.get(ADOPT) == "true",
        notify_url=_notify(reader, reader.mapping(spec, "notify", "spec")),
        extra_schemes=read_schemes(reader, signing),
    )
    if reader.faults:
        more = len(reader.faults) - MAX_FAULTS_SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        raise Stalled("InvalidSpec", "; ".join(reader.faults[:MAX_FAULTS_SHOWN]) + rest)
    return app


def suspended_names(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The jobs that the annotation cronix.dev/suspended-jobs names, between commas or blanks."""
    return tuple(part for part in re.split(r"[,\s]+", annotations.get(SUSPENDED_JOBS) or "") if part)


def _app_id(reader: SpecReader, spec: Mapping[str, Any], name: str) -> str:
    app = reader.text(spec, "app", "spec") or name
    if not APP_NAME.fullmatch(app):
        reader.fault(
            "spec.app",
            f'{quoted(app)} is not an app id (a-z, then a-z, 0-9, "-", at most 63); '
            "set spec.app to the app of your manifest",
        )
    return app


def _source(reader: SpecReader, source: Mapping[str, Any]) -> model.Source:
    given = [kind for kind in ("service", "url", "configMapKeyRef", "inline") if source.get(kind) is not None]
    if len(given) != 1:
        reader.fault(
            "spec.source", f"exactly one of service, url, configMapKeyRef, inline; found {', '.join(given) or 'none'}"
        )
        return model.InlineSource(None)
    path = f"spec.source.{given[0]}"
    makers: dict[str, Callable[[], model.Source]] = {
        "service": lambda: _service(reader, reader.mapping(source, "service", "spec.source"), path),
        "url": lambda: _url(reader, source),
        "configMapKeyRef": lambda: _config_map(reader, reader.mapping(source, "configMapKeyRef", "spec.source"), path),
        "inline": lambda: model.InlineSource(source["inline"]),
    }
    return makers[given[0]]()


def _url(reader: SpecReader, source: Mapping[str, Any]) -> model.UrlSource:
    text = reader.required_text(source, "url", "spec.source")
    try:
        split_url(text)
    except ValueError as exc:
        reader.fault("spec.source.url", f"{quoted(text)} cannot be called: {exc}")
    return model.UrlSource(text)


def _notify(reader: SpecReader, notify: Mapping[str, Any]) -> str | None:
    text = reader.text(notify, "url", "spec.notify")
    try:
        split_url(text or "https://example.com/")
    except ValueError as exc:
        reader.fault("spec.notify.url", f"{quoted(text or '')} cannot be called: {exc}")
    return text


def _rewrite(reader: SpecReader, targets: Mapping[str, Any]) -> str | None:
    text = reader.text(targets, "rewriteBaseURL", "spec.targets")
    if text is None:
        return None
    try:
        is_bare = split_url(text).path == "/"
    except ValueError as exc:
        reader.fault("spec.targets.rewriteBaseURL", f"{quoted(text)} cannot be called: {exc}")
    else:
        if not is_bare:
            reader.fault("spec.targets.rewriteBaseURL", f"{quoted(text)}: write scheme, host and port only")
    return text


def _service(reader: SpecReader, service: Mapping[str, Any], path: str) -> model.ServiceSource:
    port = service.get("port")
    if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) <= 5:
        port = int(port)
    is_number = type(port) is int and 1 <= port <= 65535
    if port is not None and not is_number and not (isinstance(port, str) and _PORT_NAME.fullmatch(port)):
        reader.fault(f"{path}.port", "must be a port number from 1 to 65535 or a port's name")
        port = None
    manifest_path = reader.text(service, "path", path) or MANIFEST_PATH
    if not _PATH.fullmatch(manifest_path):
        reader.fault(f"{path}.path", f"{quoted(manifest_path)} must begin with / and hold printable ASCII only")
    return model.ServiceSource(
        name=reader.object_name(service, path, SERVICE_NAME),
        port=port,
        scheme=reader.choice(service, "scheme", path, ("http", "https")),
        path=manifest_path,
    )


def _config_map(
    reader: SpecReader, ref: Mapping[str, Any], path: str, key: str = "manifest.json"
) -> model.ConfigMapSource:
    given = {"key": key, **{k: v for k, v in ref.items() if v is not None}}
    return model.ConfigMapSource(reader.object_name(given, path), reader.data_key(given, path))


def _signing(reader: SpecReader, signing: Mapping[str, Any]) -> tuple[str | None, tuple[model.SigningKey, ...]]:
    has_ref, has_keys = signing.get("secretRef") is not None, signing.get("keys") is not None
    if has_ref == has_keys:
        reader.fault(
            "spec.signing",
            "exactly one of secretRef and keys; the shortest form is signing: {secretRef: {name: my-secret}}",
        )
        return None, ()
    if has_ref:
        ref = reader.mapping(signing, "secretRef", "spec.signing")
        return reader.object_name(ref, "spec.signing.secretRef"), ()
    keys = [
        model.SigningKey(
            reader.matching(entry, "name", path, _KEY_NAME, "a key's name as in the manifest's secret_refs"),
            reader.secret_key(entry, "secretKeyRef", path),
        )
        for path, entry in reader.entries(signing, "keys", "spec.signing", 8)
    ]
    if not keys or len({key.name for key in keys}) < len(keys):
        reader.fault("spec.signing.keys", "must hold at least one key, and each name once")
    return None, tuple(keys)


def _connection(reader: SpecReader, connection: Mapping[str, Any]) -> model.Connection:
    path = "spec.connection"
    headers = [_header(reader, entry, place) for place, entry in reader.entries(connection, "headers", path, 16)]
    if len({header.name.lower() for header in headers}) < len(headers):
        reader.fault(f"{path}.headers", "two headers have the same name (case does not count); keep one")
    tls, path = reader.mapping(connection, "tls", path), f"{path}.tls"
    ca_secret = ca_config_map = client_cert_secret = None
    if tls.get("caSecretKeyRef") is not None:
        ca_secret = reader.secret_key(tls, "caSecretKeyRef", path)
    if tls.get("caConfigMapKeyRef") is not None:
        ref = reader.mapping(tls, "caConfigMapKeyRef", path)
        ca = _config_map(reader, ref, f"{path}.caConfigMapKeyRef", "ca.crt")
        ca_config_map = (ca.name, ca.key)
    if tls.get("clientCertSecretRef") is not None:
        ref = reader.mapping(tls, "clientCertSecretRef", path)
        client_cert_secret = reader.object_name(ref, f"{path}.clientCertSecretRef")
    if ca_secret and ca_config_map:
        reader.fault(path, "write at most one of caSecretKeyRef and caConfigMapKeyRef")
    return model.Connection(tuple(headers), ca_secret, ca_config_map, client_cert_secret)


def _header(reader: SpecReader, entry: Mapping[str, Any], path: str) -> model.Header:
    name, value = reader.required_text(entry, "name", path), reader.text(entry, "value", path)
    value_from = reader.mapping(entry, "valueFrom", path)
    if (value is None) == (entry.get("valueFrom") is None):
        reader.fault(path, "write exactly one of value and valueFrom")
    wrong = header_fault(name, value or "")
    if wrong or name.lower() in _CODINGS:
        reader.fault(path, wrong or f"{name} is set by cronix; take it out")
    secret = reader.secret_key(value_from, "secretKeyRef", f"{path}.valueFrom") if value_from else None
    return model.Header(name, value, secret)


def _overrides(reader: SpecReader, spec: Mapping[str, Any]) -> tuple[model.Override, ...]:
    return tuple(
        model.Override(
            reader.matching_items(entry, "jobs", path, JOB_GLOB, JOB_GLOB_RULE), read_knobs(reader, entry, path)
        )
        for path, entry in reader.entries(spec, "overrides", "spec")
    )
