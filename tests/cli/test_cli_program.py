"""The program as a whole: help, completion, tables, and what it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.cli_helpers import NOW, call
from cli.cli_world import shop
from cronix_cli.__main__ import SECTIONS
from cronix_cli.complete import suggestions
from cronix_cli.options import ZONES
from cronix_cli.screen import Screen
from cronix_cli.session import Session
from cronix_cli.table import Cell, Column, Row, cells, cut
from cronix_cli.trouble import Exit

COMMANDS = [name for section in SECTIONS.values() for name in section]
ROOT = Path(__file__).resolve().parents[2]
HEAVY = frozenset(
    {"kubernetes", "aiohttp", "httpx", "rich", "yaml", "asyncio", "ssl", "socket", "logging", "urllib", "hashlib"}
    | {"pathlib", "difflib", "subprocess", "email", "cronix_operator.edges", "cronix_operator.core.model"}
    | {"cronix_operator.core.app", "cronix_operator.core.plan", "cronix_cli.reading", "cronix_cli.picture"}
)


def test_the_help_names_every_command_and_every_exit_code() -> None:
    """Stable exit codes are worth something only when a reader finds them."""
    told = call("--help")
    assert [name for name in COMMANDS if f"  {name} " not in told.out] == []
    assert [code for code in Exit if f" {code.value}  " not in told.out] == []


def test_without_a_command_it_shows_the_help() -> None:
    """Not as an error message: it is what the person needs next."""
    told = call()
    assert told.code == Exit.USAGE
    assert told.err.startswith("Usage: kubectl cronix")


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The client library would log the file and then raise about a key that the file lacks."""
    path = tmp_path / "nowhere"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("spec", "operator", "cli"))}
    done = subprocess.run(
        [sys.executable, "-m", "cronix_cli", "status", "--kubeconfig", str(path)],
        capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip
    assert done.returncode == Exit.UNAVAILABLE
    assert done.stderr == f"error: kubeconfig: {path} does not exist\ntry:   kubectl config get-contexts\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """`-h` works as well as `--help`."""
    told = call(command, "-h")
    assert told.code == 0
    assert f"kubectl cronix {command}" in told.out.partition("Options:")[0].partition("\n\n")[2]


def _loaded(*arguments: str) -> set[str]:
    """Every module that one call of the program has loaded by its end, in a process of its own."""
    program = (
        "import sys; from cronix_cli.__main__ import main; main(sys.argv[1:]); "
        "print(' '.join(sorted(sys.modules)), file=sys.stderr)"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("spec", "operator", "cli"))}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, env=env
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("command", ["--help", "explain", "explain -o", "next -f", "validate"])
def test_a_question_that_needs_no_cluster_loads_nothing_heavy(command: str, tmp_path: Path) -> None:
    """It starts in at most 1.5 times what importing click and rich takes (benchmarks/bench_cli.py), and so it stays."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text(
        json.dumps(
            {"version": 1, "app": "a", "jobs": [{"name": "x", "schedule": "@hourly", "request": {"url": "http://b"}}]}
        )
    )
    arguments = {
        "--help": ["--help"],
        "explain": ["explain", "0 2 * * 1-5", "--tz", "Europe/Paris"],
        "explain -o": ["explain", "0 2 * * 1-5", "-o", "json"],  # click asks difflib about a short option, if it may
        "next -f": ["next", "-f", str(manifest)],
        "validate": ["validate", str(manifest)],
    }[command]
    # A dataclass is made by running six small programs that are put together from text: six times the cost of a tuple.
    heavy = HEAVY | ({"dataclasses"} if command in ("explain", "validate") else set())
    assert {name for name in _loaded(*arguments) if any(f"{name}.".startswith(f"{other}.") for other in heavy)} == set()


def test_a_file_that_is_no_json_loads_the_yaml_reader() -> None:
    """The test above would see it: a file that is no JSON may be a CronixApp."""
    assert HEAVY & _loaded("validate", str(ROOT / "README.md")) == {"yaml"}


@pytest.mark.parametrize("option", ["-o=json", "-ojson", "-o json", "--output=json"])
def test_a_short_option_takes_its_value_as_in_kubectl(option: str) -> None:
    """`kubectl get -o=json` is in everybody's fingers."""
    told = call("explain", "@hourly", *option.split())
    assert (told.code, told.out[:1]) == (0, "{")


def test_a_table_is_cut_only_where_it_may_be_and_only_to_the_width() -> None:
    """The flexible column gives way; the others stay whole, a pipe gets everything."""
    columns = (Column("A"), Column("B", flexible=True), Column("C", wide=True))
    rows: list[Row] = [("first", "x" * 60, "wide"), (Cell("second", "red"), "y", "")]

    def drawn(width: int | None, *, wide: bool = False) -> list[str]:
        return ["".join(c.text for c in row).rstrip() for row in cells(columns, rows, width=width, wide=wide)]

    assert drawn(None)[1] == "first    " + "x" * 60
    assert drawn(30)[1] == "first   " + "x" * 21 + "…"
    assert max(map(len, drawn(40, wide=True))) == 9 + 60 + 3 + 4
    assert drawn(30)[2] == "second  y"
    columns = (Column("A", optional=True), Column("B", flexible=True), Column("C", optional=True))
    rows = [("first", "y" * 20, "third")]
    assert [drawn(width)[1] for width in (40, 30, 20)] == [
        "first   " + "y" * 20 + "   third",
        "first  " + "y" * 20,
        "y" * 20,
    ]
    assert cut("billing/reconcile-payments/0", 16, 2) == "billing/recon…/0"


def test_text_of_others_cannot_paint_the_terminal() -> None:
    """Attack C7: a message with an escape sequence arrives as plain characters."""
    row = cells((Column("A"),), [("\x1b[31mred\nline",)], width=None, wide=False)[1]
    assert row[0].text == " [31mred line"


def test_the_screen_obeys_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No terminal, no colour and no cut; COLUMNS asks for a width all the same."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Screen.of_process().width is None
    monkeypatch.setenv("COLUMNS", "97")
    assert Screen.of_process().width == 97
    Screen.of_process().line(Cell("plain", "red"))
    assert capsys.readouterr().out == "plain\n"


def test_the_zones_are_those_of_the_system() -> None:
    """Found one by one, they are the same set that the operator reads at its start."""
    from zoneinfo import available_timezones

    assert {name for name in available_timezones() if name not in ZONES} == set()
    assert [name for name in ("europe/paris", "Nowhere/None", "../etc", "posix/UTC", "") if name in ZONES] == []


def _complete(*words: str) -> list[str]:
    kube = shop()
    session = Session(
        now=lambda: NOW,
        connect=lambda _kubeconfig, _context: kube,
        screen=Screen(None, color=False, ascii_only=False),
        sleep=kube.sleep,
        token=lambda: "x",
    )
    return [item.value for item in suggestions(words, session)[0]]


def test_tab_completes_commands_options_and_formats() -> None:
    """As kubectl calls kubectl_complete-cronix: the words so far, the last one unfinished."""
    assert _complete("exp") == ["explain"]
    assert "--within" in _complete("next", "--")
    assert _complete("next", "-o", "js") == ["json"]
    assert _complete("no-such-command", "x") == []


def test_tab_completes_names_from_the_cluster_step_by_step() -> None:
    """First apps and their jobs, then schedules; a cluster that refuses gives nothing and no error."""
    assert _complete("status", "bill")[:2] == ["billing", "billing/ping"]
    assert _complete("run", "billing/settle-invoices/") == ["billing/settle-invoices/0", "billing/settle-invoices/1"]
