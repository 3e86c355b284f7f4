"""What keeps one sound job of a manifest from running in a cluster, as data; pure.

The protocol lets these pass, so the manifest stays valid and the other jobs run on; this one is left out and told.
`path` of each fault is relative to the job ("request/headers/Host"); `code` is the reason in UpperCamelCase.
"""

from collections.abc import Collection

from cronix_protocol.faults import Fault, path_segment, printable
from cronix_protocol.headers import header_fault, is_reserved
from cronix_protocol.joburl import split_url
from cronix_protocol.manifest import Job
from cronix_protocol.schedule import ScheduleInvalid, parse_schedule
from cronix_protocol.zones import zone_fault

# The signer's own bound (jobfile); about 31 years.
MAX_PAUSE_SECONDS = 10**9


def kubernetes_faults(job: Job, zones: Collection[str]) -> tuple[Fault, ...]:
    """Everything that keeps `job` from becoming CronJobs, in the order of its fields; empty when nothing does.

    `zones` are the names of the IANA time zones (`zoneinfo.available_timezones()`, read by the caller: it is I/O).
    Reasons: InvalidSchedule, UnknownTimeZone, InvalidURL, ReservedHeader, InvalidHeader, DuplicateHeader, PauseTooLong.
    """
    return (*_schedules(job), *_timezone(job, zones), *_url(job), *_headers(job), *_pauses(job))


def _schedules(job: Job) -> list[Fault]:
    faults: list[Fault] = []
    for index, text in enumerate(job.schedules):
        try:
            parse_schedule(text)
        except ScheduleInvalid as invalid:
            faults.append(Fault(f"schedules/{index}", str(invalid), "InvalidSchedule"))
    return faults


def _timezone(job: Job, zones: Collection[str]) -> list[Fault]:
    message = zone_fault(job.timezone, zones)
    return [Fault("timezone", message, "UnknownTimeZone")] if message else []


def _url(job: Job) -> list[Fault]:
    try:
        split_url(job.request.url)
    except ValueError as error:
        return [Fault("request/url", f"cannot be sent exactly as it stands: {error}", "InvalidURL")]
    return []


def _headers(job: Job) -> list[Fault]:
    """The text never shows a value: it may be a credential."""
    faults: list[Fault] = []
    first: dict[str, str] = {}
    for name, value in job.request.headers:
        path = f"request/headers/{path_segment(name)}"
        if (message := header_fault(name, value)) is not None:
            faults.append(Fault(path, printable(message), "ReservedHeader" if is_reserved(name) else "InvalidHeader"))
        elif (twin := first.setdefault(name.lower(), name)) != name:
            message = f"is the same header as {twin}: case does not count; keep one of them"
            faults.append(Fault(path, message, "DuplicateHeader"))
    return faults


def _pauses(job: Job) -> list[Fault]:
    retries = job.policy.retries
    return [
        Fault(f"policy/retries/{name}", f"must be at most {MAX_PAUSE_SECONDS} in a cluster", "PauseTooLong")
        for name, seconds in (("min_seconds", retries.min_seconds), ("max_seconds", retries.max_seconds))
        if seconds > MAX_PAUSE_SECONDS
    ]
