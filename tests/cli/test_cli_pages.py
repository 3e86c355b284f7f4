"""docs/cli.md says what is so: commands, exit codes, fields of the JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.cli_helpers import call
from cli.cli_world import busy_shop
from cronix_cli.__main__ import SECTIONS
from cronix_cli.trouble import Exit

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()


def test_every_command_and_every_exit_code_is_on_the_page() -> None:
    """A reader looks there first."""
    headings = " ".join(re.findall(r"^### (.+)$", PAGE, re.MULTILINE))
    names = [name for section in SECTIONS.values() for name in section]
    assert [name for name in names if not re.search(rf"\b{name}\b", headings)] == []
    codes = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE) for code in row.split(",")}
    assert codes == {code.value for code in Exit}


def _row(kind: str) -> str:
    found = re.search(rf"^\|[^|]*\|[^|]*`{kind}`[^|]*\|.*$", PAGE, re.MULTILINE)
    assert found is not None, kind
    return found[0]


def _document(*arguments: str) -> Any:
    return json.loads(call(*arguments, "-o", "json", kube=busy_shop()).out)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("Explanation", ["explain", "*/7 * * * *"]),
        ("Explanation", ["explain", "x"]),
        ("NextList", ["next"]),
        ("StatusList", ["status"]),
        ("Timeline", ["timeline"]),
        ("Diagnosis", ["doctor"]),
        ("Run", ["run", "billing/settle-invoices"]),
    ],
)
def test_the_fields_of_an_answer_are_those_of_the_page(kind: str, arguments: list[str]) -> None:
    """Neither more nor less: a program relies on the names."""
    found = _document(*arguments)
    assert found["kind"] == kind
    fields = set(found) - {"apiVersion", "kind"} | {field for item in found.get("items", [])[:1] for field in item}
    assert [field for field in sorted(fields) if f"`{field}`" not in _row(kind)] == []


def test_the_fields_of_a_job_and_of_a_run_are_those_of_the_page() -> None:
    """The two that stand in lines of their own."""
    jobs = [job for app in _document("status")["items"] for job in app["jobs"]]
    runs = _document("history")["items"]
    for start, rows in (("| … `jobs` |", jobs), ("| … a run |", runs)):
        (line,) = [line for line in PAGE.splitlines() if line.startswith(start)]
        listed = set(re.findall(r"`(\w+)`", line)) - {"jobs"}
        assert {field for row in rows for field in row} <= listed
        assert start == "| … a run |" or {field for row in rows for field in row} == listed
