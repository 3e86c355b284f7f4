"""`run`: a job now, signed as ever, marked manual; with the person's own rights."""

from __future__ import annotations

import asyncio

import click

from cronix_cli.completion import complete_target
from cronix_cli.options import Command, cluster_options, output_option, pass_session, seconds_in
from cronix_cli.picture import AppSeen, Seen, look
from cronix_cli.reading import Cluster, on_cluster
from cronix_cli.session import Session
from cronix_cli.starting import RIGHTS, create, exit_code, job_body, refuse_if_held, tell, wait_for
from cronix_cli.target import Target, parse_target
from cronix_cli.trouble import Exit, Trouble

SLACK_SECONDS = 60  # beyond the Job's own deadline: Kubernetes needs a moment to say that it is over


@click.command(cls=Command)
@click.argument("target", metavar="APP/JOB[/INDEX]", shell_complete=complete_target)
@click.option("--wait", is_flag=True, help="Wait for the end; the exit code is the run's.")
@click.option("--timeout", "timeout", metavar="TIME", help="How long --wait waits; else as long as the Job may take.")
@click.option("--force", is_flag=True, help="Although it is suspended, or running under Forbid.")
@cluster_options
@output_option("table", "json", "yaml", "name")
@pass_session
def run(session: Session, target: str, wait: bool, timeout: str | None, force: bool) -> int:
    """Run a job now.

    A Job is made from the CronJob's template, as kubectl create job --from does: the same signer, the same keys, marked
    as manual, with a run id of its own; the schedule is not touched. It needs your right to create Jobs. A suspended
    app or job, or Forbid with a run under way, is told before anything is created (exit 73); --force overrides it.

    With --wait it says what came of the run: exit 0 it succeeded, 1 the app refused it (4xx), 2 retries exhausted, 3
    no key or a bad job file, 4 another run holds the lock, 5 no outcome is known. When --timeout is over (75) the run
    goes on.

    \b
      kubectl cronix run billing/settle-invoices --wait
      kubectl cronix run billing/settle-invoices/0 --wait --timeout 2m -o json
    """
    wanted = job_target(target, "run")
    patience = None if timeout is None else seconds_in(timeout, "--timeout")

    async def start(cluster: Cluster) -> int:
        app, seen = await the_job(cluster, wanted)
        await cluster.need(app.namespace, *RIGHTS)
        refuse_if_held(app, seen, force=force)
        body = job_body(seen.line, f"{seen.line.name}-{session.token()}", None)
        await create(cluster, body)
        return await finish(session, cluster, app, seen, body["metadata"]["name"], wait=wait, patience=patience)

    return on_cluster(session, start)


def job_target(text: str, command: str) -> Target:
    """A target that names a job."""
    wanted = parse_target(text)
    if wanted.job is None:
        raise Trouble(
            Exit.USAGE,
            f'"{text}" is an app; name one of its jobs',
            f"kubectl cronix {command} {text}/JOB (Tab shows them)",
        )
    return wanted


async def the_job(cluster: Cluster, wanted: Target) -> tuple[AppSeen, Seen]:
    """The app and the one CronJob that is meant. Without an index the first schedule: all send the same request."""
    (app,) = await look(cluster, wanted)
    if not app.jobs:
        raise Trouble(Exit.NOT_FOUND, f"{wanted} has no CronJob", f"kubectl cronix status {wanted.app}")
    return app, app.jobs[0]


async def finish(
    session: Session, cluster: Cluster, app: AppSeen, seen: Seen, name: str, *, wait: bool, patience: float | None
) -> int:
    """Say what was created; with `wait`, what came of it."""
    data = session.is_data
    if session.output == "name":
        session.screen.line(f"job.batch/{name}")
    elif not data:
        session.screen.line(f"created Job {name} in namespace {app.namespace}")
    if not wait:
        if data:
            session.screen.document(
                "Run", {"namespace": app.namespace, "app": app.name, "jobName": name}, session.output
            )
        elif session.output == "table":
            session.screen.line(f"follow it: kubectl cronix logs {seen.line.label} --run {name} -f -n {app.namespace}")
        return Exit.OK
    assert seen.line.live is not None  # noqa: S101  # a line of the cluster
    deadline = seen.line.live["spec"]["jobTemplate"]["spec"].get("activeDeadlineSeconds") or 3600
    try:
        ended = await wait_for(session, cluster, seen, app, name, patience or deadline + SLACK_SECONDS)
    except asyncio.CancelledError:
        session.screen.line(f"Job {name} goes on")
        raise
    tell(session, app, ended)
    return exit_code(ended)
