"""What `verify` and `doctor` found, one line for each thing looked at, with what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from cronix_cli.session import Session
from cronix_cli.table import Cell
from cronix_cli.trouble import Exit

Verdict = Literal["ok", "warning", "bad"]
_SIGNS: dict[Verdict, Cell] = {"ok": Cell("✓", "green"), "warning": Cell("·", "yellow"), "bad": Cell("✗", "red")}


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `hint`: what to do, where something is to be done."""

    verdict: Verdict
    name: str
    text: str
    hint: str = ""


def show(session: Session, kind: str, checks: Sequence[Check]) -> int:
    """Print them; the exit code is 1 when one is bad."""
    if session.is_data:
        items = [{"verdict": c.verdict, "name": c.name, "text": c.text, "hint": c.hint} for c in checks]
        session.screen.document(kind, {"items": items}, session.output)
    else:
        width = max((len(check.name) for check in checks), default=0)
        for check in checks:
            lines = session.screen.wrapped(check.text.partition("\n")[0], width + 4)
            session.screen.line(_SIGNS[check.verdict], f" {check.name.ljust(width)}  {lines[0]}")
            for line in lines[1:]:
                session.screen.line(" " * (width + 4), line)
            if check.hint:
                session.screen.paragraph(check.hint, " " * (width + 4))
    return Exit.NO if any(check.verdict == "bad" for check in checks) else Exit.OK
