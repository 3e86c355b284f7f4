"""What the operator's benchmarks share: the API server, the operator as a process, the bare programs beside it.

The operator under test is the code of this folder, run on this machine. Manifests stand in the CronixApps, and the jobs
are yearly and suspended: nothing would fire.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import bare
import yaml
from own_api import ROOT, OwnApi, free_ports, own_api

sys.path[:0] = [str(ROOT / part) for part in ("spec", "operator")]

from cronix_operator.core.app import parse_app  # noqa: E402  # after the path is set
from cronix_operator.core.model import Limits  # noqa: E402  # after the path is set
from cronix_operator.core.render import render  # noqa: E402  # after the path is set
from cronix_protocol.manifest import parse_document  # noqa: E402  # after the path is set

APPS = "/apis/cronix.dev/v1alpha1/namespaces/{}/cronixapps"
CRON_JOBS = "/apis/batch/v1/namespaces/{}/cronjobs"
BARE_MANAGER = "cronix-bareloop"  # as long as ours; a watch for ours must not see the bare program's objects
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SIGNER = "cronix.local/cronix-signer:bench"


def cronix_app(name: str, jobs: int, interval: str = "24h") -> dict[str, Any]:
    """A CronixApp with its manifest in it."""
    request = {"url": "https://billing.example.com/jobs/run", "headers": {"X-Tenant": name}, "body": '{"full":true}'}
    entries = [{"name": f"job-{n:03}", "schedule": "0 0 1 1 *", "request": request} for n in range(jobs)]
    return {
        "apiVersion": "cronix.dev/v1alpha1",
        "kind": "CronixApp",
        "metadata": {"name": name},
        "spec": {
            "source": {"inline": {"version": 1, "app": name, "jobs": entries}, "interval": interval},
            "signing": {"secretRef": {"name": "bench"}},
            "suspend": True,
        },
    }


def rendered(app: dict[str, Any], namespace: str, owner: str) -> list[dict[str, Any]]:
    """The CronJobs that the operator makes of `app`, for the bare program: another owner, and another label."""
    parsed = parse_app({**app, "metadata": {**app["metadata"], "namespace": namespace, "uid": owner}})
    manifest = parse_document(app["spec"]["source"]["inline"])
    bodies = [want.body for want in render(parsed, manifest, None, Limits(SIGNER), {"UTC"}).cron_jobs]
    objects: list[dict[str, Any]] = json.loads(json.dumps(bodies).replace('"cronix-operator"', f'"{BARE_MANAGER}"'))
    for body in objects:
        body["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}]
    return objects


class Rig:
    """The API server: `session` is the bare program's and what looks on, `admin` whoever applies CronixApps."""

    def __init__(self, folder: Path, api: OwnApi, session: aiohttp.ClientSession, admin: aiohttp.ClientSession) -> None:
        self.folder, self.api, self.session, self.admin = folder, api, session, admin
        self._namespaces = 0

    async def namespace(self) -> str:
        """A fresh namespace."""
        name = f"bench-{self._namespaces}"
        self._namespaces += 1
        await self.post("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object as the administrator."""
        async with self.admin.post(path, json=body) as response:
            assert response.status == 201, await response.text()
            made: dict[str, Any] = await response.json()
            return made

    async def create_apps(self, namespace: str, apps: list[dict[str, Any]]) -> None:
        """Create CronixApps: what a person or GitOps does."""
        for app in apps:
            await self.post(APPS.format(namespace), app)

    async def annotate_apps(self, namespace: str, annotations: dict[str, str]) -> None:
        """Annotate every CronixApp of a namespace."""
        async with self.admin.get(APPS.format(namespace)) as response:
            names = [item["metadata"]["name"] for item in (await response.json())["items"]]
        for name in names:
            body = {"metadata": {"annotations": annotations}}
            headers = {"Content-Type": "application/merge-patch+json"}
            path = f"{APPS.format(namespace)}/{name}"
            async with self.admin.patch(path, data=json.dumps(body), headers=headers) as response:
                assert response.status == 200, await response.text()

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        """What the operator wrote, by the audit log, from that byte on; to ask for one's rights stores nothing."""
        with self.api.audit_log.open("rb") as log:
            log.seek(since)
            entries = [json.loads(line) for line in log]
        return [entry for entry in entries if entry["objectRef"]["resource"] != "selfsubjectaccessreviews"]

    @property
    def audit_size(self) -> int:
        """Bytes of the audit log so far."""
        return self.api.audit_log.stat().st_size

    @contextlib.asynccontextmanager
    async def watching(self, manager: str) -> AsyncIterator[asyncio.Queue[bytes]]:
        """The lines of a watch for all CronJobs of a manager from now on."""
        path, selector = "/apis/batch/v1/cronjobs", f"app.kubernetes.io/managed-by={manager}"
        async with self.session.get(path, params={"labelSelector": selector, "limit": "1"}) as response:
            version = (await response.json())["metadata"]["resourceVersion"]
        lines: asyncio.Queue[bytes] = asyncio.Queue()
        task = asyncio.create_task(self._read_watch({"labelSelector": selector, "watch": "true"}, version, lines))
        try:
            yield lines
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _read_watch(self, query: dict[str, str], version: str, lines: asyncio.Queue[bytes]) -> None:
        """On a busy machine the server hangs up on whoever reads too slowly; then it goes on where it was."""
        last = b""
        while True:
            async with self.session.get(
                "/apis/batch/v1/cronjobs", params={**query, "resourceVersion": version}
            ) as answer:
                with contextlib.suppress(aiohttp.ClientError):
                    while (line := await answer.content.readuntil(b"\n")).endswith(b"\n"):
                        lines.put_nowait(line)
                        last = line
            found = re.search(rb'"resourceVersion":"(\d+)"', last)
            version = found[1].decode() if found else version
            await asyncio.sleep(0.1)

    async def seconds_to_see(self, count: int, lines: asyncio.Queue[bytes], started: float) -> float:
        """Seconds from `started` until so many CronJobs of this run have been added."""
        while count > 0:
            count -= (await lines.get()).startswith(b'{"type":"ADDED"')
        return time.monotonic() - started

    async def bare(self, *arguments: str) -> asyncio.subprocess.Process:
        """A bare program that is ready to go."""
        command = [sys.executable, str(ROOT / "benchmarks/bare.py"), str(self.folder / "connection.json"), *arguments]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert await lines_of(process).readline() == b"ready\n"
        return process


def lines_of(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    """What a bare program says."""
    assert process.stdout is not None
    return process.stdout


def go(process: asyncio.subprocess.Process) -> None:
    """Let a bare program begin."""
    assert process.stdin is not None
    process.stdin.write(b"go\n")


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a bare program's input, and with it the program."""
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


class Operator:
    """The operator as a process of this machine. `cpu` and `memory` are what the kernel says of it."""

    def __init__(self, folder: Path) -> None:
        config = str(folder / "kubeconfig.json")
        self._health_port = free_ports(1)[0]
        self._env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("operator", "spec")),
            "KUBECONFIG": config,
            "CRONIX_KUBECONFIG": config,
            "CRONIX_SIGNER_IMAGE": SIGNER,
            "CRONIX_HEALTH_PORT": str(self._health_port),
            "CRONIX_LOG_LEVEL": "WARNING",
            "CRONIX_RESYNC_SECONDS": "86400",
        }
        self._said = folder / "operator.log"
        self._log = self._said.open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; returns the monotonic time of that."""
        started = time.monotonic()
        command = [sys.executable, "-m", "cronix_operator"]
        self._process = subprocess.Popen(command, env=self._env, stdout=self._log, stderr=self._log)
        return started

    def stop(self, *, kill: bool = False) -> None:
        """End it: SIGTERM, or SIGKILL."""
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(timeout=60)
            self._process = None

    async def until_up(self) -> None:
        """Until its health endpoint answers."""
        while True:
            assert self._process is not None
            assert self._process.poll() is None, f"the operator ended; it said: {self._said.read_text()[-2000:]}"
            with contextlib.suppress(OSError):
                address = f"http://127.0.0.1:{self._health_port}/healthz"
                (await asyncio.to_thread(urllib.request.urlopen, address, timeout=1)).close()
                return
            await asyncio.sleep(0.05)

    @property
    def cpu(self) -> float:
        """CPU seconds so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def memory(self, field: str = "VmRSS") -> float:
        """MiB; VmHWM is the highest so far."""
        assert self._process is not None
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(text.partition(f"{field}:")[2].split()[0]) / 1024

    async def until_idle(self, quiet_seconds: float = 3.0) -> float:
        """The monotonic time since which it has had nothing to do (less than 3% of a core)."""
        since, before = time.monotonic(), self.cpu
        while time.monotonic() - since < quiet_seconds:
            await asyncio.sleep(0.1)
            if self.cpu - before > 0.03 * (time.monotonic() - since) + 0.02:
                since, before = time.monotonic(), self.cpu
        return since


@contextlib.asynccontextmanager
async def open_rig() -> AsyncIterator[Rig]:
    """A rig on an API server of its own, with our CRD; nothing of it is left at the end."""
    print("starting an API server for the benchmark", flush=True)
    with tempfile.TemporaryDirectory() as name, own_api(Path(name)) as api:
        folder = Path(name)
        connection = {"server": api.server, "ca": api.ca, "token": api.tokens["bare"]}
        (folder / "connection.json").write_text(json.dumps(connection))
        (folder / "kubeconfig.json").write_text(json.dumps(api.kubeconfig("operator", folder / "pki/ca.crt")))
        as_admin = bare.session_of({**connection, "token": api.tokens["admin"]})
        async with bare.session_of(connection) as session, as_admin as admin:
            rig = Rig(folder, api, session, admin)
            await _install_crd(rig)
            yield rig


async def _install_crd(rig: Rig) -> None:
    crd = yaml.safe_load((ROOT / "crds/cronix.dev_cronixapps.yaml").read_text())
    await rig.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    while True:
        async with rig.admin.get(APPS.format("default")) as response:
            if response.status == 200:
                return
        await asyncio.sleep(0.1)


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a benchmark; stopped by SIGINT or SIGTERM it ends with everything cleaned up, and 130."""

    async def guarded() -> int:
        task = asyncio.ensure_future(main)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            print("stopped; nothing is left", flush=True)
            return 130

    return asyncio.run(guarded())


def report(name: str, rows: list[dict[str, Any]]) -> int:
    """Print the table, keep the raw figures; 1 when a figure is worse than what is accepted."""
    widths = {"what": 58, "operator": 10, "bare": 10, "ratio": 7, "accept": 7}
    rule = {field: "-" * width for field, width in widths.items()}
    print()
    for row in [{field: field for field in widths}, rule, *rows]:
        cells = [_cell(row.get(field, "")).ljust(width) for field, width in widths.items()]
        print(f"| {' | '.join(cells)} |")
    folder = ROOT / "benchmarks/results"
    folder.mkdir(exist_ok=True)
    figures = {"python": platform.python_version(), "cpus": os.cpu_count(), "load": os.getloadavg(), "rows": rows}
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    return int(any(row["ratio"] > row["accept"] for row in rows if "ratio" in row and "accept" in row))


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
