"""`kubectl_complete-cronix`: what kubectl calls at each Tab; names of apps and jobs come from the cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

import click
from click.shell_completion import CompletionItem, ShellComplete

from cronix_cli.__main__ import _session, cli
from cronix_cli.session import Session

NO_FILES = 4  # cobra's ShellCompDirectiveNoFileComp
FILES = 0


def suggestions(words: Sequence[str], session: Session) -> tuple[list[CompletionItem], int]:
    """What may stand where the last word is, and cobra's directive. Never raises: a Tab must not print an error."""
    *before, incomplete = words or [""]
    found: list[CompletionItem] = []
    with suppress(Exception):
        found = ShellComplete(cli, {"obj": session}, "kubectl cronix", "").get_completions(list(before), incomplete)
    if any(item.type in {"file", "dir"} for item in found):
        return [], FILES
    return found, NO_FILES


def program() -> None:
    """The console script: one suggestion a line, then the directive, as cobra's programs answer."""
    found, directive = suggestions(sys.argv[1:], _session())
    for item in found:
        click.echo(f"{item.value}\t{item.help}" if item.help else item.value)
    click.echo(f":{directive}")
