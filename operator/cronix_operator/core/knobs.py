"""What a CronixApp may say about its jobs and their pods; an allow-list, nothing else gets through (attack T6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cronix_operator.core.model import JobKnobs
from cronix_operator.core.specreader import SpecReader

POD_FIELDS = (
    "labels", "annotations", "resources", "nodeSelector", "tolerations", "affinity", "priorityClassName",
    "imagePullSecrets",
)  # fmt: skip
_TOLERATION_TEXTS = ("key", "operator", "value", "effect")
_AFFINITIES = ("nodeAffinity", "podAffinity", "podAntiAffinity")
# Ours, and those that the Job controller sets and the signer reads its own slot from.
_OURS = ("cronix.dev/", "batch.kubernetes.io/")
_OUR_LABELS = ("app.kubernetes.io/managed-by", "job-name", "controller-uid")
# These annotations take away what the pod's security context gives.
_LOOSENING = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)


def read_knobs(reader: SpecReader, knobs: Mapping[str, Any], path: str) -> JobKnobs:
    """`jobDefaults` or one override; every fault goes to the reader."""
    pod = reader.mapping(knobs, "pod", path)
    return JobKnobs(
        starting_deadline_seconds=reader.whole(knobs, "startingDeadlineSeconds", path, 10, 86400),
        successful_jobs_history_limit=reader.whole(knobs, "successfulJobsHistoryLimit", path, 0, 100),
        failed_jobs_history_limit=reader.whole(knobs, "failedJobsHistoryLimit", path, 1, 100),
        ttl_seconds_after_finished=reader.whole(knobs, "ttlSecondsAfterFinished", path, 60, 31536000),
        jitter_seconds=reader.whole(knobs, "jitterSeconds", path, 0, 600),
        retry_on=_statuses(reader, knobs, path),
        honor_retry_after=reader.scalar(knobs, "honorRetryAfter", path, bool),
        previous_success_time=reader.scalar(knobs, "previousSuccessTime", path, bool),
        pod=_pod(reader, pod, f"{path}.pod") or None,
    )


def _statuses(reader: SpecReader, knobs: Mapping[str, Any], path: str) -> tuple[int, ...] | None:
    if knobs.get("retryOn") is None:
        return None
    codes = []
    for i, code in enumerate(reader.items(knobs, "retryOn", path, 32)):
        if type(code) is int and 400 <= code <= 599:
            codes.append(code)
        else:
            reader.fault(f"{path}.retryOn[{i}]", "must be an HTTP status from 400 to 599")
    return tuple(codes)


def _pod(reader: SpecReader, pod: Mapping[str, Any], path: str) -> dict[str, Any]:
    reader.unknown(pod, path, POD_FIELDS)
    shape: dict[str, Any] = {
        "labels": _keys_not(reader, reader.texts(pod, "labels", path), f"{path}.labels", _OURS, _OUR_LABELS),
        "annotations": _keys_not(
            reader, reader.texts(pod, "annotations", path), f"{path}.annotations", (*_OURS, *_LOOSENING)
        ),
        "resources": _resources(reader, reader.mapping(pod, "resources", path), f"{path}.resources"),
        "nodeSelector": reader.texts(pod, "nodeSelector", path),
        "tolerations": _tolerations(reader, pod, path),
        "affinity": _affinity(reader, reader.mapping(pod, "affinity", path), f"{path}.affinity"),
        "priorityClassName": reader.text(pod, "priorityClassName", path),
        "imagePullSecrets": [
            {"name": reader.object_name(entry, place)}
            for place, entry in reader.entries(pod, "imagePullSecrets", path, 8)
        ],
    }
    return {field: value for field, value in shape.items() if value}


def _keys_not(
    reader: SpecReader, texts: dict[str, str], path: str, prefixes: tuple[str, ...], names: tuple[str, ...] = ()
) -> dict[str, str]:
    for key in texts:
        if key.startswith(prefixes) or key in names:
            reader.fault(path, f'"{key}" is not the tenant\'s to set; take it out')
    return texts


def _resources(reader: SpecReader, resources: Mapping[str, Any], path: str) -> dict[str, Any]:
    reader.unknown(resources, path, ("requests", "limits"))
    shape: dict[str, Any] = {}
    for part in ("requests", "limits"):
        for name, quantity in reader.mapping(resources, part, path).items():
            if isinstance(quantity, bool) or not isinstance(quantity, int | str):
                reader.fault(f"{path}.{part}", "a quantity is a number or a text such as 64Mi")
            else:
                shape.setdefault(part, {})[name] = quantity
    return shape


def _tolerations(reader: SpecReader, pod: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    tolerations = []
    for place, entry in reader.entries(pod, "tolerations", path, 32):
        reader.unknown(entry, place, (*_TOLERATION_TEXTS, "tolerationSeconds"))
        toleration: dict[str, Any] = {field: reader.text(entry, field, place) for field in _TOLERATION_TEXTS}
        toleration["tolerationSeconds"] = reader.whole(entry, "tolerationSeconds", place, -(2**63), 2**63 - 1)
        tolerations.append({field: value for field, value in toleration.items() if value is not None})
    return tolerations


def _affinity(reader: SpecReader, affinity: Mapping[str, Any], path: str) -> dict[str, Any]:
    reader.unknown(affinity, path, _AFFINITIES)
    parts = {part: reader.mapping(affinity, part, path) for part in _AFFINITIES}
    return {part: dict(value) for part, value in parts.items() if value}
