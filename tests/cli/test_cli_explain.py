"""`explain`: agrees with the operator's core, tells surprises, says no in the API server's words; no cluster."""

from __future__ import annotations

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import yaml

from cli.cli_helpers import NOW, assert_golden, call
from cronix_protocol.lint import lint_schedule
from cronix_protocol.schedule import parse_schedule

SCHEDULES = ["0 2 * * *", "*/7 3 13 * 5", "@every 1h30m", "@weekly", "0 0 31 2 *", "30 2 * 3,10 0"]


@pytest.mark.parametrize("text", SCHEDULES)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "Australia/Lord_Howe"])
def test_explain_says_what_the_operator_would_do(text: str, zone: str) -> None:
    """Same core: the same slots, the same warnings."""
    told = call("explain", text, "--tz", zone, "-o", "json", "--count", "7")
    found, schedule = json.loads(told.out), parse_schedule(text)
    fires = [datetime.fromisoformat(slot) for slot in found["fires"]]
    assert fires == list(schedule.slots_after(NOW, ZoneInfo(zone), 7))
    codes = [lint.code for lint in lint_schedule(schedule, ZoneInfo(zone), NOW, 0)]
    assert [warning["code"] for warning in found["warnings"]] == codes
    assert (told.code, told.err) == (0, "")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("explain-paris", ["0 2 * * *", "--tz", "Europe/Paris"]),
        ("explain-surprises", ["*/7 0 13 * 5"]),
        ("explain-refused", ["0 7 * * 7"]),
        ("explain-every", ["@every5M", "--count", "2"]),
        ("explain-never", ["0 0 31 2 *"]),
    ],
)
@pytest.mark.parametrize("width", [80, 160])
def test_what_a_person_sees(name: str, arguments: list[str], width: int) -> None:
    """Golden captures, looked at."""
    assert_golden(f"{name}-{width}", call("explain", *arguments, width=width).out)


def test_a_schedule_that_kubernetes_refuses_is_exit_1_with_its_own_words() -> None:
    """The answer is no, and a script can tell."""
    told = call("explain", "0 7 * * 7", "-o", "yaml")
    found = yaml.safe_load(told.out)
    assert told.code == 1
    assert found["accepted"] is False
    assert found["reason"] == "end of range (7) above maximum (6): 7"
    assert found["advice"] == "Sunday is 0 or SUN in Kubernetes"


def test_colour_only_where_the_terminal_has_it_and_ascii_where_it_has_no_more() -> None:
    """NO_COLOR is the Screen's to know; here is what it does with it."""
    assert "\x1b[" in call("explain", "@hourly", color=True).out
    assert "\x1b[" not in call("explain", "@hourly").out
    assert call("explain", "@hourly", ascii_only=True).out.isascii()
