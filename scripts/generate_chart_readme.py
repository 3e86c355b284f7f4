"""Chart.yaml and values.yaml in, charts/cronix-operator/README.md out.

Usage: ``python scripts/generate_chart_readme.py [--check]``. With ``--check`` nothing is written, and a README that is
not what the values say ends the program with exit code 1. The frame is README.md.in beside it; the line ``@values@``
in it becomes the table, ``@description@`` and ``@kubeVersion@`` the chart's own words.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent.parent / "charts" / "cronix-operator"
README = CHART / "README.md"

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][A-Za-z0-9]*):")
_DESCRIPTION = re.compile(r"^ *# -- (?P<text>.+)$")


def described(values_text: str) -> Iterator[tuple[str, str]]:
    """Yield (dotted path, description) of every key that a ``# --`` line stands above, in the file's order."""
    parents: list[tuple[int, str]] = []
    description: str | None = None
    for line in values_text.splitlines():
        if match := _DESCRIPTION.match(line):
            description = match["text"]
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            parents = [parent for parent in parents if parent[0] < indent]
            parents.append((indent, match["key"]))
            if description is not None:
                yield ".".join(key for _, key in parents), description
            description = None


def value_at(values: dict[str, Any], path: str) -> Any:
    node: Any = values
    for key in path.split("."):
        node = node[key]
    return node


def undescribed(values: dict[str, Any], paths: set[str], prefix: str = "") -> list[str]:
    """Return the leaves that no described path covers."""
    found: list[str] = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        if path in paths:
            continue
        if isinstance(value, dict) and value:
            found += undescribed(value, paths, f"{path}.")
        else:
            found.append(path)
    return found


def table(values_text: str) -> str:
    values = yaml.safe_load(values_text)
    rows = list(described(values_text))
    if missing := undescribed(values, {path for path, _ in rows}):
        raise ValueError(f"values.yaml says nothing about {', '.join(missing)}: put a '# -- ' line above")
    lines = ["| Value | Default | Meaning |", "|---|---|---|"]
    for path, description in rows:
        default = json.dumps(value_at(values, path), ensure_ascii=False)
        lines.append(f"| `{path}` | `{default}` | {description.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def render(chart: Path = CHART) -> str:
    """Return the README's text."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    text = (chart / "README.md.in").read_text("utf-8")
    for word, replacement in {
        "@description@": about["description"],
        "@kubeVersion@": about["kubeVersion"].removeprefix(">=").removesuffix("-0").removesuffix(".0"),
        "@values@": table((chart / "values.yaml").read_text("utf-8")),
    }.items():
        text = text.replace(word, replacement)
    return text


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the chart's README from its values.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the README is out of date")
    options = parser.parse_args(argv)
    text = render()
    if README.exists() and README.read_text("utf-8") == text:
        return 0
    if options.check:
        sys.stderr.write(
            "charts/cronix-operator/README.md is out of date: run python scripts/generate_chart_readme.py\n"
        )
        return 1
    README.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
