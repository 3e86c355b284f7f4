"""Each command in a terminal of 80 and of 160 columns, on what the run-truth tests left in a real cluster.

Golden captures that a person has looked at; CONTRIBUTING.md says how to renew them, and the recordings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.cli_helpers import assert_golden, call
from cli.cli_terminal import Recorded
from cronix_cli.__main__ import SECTIONS

# What the app answers to the runs that these commands start.
ANSWERS = {
    "rejected": ("AppRejected", 404, "no such job"),
    "exhausted": ("RetriesExhausted", 503, "overloaded"),
    "sync": None,
}
# By the scene: see tests/e2e/test_run_outcomes.py and, for `missed`, test_run_disruptions.py.
SCREENS = {
    "ends": (
        "status",
        "status shop/exhausted",
        "status -o wide",
        "next --count 3",
        "history",
        "history --failed --count 2",
        "history shop/exhausted -o wide",
        "logs shop/exhausted",
        "logs shop/imageless",
        "timeline",
        "doctor",
        "verify shop",
        "plan shop",
        "plan shop -m changed.json",
        "report",
        "explain '30 2 * * 1-5' --tz Europe/Paris",
        "validate changed.json",
    ),
    "acts": (
        "run shop/good",
        "run shop/good --wait",
        "run shop/rejected --wait",
        "run shop/exhausted --wait",
        "backfill shop/good last",
        "backfill shop/slow last --wait",
        "backfill shop/slow last",
        "backfill shop/good 2026-11-01T00:00",
        "history --count 5",
        "suspend shop/slow",
        "suspend shop",
        "status",
        "run shop/good",
        "resume shop",
        "resume shop/slow",
        "reconcile shop",
        "reconcile shop --wait",
    ),
    "keyless": ("status", "history", "logs shop/sync", "doctor"),
    "replaced": ("status", "next --within 2m", "history", "timeline", "doctor"),
    "missed": ("status", "history", "logs shop/sync", "timeline", "doctor", "run shop/sync --wait --timeout 2s"),
}
RECORDINGS = {"acts": "ends"}
AS_THEY_ARE = ("# ", "{", "try:", "follow it:")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the file that the command lines name, and the environment of a terminal."""
    (tmp_path / "changed.json").write_text(json.dumps(_changed(Recorded("ends", {}).manifest)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def _changed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The recorded manifest with a job of each kind: changed, gone, new, and one that Kubernetes refuses."""
    jobs = {job["name"]: dict(job) for job in manifest["jobs"]}
    jobs["good"]["schedule"] = "0 3 1 1 *"
    del jobs["imageless"]
    new = [
        {**jobs["good"], "name": name, "schedule": at} for name, at in (("new", "*/5 * * * *"), ("sunday", "0 7 * * 7"))
    ]
    return {**manifest, "jobs": [*jobs.values(), *new]}


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize("scene", SCREENS)
def test_what_a_person_sees_in_a_terminal(scene: str, columns: int) -> None:
    """Each line fits but those of -o wide, of a signer's log, and of a command that is to be copied."""
    recorded = Recorded(RECORDINGS.get(scene, scene), ANSWERS)
    shown = [recorded.shows(line, columns) for line in SCREENS[scene]]
    assert_golden(f"terminal-{scene}-{columns}", "\n".join(shown))
    cut = [text for line, text in zip(SCREENS[scene], shown, strict=True) if "-o wide" not in line]
    lines = [line for text in cut for line in text.splitlines() if not line.startswith(AS_THEY_ARE)]
    assert [line for line in lines if len(line) > columns] == []


def test_the_report_of_a_recorded_cluster_is_the_page_that_was_looked_at() -> None:
    told = call("report", "--tz", "Europe/Paris", kube=Recorded("ends", {}).kube, now=Recorded("ends", {}).now)
    assert_golden("report-ends", told.out)


def test_every_command_has_a_capture() -> None:
    """A new command brings its own."""
    shown = {line.split()[0] for lines in SCREENS.values() for line in lines}
    assert {name for section in SECTIONS.values() for name in section} - shown == set()
