"""The program as a whole: help, completion, tables, and what it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.cli_helpers import NOW, call
from cli.cli_world import shop
from cronix_cli.__main__ import SECTIONS
from cronix_cli.complete import suggestions
from cronix_cli.screen import Screen
from cronix_cli.session import ZONES, Session
from cronix_cli.table import Cell, Column, Row, cells, cut
from cronix_cli.trouble import Exit

COMMANDS = [name for section in SECTIONS.values() for name in section]
HEAVY = ("kubernetes", "aiohttp", "httpx", "rich", "yaml", "cronix_operator.core.plan")


def test_the_help_names_every_command_and_every_exit_code() -> None:
    """Stable exit codes are worth something only when a reader finds them."""
    told = call("--help")
    assert [name for name in COMMANDS if f"  {name} " not in told.out] == []
    assert [code for code in Exit if f" {code.value}  " not in told.out] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """`-h` works as well as `--help`."""
    told = call(command, "-h")
    assert told.code == 0
    assert f"kubectl cronix {command}" in told.out.partition("Options:")[0].partition("\n\n")[2]


@pytest.mark.parametrize("arguments", [["explain", "@hourly"], ["--help"], ["validate", "README.md"]])
def test_a_small_question_loads_no_heavy_library(arguments: list[str]) -> None:
    """What it costs to load them is more than the whole answer may take (benchmarks/bench_cli.py)."""
    program = (
        "import sys; from cronix_cli.__main__ import main; main(sys.argv[1:]); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    heavy = [] if arguments[0] != "validate" else ["yaml"]  # a file that is no JSON may be a CronixApp
    assert done.stderr.splitlines()[-1] == str(heavy)


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
