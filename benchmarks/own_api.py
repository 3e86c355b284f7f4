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
import socket
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
    certs.ensure(folder / "pki")
    client_port, peer_port, api_port = _free_ports(3)
    tokens = {user: secrets.token_hex(16) for user in USERS}
    (folder / "tokens.csv").write_text("".join(f"{token},{user},{user}\n" for user, token in tokens.items()))
    (folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    with (
        _running(folder, _etcd(binaries, folder, client_port, peer_port)),
        _running(folder, _apiserver(binaries, folder, client_port, api_port)),
    ):
        api = OwnApi(f"https://127.0.0.1:{api_port}", (folder / "pki/ca.crt").read_text(), tokens, folder / "audit.log")
        _until_ready(api)
        yield api


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _etcd(binaries: Path, folder: Path, client_port: int, peer_port: int) -> list[str]:
    pki, peer = folder / "pki", f"http://127.0.0.1:{peer_port}"
    return [
        f"{binaries}/etcd",
        "--name=bench",
        f"--data-dir={folder}/etcd",
        "--log-level=error",
        f"--listen-client-urls=https://127.0.0.1:{client_port}",
        f"--advertise-client-urls=https://127.0.0.1:{client_port}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=bench={peer}",
        f"--cert-file={pki}/etcd-server.crt",
        f"--key-file={pki}/etcd-server.key",
        f"--trusted-ca-file={pki}/etcd-ca.crt",
        "--client-cert-auth",
        "--quota-backend-bytes=4294967296",
        "--unsafe-no-fsync",
    ]


def _apiserver(binaries: Path, folder: Path, client_port: int, api_port: int) -> list[str]:
    pki = folder / "pki"
    return [
        f"{binaries}/kube-apiserver",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={api_port}",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=AlwaysAllow",
        f"--token-auth-file={folder}/tokens.csv",
        "--disable-admission-plugins=ServiceAccount",
        f"--etcd-servers=https://127.0.0.1:{client_port}",
        f"--etcd-cafile={pki}/etcd-ca.crt",
        f"--etcd-certfile={pki}/etcd-client.crt",
        f"--etcd-keyfile={pki}/etcd-client.key",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        "--service-account-issuer=https://bench.invalid",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        f"--audit-policy-file={folder}/audit-policy.json",
        f"--audit-log-path={folder}/audit.log",
    ]


@contextlib.contextmanager
def _running(folder: Path, command: list[str]) -> Iterator[None]:
    """Away with this process, even if that is killed; in a session of its own, so that Ctrl-C reaches it last."""
    name = Path(command[0]).name
    with (folder / f"{name}.log").open("wb") as log:
        whole = ["setpriv", "--pdeathsig", "KILL", *command]
        process = subprocess.Popen(whole, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
        if process.poll() is not None:
            sys.exit(f"{name} ended during the benchmark: {(folder / f'{name}.log').read_text()[-2000:]}")
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
