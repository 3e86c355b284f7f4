"""The frozen types that travel down the corridor: App, Desired, Change, Plan, Outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

# A Kubernetes object as the API server speaks it. Read, never changed in place.
KubeObject: TypeAlias = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks: `utc` for what people see, `monotonic` seconds for intervals (no clock steps)."""

    utc: datetime
    monotonic: float


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """Which CronixApp an Event, a count or a metric is about."""

    namespace: str
    name: str
    uid: str


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What the person who installed the operator allows, the same for every CronixApp."""

    signer_image: str
    signer_image_pull_policy: str = "IfNotPresent"
    max_cron_jobs_per_app: int = 512
    ca_config_map: tuple[str, str] | None = None  # name and key, in the namespace of each CronixApp


@dataclasses.dataclass(frozen=True, slots=True)
class SecretKey:
    """One data key of a Secret in the app's own namespace."""

    secret: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key: the name the manifest's `secret_refs` may use, and where its bytes live."""

    name: str
    ref: SecretKey


@dataclasses.dataclass(frozen=True, slots=True)
class ExtraScheme:
    """A further signature for the jobs that match a glob of `jobs`; `keys`: the first one, then the next one if any."""

    kind: str
    keys: tuple[SecretKey, ...]
    jobs: tuple[str, ...]
    sha1: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceSource:
    name: str
    port: int | str | None
    scheme: str | None
    path: str


@dataclasses.dataclass(frozen=True, slots=True)
class UrlSource:
    url: str


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigMapSource:
    name: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class InlineSource:
    document: object


Source: TypeAlias = ServiceSource | UrlSource | ConfigMapSource | InlineSource


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """A header of fetch and fire; exactly one of `value` and `secret` is set."""

    name: str
    value: str | None
    secret: SecretKey | None


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    headers: tuple[Header, ...] = ()
    ca_secret: SecretKey | None = None
    ca_config_map: tuple[str, str] | None = None
    client_cert_secret: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class JobKnobs:
    """What a CronixApp may say about its jobs beyond the manifest; None means "not said here"."""

    starting_deadline_seconds: int | None = None
    successful_jobs_history_limit: int | None = None
    failed_jobs_history_limit: int | None = None
    ttl_seconds_after_finished: int | None = None
    jitter_seconds: int | None = None
    retry_on: tuple[int, ...] | None = None
    honor_retry_after: bool | None = None
    previous_success_time: bool | None = None
    pod: KubeObject | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Override:
    jobs: tuple[str, ...]
    knobs: JobKnobs


@dataclasses.dataclass(frozen=True, slots=True)
class App:
    """One CronixApp, parsed; the tenant's word.

    `keys` is None when `signing.secretRef` names a whole Secret: its data keys are then known only after it was read.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    app: str
    source: Source
    interval_seconds: float
    timeout_seconds: float
    signing_secret: str | None
    signing_keys: tuple[SigningKey, ...]
    connection: Connection
    allowed_hosts: tuple[str, ...]
    rewrite_base_url: str | None
    allow_insecure_http: bool
    suspend: bool
    max_delete_percent: int
    job_defaults: JobKnobs
    overrides: tuple[Override, ...]
    reconcile_at: str | None
    approve_prune: str | None
    probe_signature: str | None
    suspended_jobs: tuple[str, ...]
    adopt: bool
    notify_url: str | None
    extra_schemes: tuple[ExtraScheme, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)

    @property
    def subject(self) -> Subject:
        return Subject(self.namespace, self.name, self.uid)


@dataclasses.dataclass(frozen=True, slots=True)
class KeyMaterial:
    """The bytes behind an app's references, read for one fetch; never logged, never stored."""

    keys: tuple[tuple[SigningKey, str], ...]
    headers: tuple[tuple[str, str], ...] = ()
    ca_pem: str | None = None
    client_cert_pem: str | None = None
    client_key_pem: str | None = None

    def __repr__(self) -> str:
        return f"KeyMaterial({[key.name for key, _ in self.keys]})"  # a traceback or log must not show a key


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the manifest is fetched from. `connect_host` is the address source when DNS must not decide (ClusterIP)."""

    url: str
    connect_host: str | None = None
    service_base_url: str | None = None
    own_namespace_service: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """A good answer of the source. `body` is None for a 304: what the ETag that was sent stands for still counts."""

    body: bytes | None
    etag: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DesiredCronJob:
    """One CronJob as it should be. `body` carries every default, so the server returns what was sent."""

    name: str
    job: str
    index: int
    schedule: str
    time_zone: str
    body: KubeObject
    spec_hash: str
    job_hash: str


@dataclasses.dataclass(frozen=True, slots=True)
class JobFault:
    """A job (or one schedule of it, then `index` is set) that cannot be rendered; the others go on."""

    job: str
    index: int | None
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    cron_jobs: tuple[DesiredCronJob, ...]
    faults: tuple[JobFault, ...]
    job_names: tuple[str, ...]


Verb: TypeAlias = Literal["create", "update", "delete", "suspend"]


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One write the plan asks for, and why.

    `fence_slot`: first merge-patch status.lastScheduleTime to now, or the new schedule would fire a past slot.
    `live`: the object the decision was made on (uid and resourceVersion fence the write); None for a create.
    """

    verb: Verb
    name: str
    reason: str
    fields: tuple[str, ...] = ()
    desired: DesiredCronJob | None = None
    live: KubeObject | None = None
    fence_slot: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """A change that is due but waits, with the word that says why (PruneBlocked, PruneUnconfirmed, DriftContested)."""

    name: str
    reason: str
    message: str
    retry_after_seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`rolling`: CronJobs that are as declared but for the signer's image, and whose turn comes later."""

    changes: tuple[Change, ...]
    unchanged: tuple[tuple[DesiredCronJob, KubeObject], ...]
    holds: tuple[Hold, ...]
    conflicts: tuple[JobFault, ...]
    rolling: tuple[tuple[DesiredCronJob, KubeObject], ...] = ()
    roll_wait_seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """What became of one change: `live` is the server's answer (None after a delete), `fault` its refusal.

    `overtaken`: it was not written, for when the server refused the older view everything was as desired already.
    """

    change: Change
    live: KubeObject | None = None
    fault: JobFault | None = None
    mutated: bool = False
    overtaken: bool = False
