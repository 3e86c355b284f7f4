"""Environment in, frozen Settings out; every limit with its unit. Read once, at start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from cronix_operator.core.lease import Terms
from cronix_operator.core.rights import Scope

LOG_LEVELS = ("INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL")


class SettingsInvalid(ValueError):
    """The environment does not make sense; the text names the variable and what it may be."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How this operator runs. `watch_namespaces`: empty means the whole cluster."""

    signer_image: str
    signer_image_pull_policy: str = "IfNotPresent"
    signer_rolls_per_second: int = 10
    ca_config_map: tuple[str, str] | None = None
    watch_namespaces: tuple[str, ...] = ()
    log_level: str = "INFO"
    log_format: Literal["json", "text"] = "json"
    workers: int = 8
    max_cron_jobs_per_app: int = 512
    resync_seconds: float = 600.0
    health_port: int = 8081
    metrics_port: int | None = None  # None: no metrics endpoint
    metrics_per_job: bool = True
    version: str = "unknown"
    pod_name: str = "cronix-operator"
    pod_uid: str = ""  # empty outside of a cluster
    namespace: str = "cronix-system"  # the operator's own
    service_account: str = "cronix-system:cronix-operator"  # namespace:name, for the advice on missing rights
    secrets_namespaces: tuple[str, ...] = ("",)  # "" in it: wherever it watches; none: each namespace grants its own
    writes_successes: bool = False  # False: each namespace grants the writing of its ConfigMap of last successes
    lease: str = ""  # name of the Lease in `namespace`; empty: no election, this is the only operator
    lease_terms: Terms = dataclasses.field(default_factory=Terms)
    denied_addresses: frozenset[str] = frozenset()
    kubeconfig: str | None = None

    @property
    def scope(self) -> Scope:
        """Where the operator works, for the list of the rights it needs."""
        lease = (self.namespace, self.lease) if self.lease else None
        return Scope(self.watch_namespaces, self.secrets_namespaces, lease, self.writes_successes)


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings from CRONIX_* variables; raises SettingsInvalid."""
    image = env.get("CRONIX_SIGNER_IMAGE", "")
    if not image:
        raise SettingsInvalid(
            "CRONIX_SIGNER_IMAGE is not set: the reference of the signer's image (chart: signer.image)"
        )
    log_format = _among(env, "CRONIX_LOG_FORMAT", ("json", "text"))
    namespace = env.get("POD_NAMESPACE", "cronix-system")
    own = (env.get("KUBERNETES_SERVICE_HOST", ""), env.get("HOST_IP", ""))
    return Settings(
        signer_image=image,
        signer_image_pull_policy=_among(env, "CRONIX_SIGNER_IMAGE_PULL_POLICY", ("IfNotPresent", "Always", "Never")),
        signer_rolls_per_second=_whole(env, "CRONIX_SIGNER_ROLLS_PER_SECOND", 10, 1, 1000),
        ca_config_map=_ca_config_map(env),
        watch_namespaces=_names(env, "CRONIX_WATCH_NAMESPACES"),
        log_level=_among({name: text.upper() for name, text in env.items()}, "CRONIX_LOG_LEVEL", LOG_LEVELS),
        log_format="json" if log_format == "json" else "text",
        workers=_whole(env, "CRONIX_WORKERS", 8, 1, 256),
        max_cron_jobs_per_app=_whole(env, "CRONIX_MAX_CRONJOBS_PER_APP", 512, 1, 16384),
        resync_seconds=_whole(env, "CRONIX_RESYNC_SECONDS", 600, 10, 86400),
        health_port=_whole(env, "CRONIX_HEALTH_PORT", 8081, 1, 65535),
        metrics_port=_whole(env, "CRONIX_METRICS_PORT", 0, 0, 65535) or None,
        metrics_per_job=_among(env, "CRONIX_METRICS_PER_JOB", ("true", "false")) == "true",
        version=env.get("CRONIX_VERSION") or "unknown",
        pod_name=env.get("POD_NAME", "cronix-operator"),
        pod_uid=env.get("POD_UID", ""),
        namespace=namespace,
        service_account=":".join((namespace, env.get("POD_SERVICE_ACCOUNT", "cronix-operator"))),
        secrets_namespaces=_secrets_namespaces(env),
        writes_successes=_among(env, "CRONIX_WRITES_SUCCESSES", ("false", "true")) == "true",
        lease=env.get("CRONIX_LEASE", ""),
        lease_terms=_lease_terms(env),
        denied_addresses=frozenset(address for address in own if address),
        kubeconfig=env.get("CRONIX_KUBECONFIG") or env.get("KUBECONFIG"),
    )


def _names(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(env.get(name, "").replace(",", " ").split()))


def _secrets_namespaces(env: Mapping[str, str]) -> tuple[str, ...]:
    """Where the operator is told it may read Secrets; in mode `namespaces` without a list, wherever it watches."""
    mode = _among(env, "CRONIX_SECRETS_MODE", ("cluster", "namespaces", "none"))
    if mode == "none":
        return ()
    return (_names(env, "CRONIX_SECRETS_NAMESPACES") if mode == "namespaces" else ()) or ("",)


def _ca_config_map(env: Mapping[str, str]) -> tuple[str, str] | None:
    text = env.get("CRONIX_CA_CONFIG_MAP", "")
    name, _, key = text.partition("/")
    if text and not (name and key):
        raise SettingsInvalid(f'CRONIX_CA_CONFIG_MAP is "{text[:80]}"; write NAME/KEY (chart: caBundle)')
    return (name, key) if text else None


def _lease_terms(env: Mapping[str, str]) -> Terms:
    terms = Terms(
        _whole(env, "CRONIX_LEASE_DURATION_SECONDS", 15, 3, 3600),
        _whole(env, "CRONIX_LEASE_RENEW_DEADLINE_SECONDS", 10, 2, 3600),
        _whole(env, "CRONIX_LEASE_RETRY_SECONDS", 2, 1, 3600),
    )
    if not terms.duration_seconds > terms.renew_deadline_seconds > terms.retry_seconds:
        raise SettingsInvalid(
            "CRONIX_LEASE_DURATION_SECONDS must be more than CRONIX_LEASE_RENEW_DEADLINE_SECONDS, and that more than "
            f"CRONIX_LEASE_RETRY_SECONDS; they are {terms.duration_seconds:g}, {terms.renew_deadline_seconds:g} and "
            f"{terms.retry_seconds:g} (chart: leaderElection)"
        )
    return terms


def _among(env: Mapping[str, str], name: str, words: Sequence[str]) -> str:
    """One of `words`, the first of them where nothing is said."""
    text = env.get(name, "") or words[0]
    if text not in words:
        raise SettingsInvalid(f'{name} is "{text}"; write {", ".join(words[:-1])} or {words[-1]}')
    return text


def _whole(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name, "") or str(default)
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        raise SettingsInvalid(f'{name} is "{text[:40]}"; write a whole number from {low} to {high}')
    return int(text)
