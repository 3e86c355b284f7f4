"""Components of the control plane apart from the cluster, on other ports: for tests and benchmarks with their own."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from cronix_cluster.components import by_name, components

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cronix_cluster.paths import Paths


def free_ports(count: int) -> list[int]:
    """So many different ports of loopback that nobody has at present."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def command_line(paths: Paths, name: str, changed: Mapping[str, str]) -> list[str]:
    """The local cluster's command line of a component, with these flags in the place of its own or beside them."""
    kept = [word for word in by_name(components(paths, {}), name).argv if word.partition("=")[0] not in changed]
    return [*kept, *(f"{flag}={value}" for flag, value in changed.items())]


def etcd_command_line(paths: Paths, client_port: int, peer_port: int, metrics_port: int) -> list[str]:
    """etcd's, alone on these ports; clients come by https://127.0.0.1:`client_port`."""
    client, peer = f"https://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    flags = {
        "--listen-client-urls": client,
        "--advertise-client-urls": client,
        "--listen-peer-urls": peer,
        "--initial-advertise-peer-urls": peer,
        "--initial-cluster": f"local={peer}",
        "--listen-metrics-urls": f"http://127.0.0.1:{metrics_port}",
    }
    return command_line(paths, "etcd", flags)


def apiserver_command_line(
    paths: Paths, api_port: int, etcd_port: int, changed: Mapping[str, str] | None = None
) -> list[str]:
    """The API server's, on loopback only, with the etcd of that port; `changed`: further flags of its own."""
    flags = {
        "--bind-address": "127.0.0.1",
        "--secure-port": str(api_port),
        "--etcd-servers": f"https://127.0.0.1:{etcd_port}",
    }
    return command_line(paths, "apiserver", {**flags, **(changed or {})})
