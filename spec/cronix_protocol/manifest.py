"""Bytes in, Manifest out, or every fault with its path; no I/O.

Rules: the protocol's RFC "The Manifest", spec/vectors/manifest.schema.json and manifest-vectors.json. Stricter than the
Go reader on purpose: unknown fields, `null`, duplicate keys and type mistakes are refused, each at its own path.

A manifest with any fault is refused whole, so that the caller keeps the last good one. What the protocol allows but
Kubernetes or the signer cannot do fails one job only: see `jobfaults`.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from cronix_protocol.crontext import WHITE_SPACE
from cronix_protocol.faults import Fault, FaultLog, ManifestInvalid, path_segment, quoted
from cronix_protocol.fieldreader import FieldReader, json_type, text_or
from cronix_protocol.schedule import ScheduleInvalid, parse_schedule
from cronix_protocol.strictjson import MAX_BYTES, decode_json

__all__ = [
    "MAX_BYTES",
    "Fault",
    "Job",
    "Manifest",
    "ManifestInvalid",
    "Policy",
    "Request",
    "Retries",
    "parse_document",
    "parse_manifest",
]

MAX_JOBS = 256
MAX_SCHEDULES = 64
MAX_SECRET_REFS = 8
MAX_TIMEOUT_SECONDS = 600
MAX_ATTEMPTS = 10
MAX_SAFE_INTEGER = (1 << 53) - 1
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CONCURRENCY = ("Allow", "Forbid", "Replace")
SCOPES = ("host", "global")

_NAME = re.compile(r"^[a-z][a-z0-9-]{0,62}$")
_REF_NAME = r"^[a-zA-Z][a-zA-Z0-9_:./-]{0,127}$"  # compiled at first use: most manifests name none
_HTTP_URL = re.compile(r"https?://([^/?#]*)", re.IGNORECASE | re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME_RULE = "small letters, digits and -, a letter first, at most 63 characters"


class Retries(NamedTuple):
    """Attempts of one fire: `max_attempts` counts the first; the pauses between them double from min to max seconds."""

    max_attempts: int = 3
    min_seconds: int = 1
    max_seconds: int = 60


class Policy(NamedTuple):
    """How a job may run: Allow|Forbid|Replace within host|global, `timeout_seconds` (1 to 600) for each attempt."""

    concurrency: str = "Forbid"
    concurrency_scope: str = "host"
    timeout_seconds: int = 60
    retries: Retries = Retries()


class Request(NamedTuple):
    """What is sent: `url` exactly as the app wrote it, `headers` sorted by name."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str


class Job(NamedTuple):
    """One normalized job: every default filled in, schedules trimmed and in the app's order."""

    name: str
    schedules: tuple[str, ...]
    timezone: str
    request: Request
    policy: Policy
    secret_refs: tuple[str, ...]


class Manifest(NamedTuple):
    """An app's jobs, sorted by name."""

    version: int
    app: str
    jobs: tuple[Job, ...]


def parse_manifest(raw: bytes, *, max_bytes: int = MAX_BYTES) -> Manifest:
    """Read a manifest as it was fetched; raises ManifestInvalid with all faults, and nothing else.

    At most `max_bytes` of strict UTF-8 JSON; time and memory are linear in the length.
    """
    return parse_document(decode_json(raw, max_bytes=max_bytes))


def parse_document(obj: object) -> Manifest:
    """Read a manifest that is already decoded (a CronixApp's `inline`); raises ManifestInvalid and nothing else."""
    log = FaultLog()
    top = FieldReader(obj, "", ("version", "app", "jobs"), log)
    version = top.raw("version")
    is_null = version is None and top.has("version")  # told by `raw`
    if top.usable and not is_null and (type(version) is not int or version != 1):
        top.fault("version", "must be the number 1", "invalid_value")
    app = top.matching("app", _NAME, _NAME_RULE)
    entries = top.array("jobs", MAX_JOBS)
    if top.usable and not entries and (entries is not None or not top.has("jobs")):
        top.fault("jobs", "must hold at least one job", "too_small")
    jobs = [_job(entry, f"jobs/{index}", log) for index, entry in enumerate(entries or ())]
    _tell_duplicates(jobs, log)
    if log:
        raise ManifestInvalid(log.faults())
    return Manifest(1, app, tuple(sorted(jobs, key=lambda job: job.name)))


def _tell_duplicates(jobs: list[Job], log: FaultLog) -> None:
    first_at: dict[str, int] = {}
    for index, job in enumerate(jobs):
        if job.name and first_at.setdefault(job.name, index) != index:
            message = (
                f"{quoted(job.name)} is also the name of jobs/{first_at[job.name]}; names are unique in a manifest"
            )
            log.add(f"jobs/{index}/name", message, "custom")


def _job(entry: object, path: str, log: FaultLog) -> Job:
    reader = FieldReader(entry, path, ("name", "schedule", "schedules", "timezone", "request", "policy", "auth"), log)
    if not reader.usable:
        return Job("", (), "", Request("", "", (), ""), Policy(), ())
    return Job(
        name=reader.matching("name", _NAME, _NAME_RULE),
        schedules=_schedules(reader, path, log),
        timezone=reader.string("timezone", "UTC"),
        request=_request(reader.object("request", ("method", "url", "headers", "body")), log),
        policy=_policy(
            reader.object("policy", ("concurrency", "concurrency_scope", "timeout_seconds", "retries")),
        ),
        secret_refs=_secret_refs(reader.object("auth", ("secret_refs",)), log),
    )


def _schedules(reader: FieldReader, path: str, log: FaultLog) -> tuple[str, ...]:
    single, several = reader.has("schedule"), reader.has("schedules")
    if single == several:
        given = "both are" if single else "neither is"
        log.add(path, f'exactly one of "schedule" and "schedules" must be given; {given}', "custom")
    places: list[tuple[str, object]] = []
    if single and (value := reader.raw("schedule")) is not None:
        places.append((reader.path("schedule"), value))
    if several and (entries := reader.array("schedules", MAX_SCHEDULES)) is not None:
        if not entries:
            reader.fault("schedules", "must hold at least one schedule", "too_small")
        prefix = reader.path("schedules")
        places.extend((f"{prefix}/{index}", entry) for index, entry in enumerate(entries))
    return tuple(_schedule(value, place, log) for place, value in places)


def _schedule(value: object, path: str, log: FaultLog) -> str:
    """The trimmed text; notations of other cron dialects pass here and fail their job only (`jobfaults`)."""
    text = text_or(value, path, "", log)
    if isinstance(value, str) and (text or not value):
        try:
            parse_schedule(text)
        except ScheduleInvalid as invalid:
            if not invalid.foreign:
                log.add(path, str(invalid), "custom")
    return text.strip(WHITE_SPACE)


def _request(reader: FieldReader, log: FaultLog) -> Request:
    method = reader.choice("method", "POST", METHODS)
    url = ""
    if reader.usable and not reader.has("url"):
        reader.fault("url", "is required: the http(s) URL to call", "invalid_value")
    elif (value := reader.raw("url")) is not None:
        url = text_or(value, reader.path("url"), "", log)
        if isinstance(value, str) and (wrong := _url_fault(value)) is not None:
            reader.fault("url", f"{quoted(value)} {wrong}", "invalid_format" if value else "invalid_value")
    return Request(method, url, _headers(reader, log), reader.string("body", ""))


def _url_fault(url: str) -> str | None:
    """Why the protocol refuses the URL, or None; whether it can be sent as it stands is asked of each job."""
    parts = _HTTP_URL.match(url)
    if parts is None:
        return "must start with http:// or https://"
    if _CONTROL.search(url):
        return "has a control character in it"
    host = parts[1].rpartition("@")[2]
    return "has no host; write https://HOST/PATH" if host[:1] in ("", ":") else None


def _headers(reader: FieldReader, log: FaultLog) -> tuple[tuple[str, str], ...]:
    value = reader.raw("headers")
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        reader.fault("headers", f"must be an object of strings, not {json_type(value)}", "decode")
        return ()
    headers: list[tuple[str, str]] = []
    for name, text in value.items():
        key = text_or(name, reader.path("headers"), "", log)
        place = "" if log.is_full() else f"{reader.path('headers')}/{path_segment(key)}"
        headers.append((key, text_or(text, place, "", log)))
    return tuple(sorted(headers))


def _policy(reader: FieldReader) -> Policy:
    retries = reader.object("retries", ("max_attempts", "min_seconds", "max_seconds"))
    attempts = retries.integer("max_attempts", 3, 1, MAX_ATTEMPTS)
    shortest = retries.integer("min_seconds", 1, 0, MAX_SAFE_INTEGER)
    longest = retries.integer("max_seconds", 60, 1, MAX_SAFE_INTEGER)
    # The protocol compares them only when both are given: min_seconds above the default of max_seconds is legal.
    if retries.has("min_seconds") and retries.has("max_seconds") and shortest > longest:
        reader.fault("retries", "min_seconds must not be more than max_seconds", "custom")
    return Policy(
        concurrency=reader.choice("concurrency", "Forbid", CONCURRENCY),
        concurrency_scope=reader.choice("concurrency_scope", "host", SCOPES),
        timeout_seconds=reader.integer("timeout_seconds", 60, 1, MAX_TIMEOUT_SECONDS),
        retries=Retries(attempts, shortest, longest),
    )


def _secret_refs(reader: FieldReader, log: FaultLog) -> tuple[str, ...]:
    """Names of keys. An empty list is none: the TypeScript SDK publishes it, though its own schema forbids it."""
    names: list[str] = []
    for index, entry in enumerate(reader.array("secret_refs", MAX_SECRET_REFS) or ()):
        path = f"{reader.path('secret_refs')}/{index}"
        name = text_or(entry, path, "", log)
        if isinstance(entry, str) and not re.fullmatch(_REF_NAME, name):
            log.add(path, f"{quoted(entry)} does not match {_REF_NAME}", "invalid_format")
        names.append(name)
    return tuple(names)
