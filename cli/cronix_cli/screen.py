"""Lines out: colours only where they are wanted, ASCII where the terminal knows no more, JSON and YAML for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cronix_cli.table import Cell, Column, Row, cells, printable, wrapped

API_VERSION = "cli.cronix.dev/v1"
_ASCII = str.maketrans({"├": "|", "└": "`", "─": "-", "│": "|", "…": ".", "✓": "+", "✗": "!", "·": "."})


class Screen:
    """Standard output as it is. `width`: None where it is no terminal, so that nothing is ever cut in a pipe."""

    def __init__(self, width: int | None, *, color: bool, ascii_only: bool) -> None:
        self.width = width
        self._color = color
        self._ascii = ascii_only

    @classmethod
    def of_process(cls) -> Screen:
        """The screen that the environment describes: COLUMNS, NO_COLOR, TERM, and the encoding of standard output."""
        terminal = sys.stdout.isatty()
        # A width that is asked for holds in a pipe, too.
        fixed = terminal or os.environ.get("COLUMNS", "").isdigit()
        width = _columns() if fixed else None
        color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        encoding = (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "")
        return cls(width, color=color, ascii_only=encoding not in {"utf8", "utf16", "utf32"})

    def line(self, *parts: Cell | str) -> None:
        """One line, put together from parts in their colours."""
        text = "".join(self._styled(part) for part in parts).rstrip()
        click.echo(text.translate(_ASCII) if self._ascii else text, color=self._color)

    def table(self, columns: Sequence[Column], rows: Sequence[Row], *, wide: bool = False) -> None:
        """A table, cut to the width."""
        for row in cells(columns, rows, width=self.width, wide=wide):
            self.line(*row)

    def paragraph(self, text: str, indent: str = "") -> None:
        """A sentence, wrapped; a text of several lines as it stands, for it holds what a person is to paste."""
        if "\n" in text:
            for line in text.split("\n"):
                self.line(printable(line))
            return
        for line in wrapped(printable(text), self.width, indent):
            self.line(line)

    def wrapped(self, text: str, indent: int) -> list[str]:
        """The sentence in lines that fit beside an indent, which is not written."""
        return wrapped(printable(text), None if self.width is None else self.width - indent, "")

    def document(self, kind: str, content: Mapping[str, Any], output: str) -> None:
        """`content` as JSON or YAML in its envelope (docs/cli.md)."""
        whole = {"apiVersion": API_VERSION, "kind": kind, **content}
        if output == "yaml":
            import yaml

            click.echo(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), nl=False)
        else:
            import json

            click.echo(json.dumps(whole, indent=2, ensure_ascii=False))

    def _styled(self, part: Cell | str) -> str:
        if isinstance(part, str):
            return part
        return click.style(part.text, fg=part.color) if part.color and self._color else part.text


def _columns() -> int:
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80
