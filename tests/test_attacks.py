"""docs/attacks.md tells the truth: the tests that it names exist and say which attack they are against."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "attacks.md"
ROW = re.compile(r"^\| (?P<id>[A-Z]\d+) \| (?P<what>[^|]+) \| (?P<tests>[^|]+) \|$", re.MULTILINE)
# How many there are of each kind; a row that is lost is an attack that nobody looks at any more.
COUNTS = {"S": 9, "T": 10, "J": 8, "C": 8, "K": 11, "W": 9}
ROWS = {row["id"]: row["tests"].split("<br>") for row in ROW.finditer(PAGE.read_text("utf-8"))}


def named_in(text: str | None, attack: str) -> bool:
    """Whether a docstring names the attack, alone or inside a range such as S1-S3."""
    for found in re.finditer(r"\b([A-Z])(\d+)(?:[-–]([A-Z])?(\d+))?\b", text or ""):  # noqa: RUF001  # people write it
        first, last = int(found[2]), int(found[4] or found[2])
        if found[1] == attack[0] and first <= int(attack[1:]) <= last:
            return True
    return False


def docstrings(test: str) -> list[str | None]:
    """The docstrings of `path::function` (the module's own, too), or of the module alone."""
    name, _, function = test.strip("`").partition("::")
    tree = ast.parse((ROOT / "tests" / name).read_text("utf-8"))
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    return [ast.get_docstring(tree)] + ([ast.get_docstring(functions[function])] if function else [])


def test_every_attack_has_a_row() -> None:
    assert set(ROWS) == {f"{kind}{n}" for kind, count in COUNTS.items() for n in range(1, count + 1)}


@pytest.mark.parametrize("attack", ROWS)
def test_the_tests_of_an_attack_exist_and_name_it(attack: str) -> None:
    for test in ROWS[attack]:
        assert any(named_in(text, attack) for text in docstrings(test)), f"{test} does not name {attack}"


def test_nothing_that_reads_what_others_send_knows_yaml() -> None:
    """J7: no YAML, so no bombs and no tags; the client library's own reader of kubeconfigs is the only one around."""
    for folder in ("operator", "spec", "shim", "sdk"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    assert not [a.name for a in node.names if a.name.startswith("yaml")], path
                elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("yaml"):
                    # What reading a broken kubeconfig raises.
                    assert [a.name for a in node.names] == ["YAMLError"], path


@pytest.mark.parametrize(
    ("text", "attack", "named"), [("S1-S3", "S2", True), ("(T8)", "T8", True), ("S12", "S1", False)]
)
def test_a_planted_name_is_seen(text: str, attack: str, named: bool) -> None:
    assert named_in(text, attack) is named
