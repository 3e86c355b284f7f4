"""`logs`: what the signer said in one run; follows it while it is under way."""

from __future__ import annotations

import click

from cronix_cli.commands.history import newest_runs
from cronix_cli.completion import complete_target
from cronix_cli.options import Command, cluster_options, pass_session
from cronix_cli.picture import look
from cronix_cli.reading import Cluster, Object, on_cluster
from cronix_cli.session import Session
from cronix_cli.table import printable
from cronix_cli.target import parse_target
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.jobfacts import parse_pod
from cronix_operator.core.podspec import CONTAINER
from cronix_operator.core.runs import Run

POLL_SECONDS = 1.0
START_SECONDS = 60.0  # after as long it is told that the pod does not start


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
        pods = await _pods(session, cluster, run, follow=follow)
        click.echo(f"# {run.job}/{run.index} run {run.run_id} Job {run.job_name} {run.outcome or 'running'}", err=True)
        if not pods:
            known = f"{run.outcome or 'running'}: {run.message}" if run.message else run.outcome or "running"
            raise Trouble(
                Exit.NOT_FOUND,
                f"the pod of Job {run.job_name} is gone; what is known: {known}",
                f"kubectl cronix history {target} -o wide",
            )
        started = [pod for pod in pods if _has_log(pod)]
        if not started:
            raise Trouble(
                Exit.NOT_FOUND,
                f"the pod of Job {run.job_name} has not started, so there is no log",
                f"kubectl cronix status {apps[0].name}/{run.job}/{run.index} -n {namespace}",
            )
        for pod in sorted(started, key=lambda body: str(body["metadata"]["creationTimestamp"])):
            path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/log"
            query = {"container": CONTAINER, **({"follow": "true"} if follow else {})}
            async for line in cluster.api.lines(path, query):
                click.echo(printable(line.decode("utf-8", "replace")))

    on_cluster(session, read)
    return Exit.OK


async def _pods(session: Session, cluster: Cluster, run: Run, *, follow: bool) -> list[Object]:
    """The run's pods; to follow a run that has just begun is to wait until one has started."""
    waited = 0.0
    while True:
        pods = await cluster.items("/api/v1", "pods", f"batch.kubernetes.io/job-name={run.job_name}")
        if not follow or run.finished is not None or waited >= START_SECONDS or any(map(_has_log, pods)):
            return pods
        await session.sleep(POLL_SECONDS)
        waited += POLL_SECONDS


def _has_log(pod: Object) -> bool:
    facts = parse_pod(pod)
    return facts is not None and facts.started is not None


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
