"""What Kubernetes' own schedule library answers, kept in files, is what we answer."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cronix_protocol.schedule import ScheduleInvalid, parse_schedule
from protocol.protocol_helpers import random_schedules, vectors, zone
from protocol.schedule_oracle.compare import difference

_VECTORS: list[dict[str, Any]] = vectors("schedule-vectors.json")["vectors"]  # type: ignore[assignment]  # JSON
_ANSWERS = (Path(__file__).parent / "schedule_oracle" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
# The library takes these; the protocol or the API server does not.
_REFUSED_ON_PURPOSE = {"@every 0s", "@every -1h", "@every 500ms", "TZ=UTC * * * * *", "CRON_TZ=Europe/Paris 0 6 * * *"}


def _answer(vector: dict[str, Any]) -> list[str] | str:
    try:
        schedule = parse_schedule(vector["schedule"])
    except ScheduleInvalid as invalid:
        return invalid.reason
    slots = schedule.slots_after(datetime.fromisoformat(vector["from"]), zone(vector["timeZone"]), 6)
    return [f"{slot:%Y-%m-%dT%H:%M:%SZ}" for slot in slots]


def test_all_900_vectors() -> None:
    """Same fires to the second, same refusals in the same words, except the five spellings refused on purpose."""
    assert len(_VECTORS) == 900
    different = [vector for vector in _VECTORS if _answer(vector) != vector.get("error", vector.get("next", []))]
    assert {vector["schedule"] for vector in different} == _REFUSED_ON_PURPOSE


@pytest.mark.parametrize("text", sorted(_REFUSED_ON_PURPOSE))
def test_refused_on_purpose(text: str) -> None:
    """J5: less than a minute, or a zone in the schedule."""
    with pytest.raises(ScheduleInvalid, match=r"shorter than 60 seconds|cannot use TZ"):
        parse_schedule(text)


def test_the_oracles_answers() -> None:
    """Odd spellings, days without a midnight and random schedules in 20 zones: no disagreement (J5)."""
    answers = [json.loads(line) for line in _ANSWERS]
    assert len(answers) == 564
    assert [(answer, text) for answer in answers if (text := difference(answer)) is not None] == []


def test_the_generator_makes_good_and_bad_strings_and_the_same_ones_again() -> None:
    """500 strings of one seed: at least a tenth refused, at least half accepted, reproducible."""
    strings = list(random_schedules(11, 500))
    assert strings == list(random_schedules(11, 500))
    assert strings[200:] != list(random_schedules(12, 500))[200:]
    refused = 0
    for text in strings:
        try:
            parse_schedule(text)
        except ScheduleInvalid:
            refused += 1
    assert 50 <= refused <= 250
