"""A decorated function and its arguments → a job of the manifest, or every fault at once; no I/O."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Required, TypedDict
from urllib.parse import urlsplit

from cronix_protocol.canonical import normalized_job
from cronix_protocol.jobfaults import kubernetes_faults
from cronix_protocol.manifest import ManifestInvalid, parse_document
from cronix_sdk.errors import JobError, SetupError
from cronix_sdk.request import TRIGGER_PREFIX, route_of

if TYPE_CHECKING:
    from cronix_protocol.manifest import Job
    from cronix_sdk.keys import Secret

JobFunction = Callable[..., object]


class JobOptions(TypedDict, total=False):
    """The keyword arguments of `@cron.job(…)` that describe the job; see `JobSpec`."""

    schedule: Required[str | Sequence[str]]
    timezone: str
    method: str
    url: str | None
    headers: Mapping[str, str]
    body: str
    timeout_seconds: int
    max_attempts: int
    retry_min_seconds: int
    retry_max_seconds: int
    concurrency: str
    concurrency_scope: str
    secret_refs: Sequence[str]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What `@cron.job(…)` was given, under the manifest's names and with its defaults and bounds.

    `schedule`: five-field cron, `@hourly` … `@yearly` or `@every 5m`; several → a list. `timezone`: an IANA name.
    `timeout_seconds` (1..600) bounds one attempt, `max_attempts` is 1..10. `url`: only when the job is not served below
    `base_url` + `/api/v1/scheduled/`.
    """

    schedule: str | Sequence[str]
    timezone: str = "UTC"
    method: str = "POST"
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    timeout_seconds: int = 60
    max_attempts: int = 3
    retry_min_seconds: int = 1
    retry_max_seconds: int = 60
    concurrency: str = "Forbid"
    concurrency_scope: str = "host"
    secret_refs: Sequence[str] = ()

    def document(self, name: str, base_url: str) -> dict[str, object]:
        """The job as the manifest spells it, not yet validated."""
        one = isinstance(self.schedule, str)
        document: dict[str, object] = {
            "name": name,
            **({"schedule": self.schedule} if one else {"schedules": list(self.schedule)}),
            "timezone": self.timezone,
            "request": {
                "method": self.method,
                "url": self.url or f"{base_url}{TRIGGER_PREFIX}{name}",
                "headers": dict(self.headers),
                "body": self.body,
            },
            "policy": {
                "concurrency": self.concurrency,
                "concurrency_scope": self.concurrency_scope,
                "timeout_seconds": self.timeout_seconds,
                "retries": {
                    "max_attempts": self.max_attempts,
                    "min_seconds": self.retry_min_seconds,
                    "max_seconds": self.retry_max_seconds,
                },
            },
        }
        if self.secret_refs:
            document["auth"] = {"secret_refs": list(self.secret_refs)}
        return document


def spec_of(name: str, options: JobOptions, secret_refs: Sequence[str]) -> JobSpec:
    """The options with the app's default for `secret_refs`, or `JobError` for one that does not exist or is missing."""
    try:
        spec = JobSpec(**options)
    except TypeError as error:
        raise JobError(f"job {name!r}: {str(error).replace('JobSpec.__init__()', '@cron.job(…)')}") from None
    return spec if spec.secret_refs else replace(spec, secret_refs=secret_refs)


@dataclass(frozen=True, slots=True)
class Registered:
    """A job that can be served: valid for the manifest, with the function to call."""

    job: Job
    spec: JobSpec
    function: JobFunction
    takes_context: bool
    is_async: bool
    signed_path: str
    served: bytes
    secret: Secret | None = field(default=None, repr=False)
    window_seconds: int | None = None

    @property
    def route(self) -> str:
        """The path of the job's URL: what a request is matched by."""
        return route_of(self.signed_path)

    def call(self, context: object) -> object:
        """Run the function; an async one returns its coroutine."""
        return self.function(context) if self.takes_context else self.function()


def register(
    name: str,
    function: JobFunction,
    spec: JobSpec,
    *,
    app: str,
    base_url: str,
    secret: Secret | None = None,
    window_seconds: int | None = None,
) -> Registered:
    """The job, or `JobError` with every fault of it."""
    job = _validated(name, spec, app=app, base_url=base_url)
    _check_for_kubernetes(job)
    if job.request.url.endswith("?"):
        raise JobError(f"job {name!r}: url ends with '?'; ASGI servers cannot tell that from no query, so leave it out")
    return Registered(
        job=job,
        spec=spec,
        function=function,
        takes_context=_takes_context(name, function),
        is_async=inspect.iscoroutinefunction(inspect.unwrap(function)),
        signed_path=_path_of(job.request.url),
        served=_served(job),
        secret=secret,
        window_seconds=window_seconds,
    )


def reschedule(registered: Registered, schedule: str | Sequence[str], *, app: str, base_url: str) -> Registered:
    """The same job on another schedule, or `JobError`."""
    spec = replace(registered.spec, schedule=schedule)
    job = _validated(registered.job.name, spec, app=app, base_url=base_url)
    _check_for_kubernetes(job)
    return replace(registered, spec=spec, job=job, served=_served(job))


def check_app(app: str, base_url: str) -> str:
    """`base_url` without trailing slashes, or `SetupError` when it or the app's id can never be in a manifest."""
    if not isinstance(base_url, str):
        raise SetupError(f"base_url: want text such as 'https://billing.example.com', got {type(base_url).__name__}")
    trimmed = base_url.rstrip("/")
    parts = urlsplit(trimmed)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise SetupError(
            f"base_url {base_url!r}: want scheme and host, optionally a path, as 'https://billing.example.com/api'"
        )
    probe = JobSpec(schedule="@hourly").document("probe", trimmed)
    try:
        parse_document({"version": 1, "app": app, "jobs": [probe]})
    except ManifestInvalid as invalid:
        faults = "; ".join(
            f"{'base_url' if 'url' in fault.path else fault.path}: {fault.message}" for fault in invalid.faults
        )
        raise SetupError(faults) from None
    return trimmed


def manifest_json(app: str, registered: Sequence[Registered]) -> bytes:
    """The manifest to serve: normalised, jobs by name."""
    jobs = b",".join(entry.served for entry in sorted(registered, key=lambda entry: entry.job.name))
    return b'{"version":1,"app":%b,"jobs":[%b]}' % (json.dumps(app).encode(), jobs)


def _served(job: Job) -> bytes:
    """One job, without `auth` where no key is named: the peer's reader refuses an empty list."""
    document = normalized_job(job)
    if not job.secret_refs:
        document.pop("auth", None)
    return json.dumps(document, separators=(",", ":")).encode()


def path_prefix(base_url: str) -> str:
    """`/api` of `https://host/api`, "" when there is none."""
    return urlsplit(base_url).path


def _validated(name: str, spec: JobSpec, *, app: str, base_url: str) -> Job:
    try:
        manifest = parse_document({"version": 1, "app": app, "jobs": [spec.document(name, base_url)]})
    except ManifestInvalid as invalid:
        faults = "; ".join(f"{_local(fault.path)} {fault.message}" for fault in invalid.faults)
        raise JobError(f"job {name!r}: {faults}") from None
    return manifest.jobs[0]


def _local(path: str) -> str:
    return path.removeprefix("jobs/0/") or path


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _takes_context(name: str, function: JobFunction) -> bool:
    if not callable(function):
        raise JobError(f"job {name!r}: @cron.job(…) decorates a function, got {type(function).__name__}")
    required = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    positional = [parameter for parameter in required if parameter.kind is not parameter.KEYWORD_ONLY]
    if len(required) > 1 or len(positional) != len(required):
        names = ", ".join(parameter.name for parameter in required)
        raise JobError(f"job {name!r}: the function is called with the context or with nothing, but wants ({names})")
    variadic = any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(function).parameters.values())
    return len(required) == 1 or variadic


def _check_for_kubernetes(job: Job) -> None:
    """What the protocol lets pass but the operator would leave out: told when the module is imported instead."""
    faults = kubernetes_faults(job, _zones() or {job.timezone})
    if faults:
        raise JobError(f"job {job.name!r}: " + "; ".join(map(str, faults)))


@functools.cache
def _zones() -> frozenset[str]:
    """The names of all time zones; empty in an image without a time zone database, where none can be checked."""
    from zoneinfo import available_timezones

    return frozenset(available_timezones())
