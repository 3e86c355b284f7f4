"""The `console` blocks of docs/platform-user.md do what the page says, line by line."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from cronix_cluster.paths import Paths

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/platform-user.md"


def _steps() -> list[tuple[str, list[str]]]:
    """(command, lines that its output must contain) in the page's order."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


@pytest.mark.usefixtures("operator")
def test_the_page_for_the_platform_user_is_true(kubeconfig: Path, images: dict[str, str]) -> None:
    """A reader who types these commands sees what is printed under them."""
    env = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "EXAMPLE_IMAGE": images["cronix-example"],
        "PATH": f"{Paths().bin}:{os.environ['PATH']}",
    }
    subprocess.run(
        ["kubectl", "delete", "namespace", "shop", "--ignore-not-found", "--timeout=60s"], env=env, check=True
    )
    steps = _steps()
    assert len(steps) > 20
    for command, expected in steps:
        done = subprocess.run(["bash", "-c", command], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        assert done.returncode == 0, f"$ {command}\n{told}"
        for line in expected:
            assert line in told, f"$ {command}\nsaid:\n{told}\nthe page says: {line}"
