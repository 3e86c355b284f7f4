"""Calls of `kubectl cronix` as a program, as a person makes them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cronix_cluster.paths import Paths

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Said:
    """What one call said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The answer to -o json."""
        return json.loads(self.out)


class Program:
    """`kubectl cronix` in one namespace of one cluster, with one person's kubeconfig."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace

    def __call__(self, *arguments: str, width: int | None = None) -> Said:
        """One call; a traceback is a failure whatever the test expects."""
        env = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        env["PYTHONPATH"] = ":".join(str(ROOT / part) for part in ("spec", "operator", "cli"))
        env |= {"COLUMNS": str(width)} if width else {}
        command = [sys.executable, "-m", "cronix_cli", *arguments, "-n", self._namespace]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=240)
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)


def plugin_folder(folder: Path, kubeconfig: Path) -> dict[str, str]:
    """Put the console scripts into a folder, and the environment in which `kubectl cronix` finds them."""
    for name, module in (("kubectl-cronix", "__main__"), ("kubectl_complete-cronix", "complete")):
        script = folder / name
        script.write_text(f"#!{sys.executable}\nfrom cronix_cli.{module} import program\nprogram()\n")
        script.chmod(0o755)
    return {
        "KUBECONFIG": str(kubeconfig),
        "PATH": f"{folder}:{Paths().bin}:{os.environ['PATH']}",
        "PYTHONPATH": ":".join(str(ROOT / part) for part in ("spec", "operator", "cli")),
    }
