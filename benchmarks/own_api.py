"""An API server of the benchmark's own, with its etcd, on loopback ports that are free; nothing else runs on it.

The binaries are the local cluster's. No controller manager, scheduler or node: what a benchmark measures is one client
of the API server, and what the controllers do meanwhile would be another one's work. Everybody with a token may do
everything.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "cluster")]

from cronix_cluster import certs  # noqa: E402  # after the path is set
from cronix_cluster.paths import Paths  # noqa: E402  # after the path is set
from cronix_cluster.standalone import (  # noqa: E402  # after the path is set
    apiserver_command_line,
    etcd_command_line,
    free_ports,
)

START_SECONDS = 120.0
USERS = ("operator", "bare", "admin")
# Writes, by whom; and nothing else: the log of reads would cost more than it tells.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": ["operator"], "verbs": ["create", "update", "patch", "delete"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True, slots=True)
class OwnApi:
    """Where it is, whom it trusts, and the token of each of `USERS`."""

    server: str
    ca: str
    tokens: dict[str, str]
    audit_log: Path

    def kubeconfig(self, user: str, ca_file: Path) -> dict[str, object]:
        """A kubeconfig for one of the users."""
        cluster = {"server": self.server, "certificate-authority": str(ca_file)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bench",
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
            "clusters": [{"name": "bench", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
        }


@contextlib.contextmanager
def own_api(folder: Path) -> Iterator[OwnApi]:
    """Start both, stop both; whatever they write is below `folder`."""
    binaries = Paths().bin
    if not (binaries / "kube-apiserver").exists():
        sys.exit("this benchmark runs an API server of its own and takes the local cluster's binaries: make cluster-up")
    paths = Paths(state=folder, run=folder / "run", lock=folder / "lock")
    paths.logs.mkdir()
    paths.config.mkdir()
    paths.bin.symlink_to(binaries)
    certs.ensure(paths.pki)
    client_port, peer_port, metrics_port, api_port = free_ports(4)
    tokens = {user: secrets.token_hex(16) for user in USERS}
    (folder / "tokens.csv").write_text("".join(f"{token},{user},{user}\n" for user, token in tokens.items()))
    (paths.config / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    with (
        _running(paths, etcd_command_line(paths, client_port, peer_port, metrics_port)),
        _running(paths, _apiserver(paths, client_port, api_port)),
    ):
        api = OwnApi(f"https://127.0.0.1:{api_port}", (paths.pki / "ca.crt").read_text(), tokens, paths.audit_log)
        _until_ready(api)
        yield api


def _apiserver(paths: Paths, client_port: int, api_port: int) -> list[str]:
    flags = {
        "--advertise-address": "127.0.0.1",
        "--endpoint-reconciler-type": "none",
        "--authorization-mode": "AlwaysAllow",
        "--token-auth-file": f"{paths.state}/tokens.csv",
        "--disable-admission-plugins": "ServiceAccount",
    }
    return apiserver_command_line(paths, api_port, client_port, flags)


@contextlib.contextmanager
def _running(paths: Paths, command: list[str]) -> Iterator[None]:
    """Away with this process, even if that is killed; in a session of its own, so that Ctrl-C reaches it last."""
    name = Path(command[0]).name
    file = paths.logs / f"{name}.log"
    with file.open("wb") as log:
        whole = ["setpriv", "--pdeathsig", "KILL", *command]
        process = subprocess.Popen(whole, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
        if process.poll() is not None:
            sys.exit(f"{name} ended during the benchmark: {file.read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(api: OwnApi) -> None:
    """An API server that is reached answers 200 for /readyz, or says what it waits for."""
    server = urlsplit(api.server)
    tls = ssl.create_default_context(cadata=api.ca)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=tls)
        with contextlib.suppress(OSError):
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {api.tokens['admin']}"})
            if connection.getresponse().status == 200:
                return
        time.sleep(0.3)
    log = api.audit_log.with_name("kube-apiserver.log").read_text()
    sys.exit(f"the API server was not ready within {START_SECONDS:g} s: {log[-2000:]}")
