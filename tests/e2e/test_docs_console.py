"""The `console` blocks of docs/platform-user.md do what the page says, line by line."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import pytest

from cronix_cluster.paths import Paths
from e2e.e2e_helpers import console_steps, wait_until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/platform-user.md"


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
        ["kubectl", "delete", "namespace", "shop", "--ignore-not-found", "--timeout=180s"], env=env, check=True
    )
    steps = console_steps(PAGE)
    assert len(steps) > 20
    for command, expected in steps:
        if " get events " in command:  # an Event is written after what it tells of: who looks at once looks again
            wait_until(functools.partial(_type, command, expected, env), 60, command)
        else:
            assert _type(command, expected, env)


def _type(command: str, expected: list[str], env: dict[str, str]) -> bool:
    done = subprocess.run(["bash", "-c", command], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, f"$ {command}\n{told}"
    for line in expected:
        assert line in told, f"$ {command}\nsaid:\n{told}\nthe page says: {line}"
    return True
