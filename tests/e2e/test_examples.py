"""Each example, started as its README says, takes verified runs and refuses everything else."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from e2e.e2e_helpers import Place, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN_SECONDS = 150
APPS = {  # folder → name of its objects, folder of its keys
    "hello": ("hello", "/etc/hello/keys"),
    "wsgi": ("example-wsgi", "/etc/cron-keys"),
    "flask": ("example-flask", "/etc/cron-keys"),
    "django": ("example-django", "/etc/cron-keys"),
    "fastapi": ("example-fastapi", "/etc/cron-keys"),
}


class Example:
    """One example app in a namespace, deployed from its own files."""

    def __init__(self, place: Place, folder: str, image: str) -> None:
        self.place = place
        self.name, self.keys = APPS[folder]
        objects = (EXAMPLES / folder / "kubernetes.yaml").read_text()
        place.kubectl("apply", "-f", "-", stdin=objects.replace("cronix.local/cronix-example:dev", image))
        place.kubectl("apply", "-f", str(EXAMPLES / folder / "cronixapp.yaml"))
        place.wait_ready(self.name, seconds=150)

    def log(self, word: str) -> list[str]:
        """The app's log lines that begin with a word."""
        text: str = self.place.kubectl("logs", "-l", f"app.kubernetes.io/name={self.name}", "--tail=-1")
        return [line for line in text.splitlines() if line.startswith(word)]


@pytest.mark.parametrize("folder", APPS)
def test_an_example_takes_a_verified_run_and_refuses_everything_else(
    place: Place, images: dict[str, str], folder: str
) -> None:
    """Its own probe finds it closed (fourteen answers), and a run that Kubernetes fired is verified in its log."""
    place.secret(f"{APPS[folder][0]}-cron", current=secrets.token_hex(32))
    app = Example(place, folder, images["cronix-example"])

    told = place.kubectl(
        "exec", f"deployment/{app.name}", "--",
        "python3", "/opt/examples/probe.py", f"http://{app.name}:8080", "tick", f"{app.keys}/current",
    )  # fmt: skip

    assert told.strip(), "the probe tells what it asked"
    run = wait_until(lambda: [line for line in app.log("verified") if "scheduled=20" in line], RUN_SECONDS, "a run")
    assert "attempt=1" in run[-1]
