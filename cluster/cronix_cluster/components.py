"""The components as a table: name, command line, health, in starting order. No I/O but what health asks."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cronix_cluster import health
from cronix_cluster.errors import ClusterError
from cronix_cluster.network import API_PORT, NODE_NAME, SERVICE_NETWORK, node_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cronix_cluster.paths import Paths

ETCD_PORT, ETCD_PEER_PORT, ETCD_METRICS_PORT = 12379, 12380, 12381
_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Component:
    """One daemon. `fault()` is None when it is healthy; `needs` must be healthy before it starts."""

    name: str
    argv: tuple[str, ...]
    fault: Callable[[], str | None]
    needs: tuple[str, ...] = ()
    version_of: str = "k8s.io/kubernetes"
    grace_seconds: float = 10.0
    configs: tuple[Path, ...] = ()

    def fingerprint(self) -> str:
        """Changes when the command line or a configuration file changes: then `up` restarts the component."""
        digest = hashlib.sha256("\0".join(self.argv).encode())
        for path in self.configs:
            digest.update(path.read_bytes() if path.exists() else b"-")
        return digest.hexdigest()[:16]


def wants_fsync(env: Mapping[str, str]) -> bool:
    """ETCD_FSYNC=1: slower and as durable as a real cluster; a benchmark runs with both."""
    return env.get("ETCD_FSYNC", "0") not in {"", "0", "no", "false"}


def _etcd(paths: Paths, env: Mapping[str, str]) -> Component:
    pki = paths.pki
    argv = [
        f"{paths.bin}/etcd",
        "--name=local",
        f"--data-dir={paths.etcd_data}",
        "--log-level=warn",
        f"--listen-client-urls=https://127.0.0.1:{ETCD_PORT}",
        f"--advertise-client-urls=https://127.0.0.1:{ETCD_PORT}",
        f"--listen-peer-urls=http://127.0.0.1:{ETCD_PEER_PORT}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{ETCD_PEER_PORT}",
        f"--initial-cluster=local=http://127.0.0.1:{ETCD_PEER_PORT}",
        f"--listen-metrics-urls=http://127.0.0.1:{ETCD_METRICS_PORT}",
        f"--cert-file={pki}/etcd-server.crt",
        f"--key-file={pki}/etcd-server.key",
        f"--trusted-ca-file={pki}/etcd-ca.crt",
        "--client-cert-auth",
        "--quota-backend-bytes=4294967296",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=1h",
    ]
    if not wants_fsync(env):
        argv.append("--unsafe-no-fsync")
    fault = partial(health.http_fault, "http", ETCD_METRICS_PORT, "/health")
    return Component("etcd", tuple(argv), fault, version_of="go.etcd.io/etcd/server/v3")


def _apiserver(paths: Paths) -> Component:
    pki = paths.pki
    argv = (
        f"{paths.bin}/kube-apiserver",
        "--bind-address=0.0.0.0",
        f"--secure-port={API_PORT}",
        f"--advertise-address={node_address()}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        f"--etcd-servers=https://127.0.0.1:{ETCD_PORT}",
        f"--etcd-cafile={pki}/etcd-ca.crt",
        f"--etcd-certfile={pki}/etcd-client.crt",
        f"--etcd-keyfile={pki}/etcd-client.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        f"--audit-policy-file={paths.config}/audit-policy.json",
        # Blocking: an entry is on disk when the request is done. One file: readers count by offset.
        f"--audit-log-path={paths.audit_log}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=4096",
        "--event-ttl=24h",
    )
    fault = partial(health.http_fault, "https", API_PORT, "/readyz", pki)
    policy = paths.config / "audit-policy.json"
    return Component("apiserver", argv, fault, needs=("etcd",), grace_seconds=30.0, configs=(policy,))


def _whole_number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise ClusterError(f"{name}={text}: write a whole number, or leave it out")
    return int(text)


def _controller_manager(paths: Paths, env: Mapping[str, str]) -> Component:
    pki = paths.pki
    kubeconfig = f"{paths.config}/controller-manager.kubeconfig"
    argv = [
        f"{paths.bin}/kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki}/service-account.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
    ]
    if env.get("KCM_QPS"):
        qps = _whole_number("KCM_QPS", env["KCM_QPS"])
        argv += [f"--kube-api-qps={qps}", f"--kube-api-burst={qps * 3 // 2}"]
    fault = partial(health.http_fault, "https", 10257, "/healthz")
    return Component("kcm", tuple(argv), fault, needs=("apiserver",))


def _scheduler(paths: Paths) -> Component:
    kubeconfig = f"{paths.config}/scheduler.kubeconfig"
    argv = (
        f"{paths.bin}/kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    )
    return Component("scheduler", argv, partial(health.http_fault, "https", 10259, "/healthz"), needs=("apiserver",))


def _containerd(paths: Paths, program: str) -> Component:
    config = paths.config / "containerd.toml"
    fault = partial(health.socket_fault, paths.containerd_socket)
    return Component(
        "containerd", (program, "--config", str(config)), fault, version_of="containerd", configs=(config,)
    )


def _kubelet(paths: Paths) -> Component:
    config = paths.config / "kubelet.json"
    argv = (
        f"{paths.bin}/kubelet",
        f"--config={config}",
        f"--kubeconfig={paths.config}/kubelet.kubeconfig",
        f"--root-dir={paths.kubelet_root}",
        f"--cert-dir={paths.kubelet_root}/pki",
        f"--node-ip={node_address()}",
        f"--hostname-override={NODE_NAME}",
    )
    fault = partial(health.http_fault, "http", 10248, "/healthz")
    return Component("kubelet", argv, fault, needs=("containerd", "apiserver"), configs=(config,))


def _kube_proxy(paths: Paths) -> Component:
    config = paths.config / "kube-proxy.json"
    argv = (f"{paths.bin}/kube-proxy", f"--config={config}")
    fault = partial(health.http_fault, "http", 10256, "/livez")
    return Component("kube-proxy", argv, fault, needs=("apiserver",), configs=(config,))


def _coredns(paths: Paths) -> Component:
    config = paths.config / "Corefile"
    argv = (f"{paths.bin}/coredns", "-conf", str(config))
    fault = partial(health.http_fault, "http", 18181, "/ready")
    module = "github.com/coredns/coredns"
    return Component("coredns", argv, fault, needs=("apiserver",), version_of=module, configs=(config,))


def components(
    paths: Paths, env: Mapping[str, str] | None = None, containerd: str = "containerd"
) -> tuple[Component, ...]:
    """All components in starting order; stopping is the reverse."""
    env = os.environ if env is None else env
    return (
        _etcd(paths, env),
        _containerd(paths, containerd),
        _apiserver(paths),
        _controller_manager(paths, env),
        _scheduler(paths),
        _kubelet(paths),
        _kube_proxy(paths),
        _coredns(paths),
    )


ALIASES = {
    "kube-apiserver": "apiserver",
    "kube-controller-manager": "kcm",
    "controller-manager": "kcm",
    "kube-scheduler": "scheduler",
    "proxy": "kube-proxy",
    "dns": "coredns",
}


def by_name(table: tuple[Component, ...], name: str) -> Component:
    """One component by its name or its usual other name; ClusterError lists the names."""
    wanted = ALIASES.get(name, name)
    for component in table:
        if component.name == wanted:
            return component
    raise ClusterError(f"no component {name!r}; there are: {', '.join(c.name for c in table)}")
