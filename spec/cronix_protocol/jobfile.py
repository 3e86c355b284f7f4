"""Text of a job file in, a JobFile out, and back; no I/O.

A job file is the protocol's spec file, ``{"app", "job": <normalized job>, "secret_refs", "schedule_index"}``, plus the
optional key ``"fire"`` for what Kubernetes and the CronixApp add. The signer reads it in every run, so this module is
plain classes over ``lightjson``.
"""

from . import headers, lightjson
from .jobfields import Fields, kind
from .joburl import Url, split_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from .schemes.jobentries import Scheme

METHODS: "Final" = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MAX_SECONDS = 10**9


class JobFileInvalid(ValueError):
    """The job file must not be used; ``faults`` says all that is wrong, each as (path, message)."""

    def __init__(self, faults: "Sequence[tuple[str, str]]") -> None:
        super().__init__("; ".join(f"{path}: {message}" if path else message for path, message in faults))
        self.faults = tuple(faults)


class Header:
    """One header that a job sends: its value, or the file that holds it and is read anew for each attempt."""

    __slots__ = ("file", "name", "value")

    def __init__(self, name: str, value: str, file: str) -> None:
        self.name = name
        self.value = value
        self.file = file


class Fire:
    """What the CronixApp adds to a job; every field has a value that changes nothing as its default."""

    __slots__ = (
        "active_deadline_seconds",
        "app_uid",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "cronjob",
        "headers",
        "honor_retry_after",
        "jitter_seconds",
        "previous_success_file",
        "retry_on",
        "schemes",
        "starting_deadline_seconds",
        "target",
    )

    cronjob: str
    app_uid: str
    starting_deadline_seconds: int
    active_deadline_seconds: int
    target: Url | None
    jitter_seconds: int
    retry_on: frozenset[int]
    honor_retry_after: bool
    headers: tuple[Header, ...]
    schemes: "tuple[Scheme, ...]"
    ca_file: str
    client_cert_file: str
    client_key_file: str
    previous_success_file: str


class JobFile:
    """One job as the signer runs it; see the protocol's clauses for each field's meaning."""

    __slots__ = (
        "app",
        "body",
        "fire",
        "headers",
        "job",
        "max_attempts",
        "max_seconds",
        "method",
        "min_seconds",
        "schedule_index",
        "secret_refs",
        "timeout_seconds",
        "url",
    )

    app: str
    job: str
    schedule_index: int
    method: str
    url: Url
    headers: tuple[Header, ...]
    body: bytes
    timeout_seconds: int
    max_attempts: int
    min_seconds: int
    max_seconds: int
    secret_refs: tuple[tuple[str, str], ...]
    fire: Fire


def dump_job_file(
    *,
    app: str,
    job: "Mapping[str, object]",
    secret_refs: "Sequence[str]",
    schedule_index: int,
    fire: "Mapping[str, object]",
) -> str:
    """Return the job file as compact ASCII JSON in which no ``$`` stands, so that no kubelet can expand ``$(NAME)``.

    ``job`` is the normalized job; an empty ``fire`` is left out, which gives exactly the protocol's spec file.
    """
    import json  # the operator writes job files; the signer never comes here

    content: dict[str, object] = {
        "app": app,
        "job": job,
        "secret_refs": list(secret_refs),
        "schedule_index": schedule_index,
    }
    if fire:
        content["fire"] = fire
    return json.dumps(content, separators=(",", ":"), allow_nan=False).replace("$", "\\u0024")


def parse_job_file(text: str, *, allow_raw: bool = False) -> JobFile:
    """Return the job that ``text`` describes, or raise ``JobFileInvalid`` naming every fault and its place.

    Keys that the protocol does not name are ignored, except inside ``fire``: there they come from a newer operator, and
    what they ask for must not be left undone silently. ``allow_raw`` admits ``raw:`` secret refs, which put a key into
    the job file itself: right for a file that a person runs, wrong for a pod's environment.
    """
    try:
        document = lightjson.loads(text)
    except ValueError as error:
        raise JobFileInvalid([("", f"the job file is not JSON: {error}")]) from None
    if not isinstance(document, dict):
        raise JobFileInvalid([("", f"the job file is {kind(document)}; want an object with app, job, secret_refs")])
    faults: list[tuple[str, str]] = []
    result = JobFile()
    root = Fields(document, "", faults)
    result.app = root.text("app")
    result.schedule_index = root.whole("schedule_index", 0, 1_000_000, default=0)
    result.secret_refs = _secret_refs(root, allow_raw=allow_raw)
    job = root.child("job")
    result.job = job.text("name")
    _read_request(result, job.child("request"))
    _read_policy(result, job.child("policy", default={}))
    result.fire = _fire(root.child("fire", default={}))
    if result.fire.schemes and not faults:
        from .schemes.jobentries import check_form

        check_form(result, faults)
    if faults:
        raise JobFileInvalid(faults)
    return result


def _secret_refs(root: Fields, *, allow_raw: bool) -> tuple[tuple[str, str], ...]:
    refs = []
    for index, ref in enumerate(root.list("secret_refs")):
        scheme, colon, rest = ref.partition(":") if isinstance(ref, str) else ("", "", "")
        # The text of a bad ref is not shown: a bare string here is most likely the secret itself.
        if not colon or scheme not in {"env", "file", "raw"}:
            root.fault(f"secret_refs/{index}", "want file:PATH or env:NAME")
        elif not rest or "\0" in rest:
            root.fault(f"secret_refs/{index}", f"nothing after {scheme}: names a key")
        elif scheme == "raw" and not allow_raw:
            root.fault(f"secret_refs/{index}", "a raw: key stands readable in the pod's spec; use file:PATH")
        else:
            refs.append((scheme, rest))
    return tuple(refs)


def _read_request(result: JobFile, request: Fields) -> None:
    result.method = request.text("method", "POST").upper()
    if result.method not in METHODS:
        request.fault("method", f"want one of {', '.join(METHODS)}")
    url = _url(request, "url")
    if url is not None:
        result.url = url
    result.headers = tuple(_plain_headers(request.child("headers", default={})))
    body = request.text("body", "")
    try:
        result.body = body.encode()
    except UnicodeEncodeError as error:
        request.fault("body", f"half of a surrogate pair at {error.start}; no bytes can stand for it")


def _read_policy(result: JobFile, policy: Fields) -> None:
    result.timeout_seconds = policy.whole("timeout_seconds", 1, 600, default=60)
    retries = policy.child("retries", default={})
    result.max_attempts = retries.whole("max_attempts", 1, 10, default=3)
    result.min_seconds = retries.whole("min_seconds", 0, _MAX_SECONDS, default=1)
    result.max_seconds = retries.whole("max_seconds", 1, _MAX_SECONDS, default=60)


def _url(reader: Fields, key: str, default: str | None = None) -> Url | None:
    text = reader.text(key, default)
    if not text:
        return None
    try:
        return split_url(text)
    except ValueError as error:
        reader.fault(key, str(error))
        return None


def _plain_headers(reader: Fields) -> "list[Header]":
    found = []
    for name, value in reader.items().items():
        if not isinstance(value, str):
            reader.fault(name, f"{kind(value)}; want a string")
        elif fault := headers.header_fault(name, value):
            reader.fault(name, fault)
        else:
            found.append(Header(name, value, ""))
    return found


def _fire(reader: Fields) -> Fire:
    fire = Fire()
    fire.cronjob = reader.text("cronjob", "")
    fire.app_uid = reader.text("app_uid", "")
    fire.starting_deadline_seconds = reader.whole("starting_deadline_seconds", 0, _MAX_SECONDS, default=0)
    fire.active_deadline_seconds = reader.whole("active_deadline_seconds", 0, _MAX_SECONDS, default=0)
    fire.jitter_seconds = reader.whole("jitter_seconds", 0, 86400, default=0)
    fire.honor_retry_after = reader.flag("honor_retry_after")
    fire.target = _url(reader, "target_base_url", "")
    if fire.target is not None and fire.target.path != "/":
        reader.fault("target_base_url", "want scheme, host and port only; the path is the job URL's")
    fire.retry_on = _statuses(reader)
    fire.headers = _fire_headers(reader)
    fire.schemes = _schemes(reader)
    fire.ca_file = reader.text("ca_file", "")
    fire.client_cert_file = reader.text("client_cert_file", "")
    fire.client_key_file = reader.text("client_key_file", "")
    fire.previous_success_file = reader.text("previous_success_file", "")
    if fire.client_key_file and not fire.client_cert_file:
        reader.fault("client_key_file", "a client key needs client_cert_file")
    reader.refuse_unknown("unknown; a signer as new as the operator that wrote this file is needed")
    return fire


def _statuses(reader: Fields) -> frozenset[int]:
    statuses = set()
    for index, status in enumerate(reader.list("retry_on")):
        if type(status) is int and 400 <= status <= 599:
            statuses.add(status)
        else:
            reader.fault(f"retry_on/{index}", "want an HTTP status in 400..599")
    return frozenset(statuses)


def _schemes(reader: Fields) -> "tuple[Scheme, ...]":
    entries = reader.list("schemes")
    if not entries:
        return ()
    from .schemes.jobentries import read_schemes  # here, not above: most jobs have none

    return read_schemes(reader, entries)


def _fire_headers(reader: Fields) -> tuple[Header, ...]:
    found = []
    for index, item in enumerate(reader.list("headers")):
        path = f"headers/{index}"
        name, value, file = (
            (item.get("name"), item.get("value", ""), item.get("file", ""))
            if isinstance(item, dict)
            else (None, "", "")
        )
        if not (isinstance(name, str) and isinstance(value, str) and isinstance(file, str)) or (value and file):
            reader.fault(path, 'want {"name", "value"} or {"name", "file"}, all strings')
        elif fault := headers.header_fault(name, value):
            reader.fault(path, fault)
        else:
            found.append(Header(name, value, file))
    return tuple(found)
