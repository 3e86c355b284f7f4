"""docs/cli.md says what is so: commands, exit codes, fields of the JSON."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from cli.cli_helpers import NOW, call
from cli.cli_world import busy_shop
from cronix_cli.__main__ import SECTIONS, cli
from cronix_cli.screen import Screen
from cronix_cli.session import Session
from cronix_cli.trouble import Exit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/cli.md").read_text()
RUNBOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
SHOWN = [*RUNBOOKS, *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/migrate").glob("*.md"), ROOT / "README.md"]
# Up to whatever ends a command in a shell, or in a sentence.
CALL = re.compile(r"kubectl cronix ([a-z][^|;>&`\n]*)")


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


def _session() -> Session:
    kube = busy_shop()
    screen = Screen(None, color=False, ascii_only=False)
    return Session(now=lambda: NOW, connect=lambda *_: kube, screen=screen, sleep=kube.sleep, token=lambda: "x")


def _faults(text: str) -> list[str]:
    """What the program would say about the calls that a page shows; a name that stands for an argument is one."""
    found = []
    above = click.Context(cli, obj=_session(), **cli.context_settings)  # click keeps a command's -h of the first call
    code = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    code += re.findall(r"^\$ (.*)$", text, re.MULTILINE)  # what stands below it in a `console` block is the answer
    for line in CALL.findall("\n".join([*code, *re.findall(r"`([^`\n]+)`", text)])):
        name, *arguments = shlex.split(line, comments=True)
        command = cli.get_command(above, name)
        if command is None:
            found.append(f"no command: {line}")
            continue
        try:
            command.make_context(name, [word for word in arguments if word != "…"], parent=above)
        except click.MissingParameter:
            continue  # a sentence names the command alone
        except click.UsageError as error:
            found.append(f"{line}: {error.format_message()}")
    return found


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_every_call_that_a_page_shows_is_one_that_the_program_takes(page: Path) -> None:
    """Commands, options and their values, as a person copies them at night."""
    assert _faults(page.read_text()) == []


def test_a_call_that_the_program_does_not_take_is_seen() -> None:
    text = "```sh\nkubectl cronix status x --wiat  # y\nkubectl cronix stats\n```\n`kubectl cronix status -o xml`\n"
    assert len(_faults(text)) == 3


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_every_runbook_names_a_command_that_looks_at_its_alert(page: Path) -> None:
    assert CALL.findall(page.read_text()) != []
