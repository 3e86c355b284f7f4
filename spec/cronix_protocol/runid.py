"""Which slot a pod stands for, and the run id that every attempt and every replacement of it shares; no clock, no I/O.

Kubernetes names the Jobs of a CronJob ``<cronjob>-<minutes since epoch of the slot>`` (``pkg/controller/cronjob``,
``getJobName``), so the label ``batch.kubernetes.io/job-name`` tells the scheduled time without any right to the API.
"""

from .signature import sha256_digest

_SLOT_DIGITS = 8  # minutes since epoch: eight digits from 1989 until 2160


def slot_from_job_name(job_name: str, cronjob: str, now: float, believe_seconds: float) -> int | None:
    """Return the slot (Unix seconds, whole minutes) that a Job's name tells, or ``None`` for a run started by hand.

    Anybody may give a Job a name that looks like a slot, so a slot further than ``believe_seconds`` from ``now`` is not
    believed. For ``@every`` schedules the seconds of the slot are not in the name: it is the minute of the slot.
    """
    prefix, dash, minutes = job_name.rpartition("-")
    if not dash or prefix != cronjob or len(minutes) != _SLOT_DIGITS:
        return None
    if not (minutes.isascii() and minutes.isdigit()):
        return None
    slot = int(minutes) * 60
    return slot if abs(slot - now) <= believe_seconds else None


def run_id(app_uid: str, job: str, index: int, slot: int) -> str:
    """Return the id of one slot: UUIDv7 layout, the slot as its time, the rest from SHA-256 of what names the slot.

    The same four arguments give the same id in every attempt, pod and cluster controller; ``slot`` is Unix seconds.
    """
    return _uuid7(slot * 1000, f"cronix-run\0{app_uid}\0{job}\0{index}\0{slot}")


def manual_run_id(job_uid: str, now: float, *, entropy: bytes = b"") -> str:
    """Return the id of a run that stands for no slot: UUIDv7 layout, the rest from SHA-256 of the Job's uid.

    With a ``job_uid`` the id is a function of it alone, and its time is 0, so that the pod that replaces a killed one
    carries the same id; where there is no Job, ``now`` (Unix seconds) is its time and ``entropy`` makes it unique.
    """
    if job_uid:
        return _uuid7(0, f"cronix-manual\0{job_uid}")
    return _uuid7(int(now * 1000), f"cronix-manual\0\0{now!r}\0{entropy.hex()}")


def parse_rfc3339(text: str) -> int | None:
    """Return Unix seconds of ``2026-01-31T23:59:00Z`` (UTC, whole seconds), or ``None`` for any other text."""
    shape = "".join("0" if "0" <= char <= "9" else char for char in text)
    if shape != "0000-00-00T00:00:00Z":
        return None
    return unix_seconds(
        int(text[:4]), int(text[5:7]), int(text[8:10]), int(text[11:13]), int(text[14:16]), int(text[17:19])
    )


def unix_seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    """Return Unix seconds of a UTC date and time from 1970 on, or ``None`` where the calendar has no such moment."""
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= _days_in(year, month)):
        return None
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return None
    # Days from civil (proleptic Gregorian), years counted from March so that the leap day comes last.
    shifted = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year - 719468
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in {4, 6, 9, 11} else 31


def _uuid7(milliseconds: int, name: str) -> str:
    noise = int.from_bytes(sha256_digest(name.encode("utf-8", "surrogatepass"))[:10])
    value = (milliseconds & (1 << 48) - 1) << 80 | noise
    value = value & ~(0xF << 76) | 7 << 76  # version
    value = value & ~(0b11 << 62) | 0b10 << 62  # variant
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
