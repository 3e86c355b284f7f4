"""`up` and `down`: the order of things. Every step may find its work done, half done or undone."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster import (
    certs,
    cgroups,
    cleanup,
    configs,
    health,
    host,
    images,
    network,
    processes,
    supervise,
    toolchain,
)
from cronix_cluster.components import components
from cronix_cluster.console import Stopwatch, say
from cronix_cluster.errors import ClusterError
from cronix_cluster.paths import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronix_cluster.components import Component
    from cronix_cluster.paths import Paths

_OPTIONS = ("ETCD_FSYNC", "KCM_QPS")
_READY_TIMEOUT_SECONDS = 120.0


def options(paths: Paths) -> dict[str, str]:
    """What this cluster was started with, overridden by the environment: a plain `up` does not undo ETCD_FSYNC=1."""
    kept: dict[str, str] = {}
    with suppress(OSError, ValueError):
        kept = json.loads((paths.run / "options.json").read_text())
    return {name: value for name in _OPTIONS if (value := os.environ.get(name, kept.get(name, "")))}


def table(paths: Paths) -> tuple[Component, ...]:
    """The components as this cluster runs them."""
    return components(paths, options(paths), host.find_program("containerd") or "containerd")


def exists(paths: Paths) -> bool:
    """Whether somebody already agreed to a cluster on this host."""
    return (paths.state / "agreed").exists()


def up(paths: Paths) -> None:
    """Bring the cluster up from any state: nothing there, killed half way, parts dead, already running."""
    watch = Stopwatch()
    missing = host.missing_packages(need_python_venv=not toolchain.is_built() and toolchain.find_go() is None)
    if not exists(paths):
        text = host.changes(
            missing, binaries_built=toolchain.is_built(), bridge=network.BRIDGE, network=str(network.pod_network())
        )
        host.agree(text, os.environ, terminal=sys.stdin.isatty())
        write_atomically(paths.state / "agreed", "")
    if missing:
        with watch.step(f"Debian packages: {' '.join(missing)}"):
            host.install(missing)
    if not toolchain.is_built():
        with watch.step("Kubernetes and helm built from Go modules"):
            toolchain.build()
    toolchain.install(toolchain.built_folder(), paths.bin)
    with watch.step("host prepared"):
        fresh = _prepare(paths)
    started = _start(paths, watch, fresh=fresh)
    say(watch.table() if started else f"already up ({watch.total_seconds:.1f} s)")
    say(f"KUBECONFIG={paths.kubeconfig}")


def _prepare(paths: Paths) -> bool:
    """Everything before the first process; returns whether the cluster starts empty."""
    if not _same_boot(paths):
        say("  the machine was restarted since: the cluster starts empty")
        _clear(paths)
    fresh = not paths.etcd_data.exists()
    if fresh:  # the logs of the cluster before this one were kept until now
        shutil.rmtree(paths.logs, ignore_errors=True)
    for folder in (paths.state, paths.run, paths.logs, paths.pids):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(paths.state / "boot-id", processes.boot_id())
    host.load_kernel_modules()
    cleanup.take_snapshot(paths)
    orphans = cleanup.kill_orphans(paths)
    if orphans:
        raise ClusterError(f"processes of an earlier start do not go away: {orphans}")
    network.ensure_bridge()
    filtered = network.prepare_kernel()
    network.open_forwarding()
    network.keep_services_inside()
    cgroups.create()
    certs.ensure(paths.pki)
    _write_configs(paths, bridge_is_filtered=filtered)
    return fresh


def _same_boot(paths: Paths) -> bool:
    stamp = paths.state / "boot-id"
    return not stamp.exists() or stamp.read_text() == processes.boot_id()


def _write_configs(paths: Paths, *, bridge_is_filtered: bool) -> None:
    cni_bin = host.cni_folder()
    if cni_bin is None:
        raise ClusterError(f"no CNI plugins in any of {', '.join(map(str, host.CNI_FOLDERS))}")
    containerd = configs.containerd(
        paths, cni_bin=cni_bin, snapshotter=host.snapshotter(paths.state), sandbox_image=images.pause_reference()
    )
    files = {
        "containerd.toml": containerd,
        "cni/10-cronix.conflist": configs.cni(paths),
        "kubelet.json": configs.kubelet(paths),
        "kube-proxy.json": configs.kube_proxy(paths, bridge_is_filtered=bridge_is_filtered),
        "Corefile": configs.corefile(paths),
        "audit-policy.json": configs.audit_policy(),
    }
    for name, content in files.items():
        write_atomically(paths.config / name, content)
    for identity in ("controller-manager", "scheduler", "kubelet", "kube-proxy", "coredns"):
        write_atomically(paths.config / f"{identity}.kubeconfig", certs.kubeconfig(paths.pki, identity), mode=0o600)
    write_atomically(paths.kubeconfig, certs.kubeconfig(paths.pki, "admin"), mode=0o600)
    if os.environ.get("SUDO_UID"):  # the person who called sudo uses kubectl without it
        os.chown(paths.kubeconfig, int(os.environ["SUDO_UID"]), -1)
    write_atomically(paths.run / "options.json", json.dumps(options(paths)))


def _start(paths: Paths, watch: Stopwatch, *, fresh: bool) -> bool:
    hooks: dict[str, Callable[[], None]] = {
        "containerd": lambda: images.prepare_runtime(paths, fresh=fresh),
        "apiserver": lambda: _grant_dns(paths),
    }

    def healthy(name: str) -> None:
        hooks.get(name, lambda: None)()

    starter = supervise.Starter(paths, table(paths), healthy)
    with watch.step("components healthy"):
        starter.run()
    with watch.step("node Ready, DNS answering"):
        supervise.wait_until(
            {
                "node": lambda: node_fault(paths),
                "DNS": health.dns_fault,
                "service accounts": lambda: _service_account_fault(paths),
            },
            _READY_TIMEOUT_SECONDS,
        )
    return bool(starter.started)


def node_fault(paths: Paths) -> str | None:
    """None when the node is Ready in the words of the kubelet that runs now."""
    kubelet = supervise.running(paths, "kubelet")
    return health.node_fault(paths.pki, kubelet.since) if kubelet else "the kubelet is not running"


def _grant_dns(paths: Paths) -> None:
    for collection, body in configs.dns_access():
        status, answer = health.api(paths.pki, "POST", collection, body)
        if status not in {200, 201, 409}:
            raise ClusterError(f"the API server refused CoreDNS's access: {answer}")


def _service_account_fault(paths: Paths) -> str | None:
    try:
        status, _ = health.api(paths.pki, "GET", "/api/v1/namespaces/default/serviceaccounts/default")
    except OSError as error:
        return str(error)
    return None if status == 200 else "the controller-manager has not made the default service account yet"


def _clear(paths: Paths) -> list[str]:
    stuck = cleanup.kill_leftovers(paths)
    remaining = [f"process {pid} does not die" for pid in stuck]
    remaining += [f"{point} is still mounted" for point in cleanup.unmount(paths)]
    if not remaining:
        cleanup.delete_run_state(paths)
    return remaining


def down(paths: Paths, *, purge: bool) -> None:
    """Stop everything and give the host back as it was; images and certificates stay unless `purge`."""
    watch = Stopwatch()
    if not exists(paths) and not paths.state.exists():
        say("there is no local cluster on this host")
        return
    with watch.step("components stopped"):
        for component in reversed(table(paths)):
            if component.name == "containerd" and supervise.running(paths, "containerd"):
                cleanup.kill_leftovers(paths)
                images.remove_containers(paths)
            supervise.stop(paths, component)
    with watch.step("processes, mounts, network, iptables as before"):
        remaining = _clear(paths) + cleanup.restore_host(paths)
    if purge and not remaining:
        with watch.step(f"{paths.state} deleted"):
            shutil.rmtree(paths.state)
    if remaining:
        raise ClusterError("the cluster is down, but: " + "; ".join(remaining))
    say(f"down ({watch.total_seconds:.1f} s); Debian packages stay installed")
    if not purge:
        say(f"images and certificates stay in {paths.state}; `down --purge` deletes them")


def component(paths: Paths, action: str, name: str) -> None:
    """stop | start | restart | kill | freeze | thaw one component; start waits until it is healthy."""
    from cronix_cluster.components import by_name

    chosen = by_name(table(paths), name)
    process = supervise.running(paths, chosen.name)
    if action in {"kill", "freeze", "thaw"}:
        if process is None:
            raise ClusterError(f"{chosen.name} is not running")
        _signal(paths, chosen, process, action)
    if action in {"stop", "restart"}:
        supervise.stop(paths, chosen)
    if action in {"start", "restart"} and supervise.running(paths, chosen.name) is None:
        supervise.start(paths, chosen)
    if action in {"start", "restart"}:
        only = supervise.Starter(paths, (_without_needs(chosen),), lambda _: None)
        only.run()
    say(f"{chosen.name}: {action} done")


def _without_needs(chosen: Component) -> Component:
    from dataclasses import replace

    return replace(chosen, needs=())


def _signal(paths: Paths, chosen: Component, process: processes.Running, action: str) -> None:
    from signal import SIGCONT, SIGKILL, SIGSTOP

    processes.send(process.pid, {"kill": SIGKILL, "freeze": SIGSTOP, "thaw": SIGCONT}[action])
    if action == "kill":
        processes.wait_gone(process, 10.0)
        Path(paths.pids / chosen.name).unlink(missing_ok=True)
