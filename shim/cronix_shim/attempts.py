"""An answer in, what happens next out: success, retry or stop, and how long to wait; no clock, no I/O."""

from cronix_protocol.lightjson import loads
from cronix_protocol.runid import unix_seconds
from cronix_protocol.signature import sha256_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Final

SUCCESS: "Final" = "success"
REJECTED: "Final" = "rejected"
RETRY: "Final" = "retry"

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def judge(status: int, retry_on: "Collection[int]") -> str:
    """Return what an HTTP status means: 2xx success, 4xx rejected unless in ``retry_on``, all else retry.

    Redirects are not followed, so 3xx is an answer like 5xx (protocol §4.3).
    """
    if 200 <= status <= 299:
        return SUCCESS
    if 400 <= status <= 499 and status not in retry_on:
        return REJECTED
    return RETRY


def wrong_key(status: int, body: bytes) -> bool:
    """Tell whether an answer is the app's word that the key is not its own: 401 with code ``SignatureMismatch``.

    It comes before anything is run, so the same attempt may be made with another key. A bare 401 is not that word: a
    job may answer it, too, after it has done its work.
    """
    if status != 401 or b"SignatureMismatch" not in body:
        return False
    try:
        document = loads(body.decode())
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("code") == "SignatureMismatch"


def backoff_seconds(attempt: int, min_seconds: int, max_seconds: int) -> int:
    """Return the wait after failed attempt number ``attempt`` (from 1): ``min(min * 2**(attempt-1), max)``."""
    return min(min_seconds << (attempt - 1), max_seconds)


def wait_seconds(backoff: int, retry_after: str | None, *, now: float, max_seconds: int) -> float:
    """Return the wait before the next attempt where the job honours ``Retry-After``.

    The header can lengthen the backoff, never shorten it, and never beyond ``max_seconds``: the job's deadlines were
    computed from that.
    """
    asked = retry_after_seconds(retry_after, now) if retry_after is not None else None
    return backoff if asked is None else max(backoff, min(asked, max_seconds))


def retry_after_seconds(value: str, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` value asks for (RFC 9110 §10.2.3), ``None`` for other text."""
    value = value.strip(" \t")
    if value.isascii() and value.isdigit():
        return float(value) if len(value) <= 9 else 1e9
    moment = http_date(value)
    return None if moment is None else max(0.0, moment - now)


def http_date(value: str) -> int | None:
    """Return Unix seconds of an HTTP date in any of its three forms (RFC 9110 §5.6.7), ``None`` for other text."""
    words = value.replace(",", " ").split()
    if len(words) == 6 and words[5] == "GMT":  # Sun, 06 Nov 1994 08:49:37 GMT
        return _moment(words[1], words[2], words[3], words[4])
    if len(words) == 5 and words[4].isdigit():  # Sun Nov  6 08:49:37 1994
        return _moment(words[2], words[1], words[4], words[3])
    if len(words) == 4 and words[3] == "GMT" and words[1].count("-") == 2:  # Sunday, 06-Nov-94 08:49:37 GMT
        day, month, year = words[1].split("-")
        century = "19" if year >= "70" else "20"
        return _moment(day, month, century + year if len(year) == 2 else "", words[2])
    return None


def _moment(day: str, month: str, year: str, clock: str) -> int | None:
    numbers = [day, year, *clock.split(":")]
    if len(numbers) != 5 or not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in numbers):
        return None
    if month.lower() not in _MONTHS:
        return None
    d, y, hour, minute, second = (int(part) for part in numbers)
    return unix_seconds(y, _MONTHS.index(month.lower()) + 1, d, hour, minute, second)


def jitter_seconds(limit: int, app_uid: str, job: str, index: int) -> float:
    """Return this job's place in ``[0, limit)``: always the same for the same job, spread evenly over jobs."""
    noise = int.from_bytes(sha256_digest(f"cronix-jitter\0{app_uid}\0{job}\0{index}".encode("utf-8", "replace"))[:8])
    return limit * noise / 2**64


def valid_traceparent(value: str) -> bool:
    """Tell whether ``value`` is a W3C trace context parent that may be passed on."""
    parts = value.split("-")
    if [len(part) for part in parts] != [2, 32, 16, 2] or not all(map(set("0123456789abcdef").issuperset, parts)):
        return False
    return parts[0] != "ff" and parts[1].strip("0") != "" and parts[2].strip("0") != ""
