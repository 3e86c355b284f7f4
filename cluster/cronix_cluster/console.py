"""What a person reads while waiting: short lines, seconds, no terminal tricks."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROGRESS_SECONDS = 10.0


def say(line: str) -> None:
    """Print one line to standard error, so that standard output stays for machine-readable answers."""
    print(line, file=sys.stderr, flush=True)


class Stopwatch:
    """Names each step, says how long it took, and prints at the end where the time went."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, float]] = []
        self._started = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; a step that fails is not counted, its error speaks for itself."""
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        self._steps.append((name, seconds))
        say(f"  {name} ({seconds:.1f} s)")

    @property
    def total_seconds(self) -> float:
        return time.monotonic() - self._started

    def table(self) -> str:
        """One line per step that took noticeable time, the longest first, and the total."""
        noticeable = sorted(((s, n) for n, s in self._steps if s >= 0.1), reverse=True)
        lines = [f"  {seconds:7.1f} s  {name}" for seconds, name in noticeable]
        return "\n".join(["where the time went:", *lines, f"  {self.total_seconds:7.1f} s  in all"])


@contextmanager
def progress(describe: Callable[[float], str], every_seconds: float = _PROGRESS_SECONDS) -> Iterator[None]:
    """Print `describe(elapsed seconds)` every few seconds while the block runs."""
    finished = threading.Event()
    started = time.monotonic()

    def report() -> None:
        while not finished.wait(every_seconds):
            say("    … " + describe(time.monotonic() - started))

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def ask(question: str) -> bool:
    """Ask on the terminal; anything but yes is no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
