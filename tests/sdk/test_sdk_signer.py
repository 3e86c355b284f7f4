"""The signer's process and the SDK over a real socket: whatever the one signs, the other verifies."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cronix_protocol.canonical import normalized_job
from cronix_protocol.jobfile import dump_job_file
from cronix_protocol.manifest import parse_manifest
from cronix_sdk import Cron, JobContext, KeyFiles
from sdk.sdk_doors import DOORS
from sdk.sdk_helpers import KEY, OTHER_KEY

ROOT = Path(__file__).parents[2]
PUBLIC = "http://billing.shop.svc:8080"
LARGE = "0123456789abcdef" * (1024 * 1024 // 16)
BINARY = "".join(map(chr, range(256))) * 64
EVERY_CONTROL_CHARACTER = "".join(map(chr, range(32))) + '"\\\x7f $(HOME) €🌍 '


@dataclass(frozen=True)
class Case:
    """One job as an app may declare it."""

    name: str
    path: str = ""
    method: str = "POST"
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def declare(self, cron: Cron, seen: dict[str, JobContext]) -> None:
        url = f"{PUBLIC}{self.path}" if self.path else None

        @cron.job(
            self.name,
            schedule="@hourly",
            url=url,
            method=self.method,
            body=self.body,
            headers=self.headers,
            max_attempts=1,
        )
        def job(context: JobContext) -> None:
            seen[context.name] = context


CASES = [
    *(
        Case(f"method-{method.lower()}", method=method, body="x")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
    Case("empty-get", method="GET"),
    Case("empty-post"),
    Case("json", body='{"month": "2025-10"}', headers={"Content-Type": "application/json"}),
    Case("form", body="a=1&b=%20+", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("control-characters", body=EVERY_CONTROL_CHARACTER),
    Case("binary", body=BINARY),
    Case("query", path="/run/query?a=1&b=2"),
    Case("query-escapes", path="/run/query-escapes?a=%2Fb%2f&c=%C3%A9&plus=a+b%20c"),
    Case("query-question", path="/run/query-question?a=b?c=d&&=="),
    Case("query-reserved", path="/run/query-reserved?a=!$'()*,;:@/[]&b=t=1,v1=x"),
    Case("path-escapes", path="/run/a%20b%2Fc/%E2%82%AC;p=1"),
]


def fire_all(
    port: int, cron: Cron, key_file: Path, bodies: dict[str, str] | None = None
) -> dict[str, subprocess.CompletedProcess[str]]:
    """One signer process for each job of the manifest, three at a time; `bodies` replaces what the manifest says."""
    manifest = parse_manifest(cron.manifest())

    def run(job: Any) -> tuple[str, subprocess.CompletedProcess[str]]:
        request = job.request._replace(body=(bodies or {}).get(job.name, job.request.body))
        text = dump_job_file(
            app=manifest.app,
            job=normalized_job(job._replace(request=request)),
            secret_refs=[f"file:{key_file}"],
            schedule_index=0,
            fire={"target_base_url": f"http://127.0.0.1:{port}", "cronjob": f"cronix-{job.name}", "app_uid": "uid"},
        )
        job_file = key_file.parent / f"{job.name}.json"
        job_file.write_text(text)
        return job.name, subprocess.run(
            [sys.executable, "-S", "-m", "cronix_shim", "--job-file", str(job_file)],
            env={"PYTHONPATH": f"{ROOT / 'spec'}:{ROOT / 'shim'}", "PATH": os.environ["PATH"]},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    with ThreadPoolExecutor(3) as pool:
        return dict(pool.map(run, manifest.jobs))


@pytest.mark.parametrize("name", ["wsgi-on-werkzeug", "asgi"])
def test_every_job_that_a_manifest_can_hold_is_signed_and_verified_alike(name: str, tmp_path: Path) -> None:
    """All methods, empty, and binary bodies, odd escapes in path and query; all arrive whole.

    The target is another address than the job's URL, as in a cluster: the signature covers the path only.
    """
    key_file = tmp_path / "current"
    key_file.write_text(f"{KEY}\n")
    cron = Cron(app="billing", base_url=PUBLIC, secret=KeyFiles(key_file))
    seen: dict[str, JobContext] = {}
    cases = [case for case in CASES if case.path] if name == "asgi" else CASES
    for case in cases:
        case.declare(cron, seen)
    serve, mount = DOORS[name]
    with serve(mount(cron)) as door:
        done = fire_all(door.port, cron, key_file)
    problems = {job: result.stdout for job, result in done.items() if result.returncode != 0}
    assert problems == {}
    for case in cases:
        context = seen[case.name]
        assert hashlib.sha256(context.body).digest() == hashlib.sha256(case.body.encode()).digest(), case.name
        assert context.headers["host"] == "billing.shop.svc:8080"
        assert context.attempt == 1
        assert len(context.run_id) == 36
        assert context.fire_time is not None


def test_a_body_of_one_mebibyte_arrives_whole(tmp_path: Path) -> None:
    """The auth vectors sign 1 MiB. A manifest holds less than that in all; a job file of the peer's may not."""
    key_file = tmp_path / "current"
    key_file.write_text(KEY)
    cron = Cron(app="billing", base_url=PUBLIC, secret=KEY)
    seen: dict[str, JobContext] = {}
    Case("large").declare(cron, seen)
    serve, mount = DOORS["wsgi-on-werkzeug"]
    with serve(mount(cron)) as door:
        done = fire_all(door.port, cron, key_file, {"large": LARGE})["large"]
    assert done.returncode == 0, done.stdout
    assert seen["large"].body == LARGE.encode()


def test_what_the_app_refuses_the_signer_reports_with_the_code(tmp_path: Path) -> None:
    """Another key: exit 1, no retry, and the code in the signer's own log line."""
    key_file = tmp_path / "current"
    key_file.write_text(OTHER_KEY)
    cron = Cron(app="billing", base_url=PUBLIC, secret=KEY)
    Case("refused").declare(cron, {})
    serve, mount = DOORS["wsgi-on-werkzeug"]
    with serve(mount(cron)) as door:
        done = fire_all(door.port, cron, key_file)["refused"]
    assert done.returncode == 1
    rejected = json.loads(next(line for line in done.stdout.splitlines() if "trigger: app rejected" in line))
    assert rejected["status"] == 401
    assert "SignatureMismatch" in done.stdout
    assert OTHER_KEY not in done.stdout + done.stderr
