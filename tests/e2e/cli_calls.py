"""Calls of `kubectl cronix` as a program, as a person makes them."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

from cronix_cluster.paths import Paths

ROOT = Path(__file__).parents[2]
WIDTHS = (80, 160)
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def has_line(told: str, expected: str) -> bool:
    """Whether one line has all parts of `expected` between its …, in this order; blanks are alike."""
    parts = [" ".join(part.split()) for part in expected.split("…")]
    pattern = re.compile(".*?".join(map(re.escape, parts)))
    return any(pattern.search(" ".join(line.split())) for line in told.splitlines())


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
        env = self._env() | ({"COLUMNS": str(width)} if width else {})
        command = self._command(arguments)
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=240)
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def on_screen(self, *arguments: str, columns: int) -> str:
        """What a terminal of this width shows, its colours taken off; each line fits.

        CRONIX_CAPTURES names a folder that takes the captures, colours and all, for a person to look at.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        env = self._env() | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
        for name in ("COLUMNS", "NO_COLOR"):
            env.pop(name, None)
        told = b""
        with subprocess.Popen(self._command(arguments), env=env, stdin=theirs, stdout=theirs, stderr=theirs):
            os.close(theirs)
            with contextlib.suppress(OSError):  # the program has ended and closed the terminal
                while part := os.read(ours, 65536):
                    told += part
        os.close(ours)
        text = told.decode().replace("\r\n", "\n")
        if folder := os.environ.get("CRONIX_CAPTURES"):
            (Path(folder) / f"{self._namespace} {' '.join(arguments).replace('/', '_')} {columns}.txt").write_text(text)
        shown = _COLOR.sub("", text)
        assert "Traceback" not in shown, shown
        assert [line for line in shown.splitlines() if len(line) > columns] == []
        return shown

    def _env(self) -> dict[str, str]:
        path = ":".join(str(ROOT / part) for part in ("spec", "operator", "cli"))
        return {**os.environ, "KUBECONFIG": str(self._kubeconfig), "PYTHONPATH": path}

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "cronix_cli", *arguments, "-n", self._namespace]


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
