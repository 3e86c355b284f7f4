"""How long `kubectl cronix` takes to start, against importing click and rich in the same run; no cluster needed.

The commands that need no cluster are to take at most 1.5 times what `python -c "import click, rich"` takes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("spec", "operator", "cli")
ROUNDS = 25
LIMIT = 1.5
PROGRAM = "import sys; from cronix_cli.__main__ import program; program()"  # what the console script does
MANIFEST = {
    "version": 1,
    "app": "billing",
    "jobs": [{"name": f"job-{n}", "schedule": f"{n} 2 * * *", "request": {"url": "http://b/x"}} for n in range(3)],
}


def seconds(command: Sequence[str], compiled: Path) -> float:
    """Wall time of one process; byte code is kept in `compiled`, as an installed package has it."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPATH": ":".join(str(ROOT / part) for part in PARTS), "PYTHONPYCACHEPREFIX": str(compiled)}
    start = time.perf_counter()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Interleave the rounds, so that the load of the machine falls on all alike; print medians and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.json"
        manifest.write_text(json.dumps(MANIFEST))
        calls = {
            "import click, rich": ["-c", "import click, rich"],
            "explain": ["-c", PROGRAM, "explain", "0 2 * * 1-5", "--tz", "Europe/Paris"],
            "validate": ["-c", PROGRAM, "validate", str(manifest)],
            "next -f": ["-c", PROGRAM, "next", "-f", str(manifest)],
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(ROUNDS + 1):
            for name, arguments in calls.items():
                taken = seconds([sys.executable, *arguments], Path(folder) / "compiled")
                times[name] += [taken] if turn else []  # the first one compiles
    base = statistics.median(times["import click, rich"])
    result = {
        name: {"median_ms": round(statistics.median(t) * 1000, 1), "ratio": round(statistics.median(t) / base, 2)}
        for name, t in times.items()
    }
    for name, row in result.items():
        verdict = "" if name == "import click, rich" else ("ok" if row["ratio"] <= LIMIT else f"above {LIMIT}")
        print(f"{name:20} {row['median_ms']:7.1f} ms  {row['ratio']:5.2f}  {verdict}")
    (ROOT / "benchmarks/results/cli.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
