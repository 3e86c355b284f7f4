"""Rows in, lines of text out: columns as kubectl draws them, cut to a width; pure.

No library: the ones that draw tables take longer to load than a whole `explain` may (benchmarks/bench_cli.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

GAP = "   "
NARROW_GAP = "  "
SMALLEST = 8


class Column(NamedTuple):
    """A column. `wide`: only with -o wide. Where the terminal is too narrow, columns that are `optional` go first, the
    last of them before the others; then `flexible` ones are cut, but for `keep_end` characters at the end.
    """

    title: str
    wide: bool = False
    optional: bool = False
    flexible: bool = False
    keep_end: int = 0


class Cell(NamedTuple):
    """A text with the colour it may have (`red`, `green`, `yellow`, `cyan`; "" is none)."""

    text: str
    color: str = ""


Row: TypeAlias = Sequence["Cell | str"]


def cells(columns: Sequence[Column], rows: Sequence[Row], *, width: int | None, wide: bool) -> list[list[Cell]]:
    """Every line of the table, the titles first, as padded cells; joined with nothing they are the line."""
    whole = [[_plain(value) for value in row] for row in [[c.title for c in columns], *rows]]
    needed = [max(len(row[i].text) for row in whole) for i in range(len(columns))]
    shown = [i for i, column in enumerate(columns) if wide or not column.wide]
    gap = GAP
    if width is not None and not wide and _total(needed, shown, GAP) > width:  # with -o wide nothing is ever cut
        gap = NARROW_GAP
        for i in reversed([i for i in shown if columns[i].optional]):
            if _total(needed, shown, gap) > width:
                shown.remove(i)
    widths = [needed[i] for i in shown]
    if gap is NARROW_GAP and width is not None:
        widths = _squeezed(widths, [columns[i].flexible for i in shown], width - len(gap) * (len(widths) - 1))
    ends = [columns[i].keep_end for i in shown]
    return [_line([row[i] for i in shown], widths, ends, gap) for row in whole]


def _total(needed: Sequence[int], shown: Sequence[int], gap: str) -> int:
    return sum(needed[i] for i in shown) + len(gap) * (len(shown) - 1)


def _plain(value: Cell | str) -> Cell:
    return Cell(printable(value.text), value.color) if isinstance(value, Cell) else Cell(printable(value))


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
