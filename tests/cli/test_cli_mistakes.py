"""Three mistakes that a tired person makes with each command: each answer says what to type instead."""

from __future__ import annotations

import collections

import pytest

from cli.cli_helpers import Kube, Told, call
from cli.cli_mistakes import MISTAKES
from cli.cli_world import shop
from cronix_cli.__main__ import SECTIONS


def _with(kube: Kube, *changes: str) -> Kube:
    for change in changes:
        if change == "no crd":
            kube.no_crd = True
        else:
            verb, plural = change.split()
            kube.denied.add((verb, plural))
    return kube


@pytest.mark.parametrize(("line", "changes", "code", "words"), MISTAKES, ids=[m[0] + str(m[1] or "") for m in MISTAKES])
def test_a_mistake_is_answered_with_what_to_type_instead(
    line: str, changes: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    """The exit code is the documented one, the text is on standard error or is the answer itself; never a traceback."""
    told: Told = call(*(word.replace("_", " ") for word in line.split()), kube=_with(shop(), *changes))
    said = told.out + told.err
    assert told.code == code, said
    assert [word for word in words if word not in said] == [], said
    assert "Traceback" not in said


def test_each_command_has_three_of_them() -> None:
    """A new command brings its own."""
    counts = collections.Counter(line.split()[0] for line, *_ in MISTAKES)
    names = [name for section in SECTIONS.values() for name in section]
    assert [name for name in names if counts[name] < 3] == []
