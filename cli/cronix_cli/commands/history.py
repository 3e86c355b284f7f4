"""`history`: the runs that Kubernetes still has, the newest first."""

from __future__ import annotations

import itertools

import click

from cronix_cli.completion import complete_target
from cronix_cli.options import (
    ALL_FORMATS,
    Command,
    cluster_options,
    many_options,
    output_option,
    pass_session,
    zone_named,
)
from cronix_cli.picture import AppSeen, Seen, look
from cronix_cli.reading import on_cluster
from cronix_cli.sentences import how, run_json
from cronix_cli.session import Session
from cronix_cli.table import Cell, Column
from cronix_cli.target import parse_target
from cronix_cli.times import span, wall
from cronix_cli.trouble import Exit
from cronix_operator.core.runs import Run

COLUMNS = (
    Column("SCHEDULED"),
    Column("START", optional=True),
    Column("TOOK"),
    Column("TRIES", optional=True),
    Column("HTTP"),
    Column("OUTCOME"),
    Column("JOB", flexible=True, keep_end=2),
    Column("RUN", flexible=True, keep_end=4),
    Column("KUBERNETES JOB", wide=True),
    Column("MESSAGE", wide=True),
)


@click.command(cls=Command)
@click.argument("target", required=False, metavar="[APP[/JOB[/INDEX]]]", shell_complete=complete_target)
@click.option("--count", default=20, type=click.IntRange(1, 10000), help="How many runs to list (20).")
@click.option("--failed", is_flag=True, help="Only runs that failed.")
@click.option("--tz", metavar="ZONE", help="Show times in this zone; else each in its job's own.")
@many_options
@cluster_options
@output_option(*ALL_FORMATS)
@pass_session
def history(session: Session, target: str | None, count: int, failed: bool, tz: str | None) -> int:
    """List runs: slot, delay of the start, duration, attempts, HTTP status and outcome.

    Kubernetes keeps the Jobs of 3 good runs and 1 failed run of each schedule, unless spec.jobDefaults says otherwise;
    of older runs only the last one is known, from the CronixApp's status.

    SCHEDULED is the slot ("by hand" for a run that has none), START how long after it the pod began, TOOK the signer's
    time with all its TRIES, HTTP the app's last answer. Where the terminal is narrow, START and TRIES are left out;
    -o wide has the Job's name and the message, too.

    \b
      kubectl cronix history billing/settle-invoices
      kubectl cronix history -A --failed
      kubectl cronix history billing -o json
    """
    zone = None if tz is None else zone_named(tz)
    wanted = None if target is None else parse_target(target)
    apps = on_cluster(session, lambda cluster: look(cluster, wanted, session.selector))
    runs = newest_runs(apps, failed=failed)[:count]
    if session.is_data:
        items = [run_json(run, namespace=app.namespace, app=app.name) for app, _, run in runs]
        session.screen.document("RunList", {"items": items}, session.output)
    elif session.output == "name":
        for _, _, run in runs:
            session.screen.line(run.run_id)
    elif not runs:
        session.screen.line("no run failed" if failed else "no run yet")
    else:
        rows = [
            (
                f"{wall(run.slot, zone or seen.line.zone)}" if run.slot else "by hand",
                "" if run.start_delay_seconds is None else f"+{span(run.start_delay_seconds)}",
                "" if run.duration_seconds is None else span(run.duration_seconds),
                str(run.attempts or ""),
                str(run.http_status or ""),
                Cell(run.outcome or "running", how(run).color),
                seen.line.label,
                run.run_id,
                run.job_name,
                f"{run.message}: {run.excerpt}" if run.excerpt else run.message,
            )
            for _, seen, run in runs
        ]
        session.screen.table(COLUMNS, rows, wide=session.wide)
    return Exit.OK


def newest_runs(apps: list[AppSeen], *, failed: bool = False) -> list[tuple[AppSeen, Seen, Run]]:
    """Every run, the newest first."""
    each = ([(app, seen, run) for run in seen.runs] for app in apps for seen in app.jobs)
    runs = [found for found in itertools.chain.from_iterable(each) if found[2].failed or not failed]
    return sorted(runs, key=lambda found: (found[2].created, found[2].job_name), reverse=True)
