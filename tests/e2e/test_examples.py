"""Each example, started as its README says, takes verified runs and refuses everything else; keys change under it."""

from __future__ import annotations

import secrets
import time
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
        place.wait_ready(self.name, seconds=90)

    def log(self, word: str) -> list[str]:
        """The app's log lines that begin with a word."""
        text: str = self.place.kubectl("logs", "-l", f"app.kubernetes.io/name={self.name}", "--tail=-1")
        return [line for line in text.splitlines() if line.startswith(word)]

    def set_keys(self, **keys: str) -> None:
        """Write the Secret, and have the kubelet look at it now instead of within a minute."""
        self.place.secret(f"{self.name}-cron", **keys)
        pods = f"-l=app.kubernetes.io/name={self.name}"
        self.place.kubectl("annotate", "pods", pods, "--overwrite", f"example.com/touched={time.time_ns()}")


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


def test_a_key_is_replaced_while_a_job_fires_every_minute_and_no_run_is_refused(
    place: Place, images: dict[str, str]
) -> None:
    """The order of the docs: the new key second, so that the app knows it; then first; then alone; a run each time."""
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    place.secret("hello-cron", current=old)
    app = Example(place, "hello", images["cronix-example"])
    steps = ({"current": old}, {"current": old, "previous": new}, {"current": new, "previous": old}, {"current": new})
    for keys in steps:
        app.set_keys(**keys)
        seen = len(app.log("verified"))
        wait_until(lambda seen=seen: len(app.log("verified")) > seen, RUN_SECONDS, f"a run with {list(keys)}")  # type: ignore[misc]  # mypy does not infer a lambda's default

    refused = [line for line in app.log("refused") if "job=" in line or "scheduled" in line]
    assert refused == []
    failed = [job["metadata"]["name"] for job in place.items("jobs") if job["status"].get("failed")]
    assert failed == []
