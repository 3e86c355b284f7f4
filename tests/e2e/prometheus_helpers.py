"""A real Prometheus for the tests: Debian's programs from a cache, a server as a child, the chart's own rules."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cronix_cluster.paths import cache_folder
from e2e.chart_helpers import CHART, Helm, pick
from e2e.conftest import SYSTEM_NAMESPACE, Kubectl
from e2e.e2e_helpers import wait_until

PROGRAMS = ("prometheus", "promtool")


def programs() -> dict[str, str]:
    """Where prometheus and promtool are: on the PATH, or in the cache, unpacked from Debian's package.

    The package is not installed: it would start a service on this host.
    """
    found = {name: path for name in PROGRAMS if (path := shutil.which(name))}
    if len(found) == len(PROGRAMS):
        return found
    folder = cache_folder() / "prometheus"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:  # several test workers come at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _unpack(folder)
    return {name: str(folder / "usr/bin" / name) for name in PROGRAMS}


def _unpack(target: Path) -> None:
    if shutil.which("apt-get") is None:
        pytest.fail("this is no Debian: put prometheus and promtool on the PATH", pytrace=False)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        download = ["apt-get", "-qq", "download", "prometheus"]
        first = subprocess.run(download, cwd=scratch, capture_output=True, text=True, check=False)
        if first.returncode != 0:  # a fresh machine knows no packages yet
            _run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update"], scratch)
            _run(download, scratch)
        (package,) = Path(scratch).glob("prometheus_*.deb")
        _run(["dpkg-deb", "-x", str(package), f"{scratch}/tree"], scratch)
        (Path(scratch) / "tree").rename(target)


def _run(command: Sequence[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"`{' '.join(command)}` failed: {done.stderr.strip()[-500:]}", pytrace=False)


def promtool(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    command = [programs()["promtool"], *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def operator_targets(kubectl: Kubectl, namespace: str = SYSTEM_NAMESPACE, release: str = "cronix") -> list[str]:
    """Where the pods of an operator serve metrics, as their Service says."""
    selector = f"app.kubernetes.io/name=cronix-operator,app.kubernetes.io/instance={release}"
    (service,) = kubectl("-n", namespace, "get", "services", "-l", selector, "-o", "json")["items"]
    port = next(p["port"] for p in service["spec"]["ports"] if p["name"] == "metrics")
    pods = kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", "json")["items"]
    running = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp") and pod["status"].get("podIP")]
    return [f"{pod['status']['podIP']}:{port}" for pod in running]


def scrape(address: str) -> str:
    """What is served at an address now."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        return str(response.read().decode())


def samples(text: str, name: str, namespace: str) -> dict[tuple[str, str], float]:
    """The values of one metric about jobs of a namespace, by the job's name and the run's outcome ("" for a gauge)."""
    found = {}
    for line in text.splitlines():
        if line.startswith(name + "{") and f'namespace="{namespace}"' in line:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            found[labels["cronix_job"], labels.get("outcome", "")] = float(line.rsplit(" ", 1)[1])
    return found


def run_counts(kubectl: Kubectl, namespace: str) -> dict[tuple[str, str], float]:
    """How often each job of a namespace ended in which way, as the operator counts it; without zeros."""
    counts = samples(scrape(operator_targets(kubectl)[0]), "cronix_runs_total", namespace)
    return {key: number for key, number in counts.items() if number}


def chart_rules(helm: Helm, **values: Any) -> dict[str, Any]:
    """The rule groups as the chart renders them."""
    (rule,) = pick(helm.render("default", {"prometheusRule": {"enabled": True, **values}}), "PrometheusRule")
    groups: dict[str, Any] = rule["spec"]
    return groups


def dashboard() -> dict[str, Any]:
    """The dashboard as it is in the chart."""
    loaded: dict[str, Any] = json.loads((CHART / "files/dashboard.json").read_text("utf-8"))
    return loaded


class Server:
    """A Prometheus that is up."""

    def __init__(self, address: str) -> None:
        self.address = address

    def api(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer; AssertionError with Prometheus' words when it refuses."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}{query}", timeout=10) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{parameters}: {exc.read().decode()}") from exc
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant vector."""
        data = self.api("query", query=expression)
        result: list[dict[str, Any]] = data["result"]
        return result

    def number(self, expression: str) -> float | None:
        """The only sample's value; None when there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None


@contextmanager
def prometheus(folder: Path, targets: Sequence[str], rules: dict[str, Any]) -> Iterator[Server]:
    """A Prometheus that scrapes `targets` each second under these rules; ended with the block."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "cronix",
                "honor_labels": True,
                "static_configs": [{"targets": list(targets), "labels": {"namespace": "cronix-system"}}],
            }
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        programs()["prometheus"], f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            server = Server(address)
            wait_until(lambda: server.query("up"), 60, "Prometheus is up and has scraped")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)
