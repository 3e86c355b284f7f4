"""Each example app, started by its own command, as the image does it, on a loopback port."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from cronix_protocol.manifest import parse_manifest
from cronix_sdk import Cron
from sdk.sdk_doors import Door, werkzeug_door
from sdk.sdk_helpers import KEY, MANIFEST, OTHER_KEY, signed, trigger_path

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ("hello", "fastapi", "flask", "django", "wsgi")
TICK = trigger_path("tick")


class Example:
    """A running example: its door, its key files and what it has logged."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.current, self.previous = folder / "current", folder / "previous"
        self.jobs, self.log = folder / "jobs.json", folder / "log"
        self.started_at, self.seconds = int(time.time()) - 100, itertools.count()
        self.current.write_text(f"{KEY}\n")
        self.jobs.write_text('{"tick": "* * * * *"}')
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.door = Door(probe.getsockname()[1])
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", ROOT / "examples/run.sh", name], env=self._environment(), stdout=log, stderr=log
            )

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'spec'}:{ROOT / 'sdk'}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CRON_KEY_FILES": f"{self.current},{self.previous}",
            "JOBS_FILE": str(self.jobs),
            "HOST": "127.0.0.1",
            "PORT": str(self.door.port),
        }

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.door.ask("GET", "/healthz", {})[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"{self.name} does not serve:\n{self.log.read_text()}")

    def ask(self, method: str, path: str, *, key: str = KEY, at: int = 0, **headers: str) -> tuple[int, bytes]:
        # A second of its own for each request: the wsgi example takes a signature for one run only.
        second = self.started_at + next(self.seconds)
        sent = signed(method, path, b"", key=key, at=second + at, **headers)
        return self.door.ask(method, path, sent)[:2]

    def wait_until_gone(self) -> None:
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def all_examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Example]]:
    """All of them at once: starting is what takes the time."""
    started = {name: Example(name, tmp_path_factory.mktemp(name)) for name in EXAMPLES}
    try:
        for example in started.values():
            example.wait_until_ready()
        yield started
    finally:
        for example in started.values():
            example.process.terminate()
        for example in started.values():
            example.wait_until_gone()


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, all_examples: dict[str, Example]) -> Example:
    running: Example = all_examples[request.param]
    return running


def test_a_signed_trigger_runs_and_leaves_one_line(example: Example) -> None:
    """The line that the READMEs show, with the name of the key's file."""
    status, answer = example.ask("POST", TICK, run_id="r-line", fire_time="1730000100", attempt="2")
    assert (status, json.loads(answer)["ok"]) == (200, True)
    line = "verified job=tick run_id=r-line scheduled=2024-10-27T03:35:00Z attempt=2 key=current"
    assert example.log.read_text().count(line) == 1


def test_unsigned_tampered_and_stale_requests_are_refused_and_told(example: Example) -> None:
    """401 with the code, and the code in the log."""
    assert example.door.ask("POST", TICK, {})[0] == 401
    tampered = example.door.ask("POST", TICK, signed("POST", TICK, b"a", at=int(time.time())), b"b")
    stale = example.ask("POST", TICK, at=-3600)
    assert [json.loads(answer[1])["code"] for answer in (tampered, stale)] == ["SignatureMismatch", "StaleTimestamp"]
    text = example.log.read_text()
    for code in ("MissingSignature", "SignatureMismatch", "StaleTimestamp"):
        assert f"refused code={code} status=401 method=POST path={TICK}" in text


def test_the_manifest_is_valid_and_names_the_service_of_the_yaml(example: Example) -> None:
    """App id, CronixApp, Service and base URL belong together, and nobody reads it unsigned."""
    assert example.door.ask("GET", MANIFEST, {})[0] == 401
    manifest = parse_manifest(example.ask("GET", MANIFEST)[1])
    app, service, deployment = _objects(example.name)
    assert manifest.app == app["metadata"]["name"] == app["spec"]["source"]["service"]["name"] == service
    assert all(job.request.url.startswith(f"http://{service}:8080/") for job in manifest.jobs)
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    keys = next(volume for volume in volumes if volume["name"] == "keys")
    assert keys["secret"]["secretName"] == app["spec"]["signing"]["secretRef"]["name"]


def test_a_key_is_rotated_without_a_restart_or_a_refusal(example: Example) -> None:
    """Old key, then both, then the new one only; what the signer may use at each step is accepted."""
    try:
        example.previous.write_text(KEY)
        example.current.write_text(OTHER_KEY)
        assert example.ask("POST", TICK, run_id="r-old")[0] == 200
        assert example.ask("POST", TICK, key=OTHER_KEY, run_id="r-new")[0] == 200
        example.previous.unlink()
        assert example.ask("POST", TICK, key=OTHER_KEY, run_id="r-newer")[0] == 200
        assert example.ask("POST", TICK, run_id="r-oldest")[0] == 401
        text = example.log.read_text()
        assert "run_id=r-old " in text
        assert "key=previous" in text
    finally:
        example.current.write_text(KEY)


def test_the_probe_finds_every_example_closed(example: Example) -> None:
    """What an e2e test or a person runs in the pod: one good trigger, and every kind of bad one refused by its code."""
    port = example.door.port
    done = subprocess.run(
        [sys.executable, ROOT / "examples/probe.py", f"http://127.0.0.1:{port}", "tick", example.current],
        env={"PYTHONPATH": f"{ROOT / 'spec'}:{ROOT / 'sdk'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line[:5] for line in done.stdout.splitlines()] == ["ok   "] * 14


def test_the_probe_tells_an_app_that_is_open(tmp_path: Path) -> None:
    """`skip_verify` and a fail-open app look alike from outside: WRONG lines and exit code 1."""
    cron = Cron(app="open", base_url="http://open:8080", skip_verify=True)
    cron.job("tick", schedule="@hourly")(lambda: None)
    (tmp_path / "key").write_text(KEY)
    with werkzeug_door(cron.wsgi()) as door:
        done = subprocess.run(
            [sys.executable, ROOT / "examples/probe.py", f"http://127.0.0.1:{door.port}", "tick", tmp_path / "key"],
            env={"PYTHONPATH": f"{ROOT / 'spec'}:{ROOT / 'sdk'}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert "WRONG (want 401 MissingSignature) unsigned trigger" in done.stdout


def test_hello_takes_another_schedule_from_its_file_and_keeps_the_old_one_on_a_bad_edit(
    all_examples: dict[str, Example],
) -> None:
    """What the demo does with a ConfigMap."""
    hello = all_examples["hello"]
    hello.jobs.write_text('{"tick": "*/2 * * * *", "tock": "@hourly"}')
    jobs = parse_manifest(hello.ask("GET", MANIFEST)[1]).jobs
    assert [(job.name, job.schedules) for job in jobs] == [("tick", ("*/2 * * * *",)), ("tock", ("@hourly",))]
    for broken in ("{", '{"tick": "nonsense"}', "[]"):
        hello.jobs.write_text(broken)
        assert parse_manifest(hello.ask("GET", MANIFEST)[1]).jobs == jobs
    hello.jobs.write_text('{"tick": "* * * * *"}')
    assert [job.name for job in parse_manifest(hello.ask("GET", MANIFEST)[1]).jobs] == ["tick"]
    assert "the old jobs stay" in hello.log.read_text()


def test_the_wsgi_example_runs_each_run_once(all_examples: dict[str, Example]) -> None:
    """Duplicate protection, as its README says."""
    answers = {all_examples["wsgi"].ask("POST", TICK, run_id="r-once") for _ in range(3)}
    assert len(answers) == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_pod_of_the_examples_fits_pod_security_restricted(name: str) -> None:
    """K1: non-root by number, read-only root, no privileges, no API token, resources set."""
    _, _, deployment = _objects(name)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["args"] == [name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_cronixapp_of_the_examples_is_at_most_ten_lines(name: str) -> None:
    """The promise of the README."""
    assert len((ROOT / "examples" / name / "cronixapp.yaml").read_text().splitlines()) <= 10


def _objects(name: str) -> tuple[dict, str, dict]:  # type: ignore[type-arg]  # YAML's own loose types
    folder = ROOT / "examples" / name
    app = yaml.safe_load((folder / "cronixapp.yaml").read_text())
    by_kind = {each["kind"]: each for each in yaml.safe_load_all((folder / "kubernetes.yaml").read_text())}
    assert by_kind["Service"]["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]
    return app, by_kind["Service"]["metadata"]["name"], by_kind["Deployment"]
