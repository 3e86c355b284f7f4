"""`logs`: what the signer said in one run; follows it while it is under way."""

from __future__ import annotations

import click

from cronix_cli.commands.history import newest_runs
from cronix_cli.completion import complete_target
from cronix_cli.options import Command, cluster_options, pass_session
from cronix_cli.picture import look
from cronix_cli.reading import Cluster, on_cluster
from cronix_cli.session import Session
from cronix_cli.table import printable
from cronix_cli.target import parse_target
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.podspec import CONTAINER
from cronix_operator.core.runs import Run


@click.command(cls=Command)
@click.argument("target", metavar="APP[/JOB[/INDEX]]", shell_complete=complete_target)
@click.option("--run", "run_id", default="last", metavar="ID", help="Run id (its beginning or end), Job name, or last.")
@click.option("-f", "--follow", is_flag=True, help="Go on while the run is under way.")
@cluster_options
@pass_session
def logs(session: Session, target: str, run_id: str, follow: bool) -> int:
    """Print the signer's log of one run, one JSON object for each event.

    \b
      kubectl cronix logs billing/settle-invoices
      kubectl cronix logs billing --run 01a2040b -f
    """
    wanted = parse_target(target)

    async def read(cluster: Cluster) -> None:
        apps = await look(cluster, wanted)
        run = _chosen([run for _, _, run in newest_runs(apps)], run_id, target)
        namespace = apps[0].namespace
        pods = await cluster.items("/api/v1", "pods", f"batch.kubernetes.io/job-name={run.job_name}")
        click.echo(f"# {run.job}/{run.index} run {run.run_id} Job {run.job_name} {run.outcome or 'running'}", err=True)
        if not pods:
            known = f"{run.outcome or 'running'}: {run.message}" if run.message else run.outcome or "running"
            raise Trouble(
                Exit.NOT_FOUND,
                f"the pod of Job {run.job_name} is gone; what is known: {known}",
                f"kubectl cronix history {target} -o wide",
            )
        for pod in sorted(pods, key=lambda body: str(body["metadata"]["creationTimestamp"])):
            path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/log"
            query = {"container": CONTAINER, **({"follow": "true"} if follow else {})}
            async for line in cluster.api.lines(path, query):
                click.echo(printable(line.decode("utf-8", "replace")))

    on_cluster(session, read)
    return Exit.OK


def _chosen(runs: list[Run], wanted: str, target: str) -> Run:
    if not runs:
        raise Trouble(Exit.NOT_FOUND, f"{target} has not run yet", f"kubectl cronix next {target}")
    if wanted == "last":
        return runs[0]
    start, cut, end = wanted.partition("…")  # as a narrow `history` shows it
    found = [
        run
        for run in runs
        if wanted == run.job_name
        or (run.run_id.startswith(start) and run.run_id.endswith(end))
        or (not cut and run.run_id.endswith(wanted))
    ]
    if not found:
        raise Trouble(
            Exit.NOT_FOUND, f'{target} has no run "{wanted}" that is still kept', f"kubectl cronix history {target}"
        )
    if len({run.run_id for run in found}) > 1:
        ids = ", ".join(run.run_id for run in found[:4])
        raise Trouble(Exit.USAGE, f'"{wanted}" is the beginning of several runs: {ids}', "write more of it")
    return found[0]
