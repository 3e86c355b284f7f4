"""Builders, vectors and generators that the protocol's tests share; the same seed gives the same strings."""

import json
import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from cronix_protocol.manifest import Job, ManifestInvalid, parse_document, parse_manifest

VECTORS = Path(__file__).parents[2] / "spec" / "vectors"

# Zones with every kind of clock change there is: half an hour, two a day, at midnight, negative, none.
ZONES = (
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Scoresbysund",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kolkata",
    "Asia/Tehran",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Pacific/Kiritimati",
)

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = ("JAN", "feb", "Mar", "APR", "may", "Jun", "JUL", "aug", "Sep", "OCT", "nov", "Dec")
_DAYS = ("SUN", "mon", "Tue", "WED", "thu", "Fri", "SAT")
_SHORTCUTS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_DURATIONS = ("5m", "90s", "1h30m", "2h", "1.5h", "60s", "1m", "60.9s", "24h", "1h0m0.5s", "+3m", "168h", "61000ms")
_WEIRD = (
    "", " ", "@reboot", "@DAILY", "@every", "@every ", "@every 0s", "@every -1h", "@every 30s", "@every 5",
    "@every 5M", "@every5m", "@every  5m", "@every 5m ", "@every 1d", "@every 1e3s", "@every 59.999s", "@every .5h",
    "@every 9223372036.854775807s", "@every 9223372037s", "@every 2562047h47m16.854775807s", "@every 99999999999h",
    "@hourly ", " @hourly", "@hourly x", "TZ=UTC * * * * *", "CRON_TZ=Europe/Paris 0 6 * * *", "* * * *", "* * * * * *",
    "* * * * 7", "* * * * 5-7", "0 0 * * SAT-SUN", "0 22-2 * * *", "0 0 L * *", "0 0 15W * *", "0 0 * * 5L",
    "0 0 * * 5#2", "H * * * *", "R R * * *", "*/0 * * * *", "*/-1 * * * *", "*/+5 * * * *", "+5 * * * *",
    "-1 * * * *", "1-5-7 * * * *", "*-5-7 * * * *", "*/5/2 * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *",
    "* * 32 * *", "* * * 13 *", ", * * * *", "* , * * *", "* * , * *", "* * * , *", "* * * * ,", "1,,2 * * * *",
    "? ? ? ? ?", "?/5 * * * *", "*-5/7 * * * *", "5/ * * * *", "/5 * * * *", "0 0 31 2 *", "0 0 30 2 *", "0 0 29 2 *",
    "0 0 31 4,6,9,11 *", "59 23 31 2 1", "0 0 1,* * 1", "0 0 */2 * 1", "0 0 */1 * 1", "0x5 * * * *", "1_0 * * * *",
    "٣ * * * *", "0 0 * * FR\u0130", "0 0 * * \u017fun", "0\u00a00\u2003*\t*\n*", "0 0 * *\x1c*", "* * * * *\x00",
    "00005 * * * *", "9223372036854775807 * * * *", "9223372036854775808 * * * *", "*/9223372036854775807 * * * *",
    "0 0 * JANUARY *", "0 0 * * sunday", "** * * * *", "* * * * *;", "*/15,30 1-5/2,7 1,15,31 */3,feb mon-fri/2",
)  # fmt: skip


def fuzz_cases(default: int) -> int:
    """How many examples a property test runs: CRONIX_FUZZ_CASES when set, else a number that fits the suite."""
    return int(os.environ.get("CRONIX_FUZZ_CASES", default))


@cache
def zone(name: str) -> ZoneInfo:
    """The zone, read once."""
    return ZoneInfo(name)


def vectors(name: str) -> dict[str, object]:
    """One of the files in spec/vectors, decoded."""
    decoded: dict[str, object] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return decoded


def random_schedules(seed: int, count: int) -> Iterator[str]:
    """`count` schedule strings: valid, nearly valid and weird; every known oddity comes once before the random ones."""
    rng = random.Random(seed)
    for index in range(count):
        if index < len(_WEIRD):
            yield _WEIRD[index]
        else:
            yield _one_schedule(rng)


def _one_schedule(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.04:
        return rng.choice(_SHORTCUTS)
    if kind < 0.10:
        return f"@every {rng.choice(_DURATIONS)}"
    if kind < 0.13:
        return f"@every {rng.randrange(1, 4000)}{rng.choice(['s', 'm', 'h', 'ms', 'us', 'd', ''])}"
    text = " ".join(_field(rng, place) for place in range(5))
    return _damaged(rng, text) if kind < 0.25 else text


def _field(rng: random.Random, place: int) -> str:
    if rng.random() < (0.25, 0.3, 0.55, 0.6, 0.55)[place]:
        return rng.choice(("*", "*", "*", "?"))
    return ",".join(_item(rng, place) for _ in range(rng.choice((1, 1, 1, 1, 2, 3))))


def _item(rng: random.Random, place: int) -> str:
    low, high = _RANGES[place]
    first, last = sorted((rng.randint(low, high), rng.randint(low, high)))
    step = rng.choice((1, 2, 3, 5, 7, 10, 15, 20, 40))
    shapes = (
        _name(rng, place, first),
        _name(rng, place, first),
        f"{_name(rng, place, first)}-{_name(rng, place, last)}",
        f"{first}-{last}/{step}",
        f"{first}/{step}",
        f"*/{step}",
        f"{last}-{first}" if rng.random() < 0.15 else f"{first}-{last}",
    )
    return rng.choice(shapes)


def _name(rng: random.Random, place: int, value: int) -> str:
    if place == 3 and rng.random() < 0.3:
        return _MONTHS[value - 1]
    if place == 4 and rng.random() < 0.3:
        return _DAYS[value]
    return str(value)


def _damaged(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    noise = rng.choice("0123456789*?/-,,  \tLWH#@+.x7")
    return rng.choice((text[:at] + text[at + 1 :], text[:at] + noise + text[at:], text[:at] + noise + text[at + 1 :]))


def manifest_with(**job: object) -> dict[str, object]:
    """A valid manifest of one job, with some of the job's fields replaced; None takes a field away."""
    fields: dict[str, object] = {
        "name": "rollup",
        "schedule": "0 2 * * *",
        "request": {"url": "https://x.example.com/cron/rollup"},
    }
    fields |= job
    kept = {key: value for key, value in fields.items() if value is not None}
    return {"version": 1, "app": "reports", "jobs": [kept]}


def one_job(**job: object) -> Job:
    """The parsed job of `manifest_with`."""
    return parse_document(manifest_with(**job)).jobs[0]


def faults_of(document: object) -> dict[str, str]:
    """Path to code of every fault; bytes are parsed, anything else is taken as decoded. Fails when there is none."""
    try:
        parse_manifest(document) if isinstance(document, bytes) else parse_document(document)
    except ManifestInvalid as invalid:
        return {fault.path: fault.code for fault in invalid.faults}
    raise AssertionError("the manifest was accepted")
