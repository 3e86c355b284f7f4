"""Names of apps and jobs for the Tab key; a Tab never prints an error and never waits long."""

from __future__ import annotations

from typing import Any

import click

from cronix_cli.session import Session


def complete_target(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """APP, APP/JOB and APP/JOB/INDEX that begin with what is typed; nothing when the cluster does not answer."""
    from cronix_cli.lines import lines_of
    from cronix_cli.reading import Cluster, on_cluster

    session = context.find_object(Session)
    if session is None:
        return []

    async def names(cluster: Cluster) -> list[str]:
        found: dict[str, Any] = {}
        for line in lines_of(await cluster.cron_jobs()):
            found |= dict.fromkeys((line.app, f"{line.app}/{line.job}", line.label))
        return list(found)

    depth = incomplete.count("/")
    return [name for name in on_cluster(session, names) if name.startswith(incomplete) and name.count("/") <= depth + 1]
