"""The command line: `python3 -m cronix_cluster <command>`; answers on stdout, all else on stderr."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_cluster import host, images, lifecycle
from cronix_cluster.console import say
from cronix_cluster.errors import ClusterError
from cronix_cluster.lock import cluster_lock
from cronix_cluster.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _up(paths: Paths, _: argparse.Namespace) -> int:
    lifecycle.up(paths)
    return 0


def _down(paths: Paths, options: argparse.Namespace) -> int:
    lifecycle.down(paths, purge=options.purge)
    return 0


def _status(paths: Paths, _: argparse.Namespace) -> int:
    from cronix_cluster import status

    host.this_process_may()
    if not lifecycle.exists(paths):
        raise ClusterError("there is no local cluster on this host; `make cluster-up` makes one")
    text, well = status.report(paths)
    print(text)
    return 0 if well else 1


def _kubeconfig(paths: Paths, _: argparse.Namespace) -> int:
    if not paths.kubeconfig.exists():
        raise ClusterError("there is no local cluster on this host; `make cluster-up` makes one")
    print(paths.kubeconfig)
    return 0


def _path(paths: Paths, _: argparse.Namespace) -> int:
    print(paths.bin)
    return 0


def _load(paths: Paths, options: argparse.Namespace) -> int:
    for archive in options.archive:
        images.load(paths, archive)
        say(f"loaded {archive}")
    return 0


def _build(paths: Paths, options: argparse.Namespace) -> int:
    from cronix_cluster import image_builds

    references = image_builds.build_and_deliver(paths, options.name, os.environ)
    print(json.dumps(references) if options.format == "json" else "\n".join(references.values()))
    return 0


def _component(paths: Paths, options: argparse.Namespace) -> int:
    lifecycle.component(paths, options.action, options.name)
    return 0


def _audit(paths: Paths, options: argparse.Namespace) -> int:
    from cronix_cluster.audit import read_audit

    for entry in read_audit(options.since, paths.audit_log):
        if entry.is_write or options.all:
            what = "/".join(part for part in (entry.resource, entry.subresource) if part)
            print(entry.received, entry.status, entry.user, entry.verb, what, entry.namespace or "-", entry.name or "-")
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="cronix_cluster", description="A real Kubernetes on this machine.")
    commands = top.add_subparsers(dest="command", required=True)

    def add(
        name: str, run: Callable[[Paths, argparse.Namespace], int], text: str, *, locked: bool
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run, locked=locked, wait=False)
        if locked:
            command.add_argument("--wait", action="store_true", help="wait while another command has the cluster")
        return command

    add("up", _up, "start the cluster, or repair it, or do nothing when it is well", locked=True)
    down = add("down", _down, "stop the cluster and give the host back as it was", locked=True)
    down.add_argument("--purge", action="store_true", help="also delete images, certificates and binaries")
    add("status", _status, "what runs and whether it is well; exit 0 only if all is", locked=False)
    add("kubeconfig", _kubeconfig, "print the path of the kubeconfig", locked=False)
    add("path", _path, "print the folder with kubectl and helm", locked=False)
    load = add("load", _load, "load image archives", locked=True)
    load.add_argument("archive", nargs="+", type=Path)
    build = add(
        "build", _build, "build images/<name> and bring them into the cluster; prints their references", locked=True
    )
    build.add_argument("name", nargs="*")
    build.add_argument("--format", choices=("text", "json"), default="text")
    component = add("component", _component, "one component, for tests of failures", locked=True)
    component.add_argument("action", choices=("stop", "start", "restart", "kill", "freeze", "thaw"))
    component.add_argument("name")
    audit = add("audit", _audit, "print the writes in the API audit log", locked=False)
    audit.add_argument("--since", type=int, default=0, help="byte offset to start from")
    audit.add_argument("--all", action="store_true", help="reads too")
    return top


def _run(options: argparse.Namespace, paths: Paths, command: str) -> int:
    run: Callable[[Paths, argparse.Namespace], int] = options.run
    own_cluster = options.command == "build" and os.environ.get("IMAGE_REGISTRY")
    if not options.locked or own_cluster:
        return run(paths, options)
    host.this_process_may()
    with cluster_lock(paths.lock, command, wait=options.wait):
        return run(paths, options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit code 0 done, 1 an error that is told, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    try:
        return _run(options, Paths(), f"cronix_cluster {' '.join(arguments)}")
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; what runs keeps running, the next `up` or `down` takes it from here")
        return 130


if __name__ == "__main__":
    sys.exit(main())
