"""The `console` blocks of docs/cli.md and docs/pager.md do what the pages say, line by line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.cli_calls import ROOT, has_line, plugin_folder
from e2e.e2e_helpers import console_steps

PAGES = {"cli.md": "cli", "pager.md": "night"}  # page -> its namespace


def test_the_comparison_can_fail() -> None:
    """Order counts, and so does every part."""
    assert has_line("a  1m b\nc", "a … b")
    assert not has_line("b 1m a", "a … b")
    assert not has_line("a 1m\nb", "a … b")


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_about_kubectl_cronix_is_true(
    name: str, kubeconfig: Path, images: dict[str, str], tmp_path: Path
) -> None:
    """A reader who types these commands sees what is printed under them."""
    own = tmp_path / "kubeconfig"  # the pages set the context's namespace
    shutil.copy(kubeconfig, own)
    env = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    env |= plugin_folder(tmp_path, own) | {"EXAMPLE_IMAGE": images["cronix-example"]}
    clean = ["kubectl", "delete", "namespace", PAGES[name], "--ignore-not-found", "--timeout=180s"]
    subprocess.run(clean, env=env, check=True)
    steps = console_steps(ROOT / "docs" / name)
    assert len(steps) > 20
    for command, expected in steps:
        done = subprocess.run(
            ["bash", "-c", command], env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
        )
        told = done.stdout + done.stderr
        assert done.returncode == 0, f"$ {command}\n{told}"
        for line in expected:
            assert has_line(told, line), f"$ {command}\nsaid:\n{told}\nthe page says: {line}"
