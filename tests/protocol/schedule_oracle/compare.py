"""Random schedules and zones to Kubernetes' own library and to ours; prints every disagreement; see README.md."""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cronix_protocol.schedule import Schedule, ScheduleInvalid, parse_schedule
from protocol.protocol_helpers import ZONES, random_schedules, zone

Answer = dict[str, object]

_FROM = datetime(2024, 1, 1, tzinfo=UTC)
_YEARS = timedelta(days=365 * 8)
# What the library takes and this project refuses on purpose (D-004, and Kubernetes' own rule on TZ).
_ON_PURPOSE = ("is shorter than 60 seconds", "cannot use TZ or CRON_TZ")


def main() -> int:
    """0 when the two agree on every question."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--binary", required=True, help="the built oracle")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--count", type=int, default=20_000)
    options.add_argument("--write", type=Path, help="also keep questions and answers here, one JSON object a line")
    given = options.parse_args()
    asked = [*_edges(), *_random_questions(given.seed, given.count)]
    lines = "".join(json.dumps(question) + "\n" for question in asked)
    done = subprocess.run([given.binary], input=lines, capture_output=True, text=True, check=True, timeout=300)
    known = [question | json.loads(line) for question, line in zip(asked, done.stdout.splitlines(), strict=True)]
    if given.write:
        given.write.write_text("".join(json.dumps(answer) + "\n" for answer in known), encoding="utf-8")
    differences = [(answer, text) for answer in known if (text := difference(answer)) is not None]
    for answer, text in differences:
        print(json.dumps(answer), text)
    refused = sum("error" in answer for answer in known)
    print(f"seed {given.seed}: {len(known)} asked, {refused} refused by the library, {len(differences)} disagreements")
    return 1 if differences else 0


def _random_questions(seed: int, count: int) -> Iterator[Answer]:
    rng = random.Random(seed)
    for text in random_schedules(seed, count):
        yield {"schedule": text, "timeZone": rng.choice(ZONES), "from": _moment(rng), "count": 5}


def _edges() -> Iterator[Answer]:
    """The days around clock changes in zones where midnight itself is missing or comes twice."""
    days = {
        "Asia/Beirut": "2025-03-28",
        "Africa/Cairo": "2025-04-23",
        "America/Havana": "2025-03-07",
        "America/Santiago": "2025-09-05",
        "America/Scoresbysund": "2025-03-28",
        "Antarctica/Troll": "2025-03-28",
        "Australia/Lord_Howe": "2025-04-04",
        "America/New_York": "2025-11-01",
    }
    texts = (
        "0 0 * * *", "30 0 * * *", "*/20 * * * *", "15 1-3 * * *", "0 12 * * 0", "0 12 30 * *", "0 12 * * 5",
        "59 23 * * *", "0 */2 * * *", "0 0 1 * *", "0 5 31 * *",
    )  # fmt: skip
    for name, day in days.items():
        start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
        for text in texts:
            for hours in (0, 20, 45):
                yield {"schedule": text, "timeZone": name, "from": start + hours * 3600 + 7, "count": 5}


def _moment(rng: random.Random) -> int:
    """A random second; half of them near the days on which clocks change."""
    moment = _FROM + _YEARS * rng.random()
    if rng.random() < 0.5:
        moment = moment.replace(month=rng.choice((3, 4, 9, 10, 11)), day=rng.randint(1, 30))
    return int(moment.timestamp())


def difference(answer: Answer) -> str | None:
    """What our parser says otherwise than the oracle did, or None."""
    text, error = str(answer["schedule"]), answer.get("error")
    try:
        schedule = parse_schedule(text)
    except ScheduleInvalid as invalid:
        if error is None and not any(reason in invalid.reason for reason in _ON_PURPOSE):
            return f"refused here only: {invalid.reason}"
        return (
            None if error is None or _same_text(str(error), text, invalid) else f"said {error!r}, we {invalid.reason!r}"
        )
    if error is not None:
        return None if schedule.kubernetes != text else f"accepted here only: {error}"
    return _fires_differ(schedule, answer)


def _same_text(error: str, text: str, invalid: ScheduleInvalid) -> bool:
    if not text.isascii() or not text.isprintable() or text != text.strip() or "@every" in text or "TZ" in text:
        return True  # quoted, trimmed or spelt more leniently on purpose
    return error == invalid.reason


def _fires_differ(schedule: Schedule, answer: Answer) -> str | None:
    start = datetime.fromtimestamp(int(str(answer["from"])), UTC)
    ours = [int(slot.timestamp()) for slot in schedule.slots_after(start, zone(str(answer["timeZone"])), 5)]
    if ours != answer["next"]:
        return f"fires {answer['next']}, we {ours}"
    if schedule.never_fires and ours:
        return "said to fire never"
    return None


if __name__ == "__main__":
    sys.exit(main())
