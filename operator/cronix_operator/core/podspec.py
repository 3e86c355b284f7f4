"""The signer's pod: Pod Security *restricted*, no API token, keys as files; every server default written out."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cronix_operator.core import naming
from cronix_operator.core.model import Connection, ExtraScheme, JobKnobs, Limits, SecretKey, SigningKey
from cronix_operator.core.schemes import SCHEMES_DIR, schemes_volume

STARTING_DEADLINE_SECONDS = 300
CONTAINER = "signer"
KEYS_DIR = "/var/run/cronix/keys"
CONNECTION_DIR = "/var/run/cronix/connection"
USER_ID = 65532
DEFAULT_RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}")


@dataclasses.dataclass(frozen=True, slots=True)
class MountedKey:
    """A signing key as the signer finds it: `path` inside the volume, `file` absolute."""

    ref: SecretKey
    path: str

    @property
    def file(self) -> str:
        return f"{KEYS_DIR}/{self.path}"


def mounted_keys(keys: Sequence[SigningKey]) -> tuple[MountedKey, ...]:
    """One file per key, named like the key where that is a safe file name, else by a hash (`../x` must not travel)."""
    return tuple(MountedKey(key.ref, _file_name(key.name)) for key in keys)


def _file_name(name: str) -> str:
    if _FILE_NAME.fullmatch(name) and ".." not in name:
        return name
    return f"key-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def pod_failure_policy() -> dict[str, Any]:
    """A drained node does not count; exit 1-4 is the app's or the job file's word and ends the Job at once."""
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [1, 2, 3, 4]},
            },
        ]
    }


def pod_template(
    connection: Connection,
    knobs: JobKnobs,
    labels: Mapping[str, str],
    keys: Sequence[MountedKey],
    extra_schemes: Sequence[ExtraScheme],
    job_file: str,
    deadline_seconds: int,
    limits: Limits,
    told: Sequence[tuple[dict[str, Any], dict[str, Any]]] = (),
) -> dict[str, Any]:
    """The pod template of one CronJob, with all defaults. `knobs.pod` may add, never loosen it.

    `told`: further volumes, of nothing secret, each with its mount.
    """
    pod = knobs.pod or {}
    volumes, mounts = _volumes(keys, extra_schemes, connection)
    volumes += [volume for volume, _ in told]
    mounts += [mount for _, mount in told]
    metadata: dict[str, Any] = {"labels": {**pod.get("labels", {}), **labels}}
    if pod.get("annotations"):
        metadata["annotations"] = dict(pod["annotations"])
    spec: dict[str, Any] = {
        "activeDeadlineSeconds": deadline_seconds,
        "automountServiceAccountToken": False,
        "containers": [_container(pod, mounts, job_file, limits)],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "schedulerName": "default-scheduler",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,  # the kubelet adds group read for it: without it 0400 is unreadable (measured)
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 30,
        "volumes": volumes,
    }
    for field in ("nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"):
        if pod.get(field):
            spec[field] = pod[field]
    return {"metadata": metadata, "spec": spec}


def _volumes(
    keys: Sequence[MountedKey], extra_schemes: Sequence[ExtraScheme], connection: Connection
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The volumes of what is secret, and where the container finds each."""
    volumes = [_keys_volume(keys)]
    mounts = [{"name": "keys", "mountPath": KEYS_DIR, "readOnly": True}]
    if extra_schemes:
        volumes.append(schemes_volume(extra_schemes))
        mounts.append({"name": "schemes", "mountPath": SCHEMES_DIR, "readOnly": True})
    sources = _connection_sources(connection)
    if sources:
        volumes.append({"name": "connection", "projected": {"defaultMode": 0o400, "sources": sources}})
        mounts.append({"name": "connection", "mountPath": CONNECTION_DIR, "readOnly": True})
    return volumes, mounts


def _container(pod: Mapping[str, Any], mounts: list[dict[str, Any]], job_file: str, limits: Limits) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": limits.signer_image,
        "imagePullPolicy": limits.signer_image_pull_policy,
        "env": [
            {"name": "CRONIX_JOB", "value": job_file},  # first: the kubelet expands $(VAR) of earlier ones only
            _downward("CRONIX_JOB_NAME", "metadata.labels['batch.kubernetes.io/job-name']"),
            _downward("CRONIX_JOB_UID", "metadata.labels['batch.kubernetes.io/controller-uid']"),
            _downward("CRONIX_SCHEDULED_TIME", f"metadata.annotations['{naming.SCHEDULED_TIME_ANNOTATION}']"),
        ],
        "resources": pod.get("resources") or DEFAULT_RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def _downward(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _keys_volume(keys: Sequence[MountedKey]) -> dict[str, Any]:
    # One source per key, each optional: during a rotation a missing key must not keep the pod from starting; with none
    # at all the signer exits 3 and says so, instead of hanging in ContainerCreating.
    sources = [_secret_source(key.ref.secret, [(key.ref.key, key.path)]) for key in keys]
    return {"name": "keys", "projected": {"defaultMode": 0o400, "sources": sources}}


def _secret_source(secret: str, items: Iterable[tuple[str, str]]) -> dict[str, Any]:
    return {"secret": {"name": secret, "optional": True, "items": [{"key": key, "path": path} for key, path in items]}}


def _connection_sources(connection: Connection) -> list[dict[str, Any]]:
    sources = [
        _secret_source(header.secret.secret, [(header.secret.key, f"header-{i}")])
        for i, header in enumerate(connection.headers)
        if header.secret is not None
    ]
    if connection.ca_secret is not None:
        sources.append(_secret_source(connection.ca_secret.secret, [(connection.ca_secret.key, "ca.crt")]))
    if connection.ca_config_map is not None:
        name, key = connection.ca_config_map
        sources.append({"configMap": {"name": name, "optional": True, "items": [{"key": key, "path": "ca.crt"}]}})
    if connection.client_cert_secret is not None:
        items = [("tls.crt", "tls.crt"), ("tls.key", "tls.key")]
        sources.append(_secret_source(connection.client_cert_secret, items))
    return sources


def connection_fire(connection: Connection) -> dict[str, object]:
    """What the job file says about the connection: headers in place or by file, certificates by file."""
    fire: dict[str, object] = {}
    if connection.headers:
        fire["headers"] = [
            {"name": header.name, "value": header.value or ""}
            if header.secret is None
            else {"name": header.name, "file": f"{CONNECTION_DIR}/header-{i}"}
            for i, header in enumerate(connection.headers)
        ]
    if connection.ca_secret is not None or connection.ca_config_map is not None:
        fire["ca_file"] = f"{CONNECTION_DIR}/ca.crt"
    if connection.client_cert_secret is not None:
        fire["client_cert_file"] = f"{CONNECTION_DIR}/tls.crt"
        fire["client_key_file"] = f"{CONNECTION_DIR}/tls.key"
    return fire
