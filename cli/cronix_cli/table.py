"""Rows in, lines of text out: columns as kubectl draws them, cut to a width; pure.

No library: the ones that draw tables take longer to load than a whole `explain` may (benchmarks/bench_cli.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

GAP = "   "
NARROW_GAP = "  "
SMALLEST = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column. `wide`: only with -o wide. `flexible`: may be cut where the terminal is narrow, but for `keep_end`
    characters at its end (an index tells more than the middle of a name)."""

    title: str
    wide: bool = False
    flexible: bool = False
    keep_end: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A text with the colour it may have (`red`, `green`, `yellow`, `cyan`; "" is none)."""

    text: str
    color: str = ""


Row: TypeAlias = Sequence["Cell | str"]


def cells(columns: Sequence[Column], rows: Sequence[Row], *, width: int | None, wide: bool) -> list[list[Cell]]:
    """Every line of the table, the titles first, as padded cells; joined with nothing they are the line."""
    shown = [i for i, column in enumerate(columns) if wide or not column.wide]
    picked = [[as_cell(row[i]) for i in shown] for row in [[c.title for c in columns], *rows]]
    picked = [[Cell(printable(cell.text), cell.color) for cell in row] for row in picked]
    widths = [max(len(row[n].text) for row in picked) for n in range(len(shown))]
    gap = GAP
    if width is not None and not wide:  # who asks for everything gets everything
        gap = GAP if sum(widths) + len(GAP) * (len(widths) - 1) <= width else NARROW_GAP
        widths = _squeezed(widths, [columns[i].flexible for i in shown], width - len(gap) * (len(widths) - 1))
    ends = [columns[i].keep_end for i in shown]
    return [_line(row, widths, ends, gap) for row in picked]


def as_cell(value: Cell | str) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def printable(text: str) -> str:
    """One line that cannot paint the terminal: what an app or another person wrote ends in these tables (attack C7)."""
    return "".join(c if c.isprintable() else " " for c in text)


def cut(text: str, width: int, keep_end: int = 0) -> str:
    """`text`, or as much of it as fits with a … where something was taken out."""
    if len(text) <= width:
        return text
    return text[: max(1, width - 1 - keep_end)] + "…" + (text[-keep_end:] if keep_end else "")


def _line(row: list[Cell], widths: list[int], ends: list[int], gap: str) -> list[Cell]:
    line = [
        Cell(cut(cell.text, size, end).ljust(size) + gap, cell.color)
        for cell, size, end in zip(row, widths, ends, strict=True)
    ]
    return [*line[:-1], Cell(line[-1].text.rstrip(), line[-1].color)]


def _squeezed(widths: list[int], flexible: list[bool], width: int) -> list[int]:
    """Take from the widest flexible column, one character at a time, until the line fits or nothing more can go."""
    sizes = list(widths)
    for _ in range(sum(sizes) - width):
        widest = max((n for n, may in enumerate(flexible) if may), key=lambda n: sizes[n], default=None)
        if widest is None or sizes[widest] <= SMALLEST:
            break
        sizes[widest] -= 1
    return sizes


def wrapped(text: str, width: int | None, indent: str) -> list[str]:
    """A sentence over as many lines as it takes, each with the indent."""
    if width is None or len(indent) + len(text) <= width:
        return [indent + text]
    import textwrap

    return textwrap.wrap(
        text,
        max(width, len(indent) + 20),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
