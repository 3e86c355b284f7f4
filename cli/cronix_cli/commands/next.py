"""`next`: the coming fires of all jobs in one list."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import click

from cronix_cli.completion import complete_target
from cronix_cli.lines import Line, lines_of, matching
from cronix_cli.manifests import load, read
from cronix_cli.options import (
    ALL_FORMATS,
    ZONES,
    Command,
    cluster_options,
    many_options,
    output_option,
    pass_session,
    seconds_in,
    zone_named,
)
from cronix_cli.session import Session
from cronix_cli.table import Cell, Column
from cronix_cli.target import Target, parse_target
from cronix_cli.times import ago, rfc3339, wall, weekday
from cronix_cli.trouble import Exit, Trouble
from cronix_protocol.jobfaults import kubernetes_faults

COLUMNS = (
    Column("TIME"),
    Column("IN"),
    Column("JOB", flexible=True, keep_end=2),
    Column("SCHEDULE"),
    Column("TIME ZONE", optional=True),
    Column("NAMESPACE", wide=True),
    Column("CRONJOB", wide=True),
)


@click.command(name="next", cls=Command)
@click.argument("target", required=False, metavar="[APP[/JOB[/INDEX]]]", shell_complete=complete_target)
@click.option("--count", default=20, type=click.IntRange(1, 10000), help="How many fires to list (20).")
@click.option("--within", metavar="TIME", help="Only fires within this time, such as 24h or 7d.")
@click.option("--tz", metavar="ZONE", help="Show times in this zone; else each in its job's own.")
@click.option("-f", "--file", "file", metavar="FILE|URL|-", help="Take the jobs from a manifest; needs no cluster.")
@many_options
@cluster_options
@output_option(*ALL_FORMATS)
@pass_session
def next_(
    session: Session, target: str | None, count: int, within: str | None, tz: str | None, file: str | None
) -> int:
    """List the coming fires of all jobs, the soonest first.

    \b
      kubectl cronix next
      kubectl cronix next billing --within 24h --tz Europe/Paris
      kubectl cronix next -f manifest.json
    """
    now = session.now()
    zone = None if tz is None else zone_named(tz)
    wanted = None if target is None else parse_target(target)
    end = None if within is None else now + timedelta(seconds=seconds_in(within, "--within"))
    lines = _of_file(file, session) if file else _of_cluster(session, wanted)
    # Merged lazily: with many jobs most of their next slots are never looked for.
    each = (_pairs(line, now) for line in matching(lines, wanted))
    merged = heapq.merge(*each, key=lambda fire: (fire[0], fire[1].label))
    due = merged if end is None else itertools.takewhile(lambda fire: fire[0] <= end, merged)
    fires = list(itertools.islice(due, count))
    _show(session, fires, zone, now)
    return Exit.OK


def _pairs(line: Line, now: datetime) -> Iterator[tuple[datetime, Line]]:
    return ((slot, line) for slot in line.fires(now))


def _of_cluster(session: Session, wanted: Target | None) -> list[Line]:
    from cronix_cli.reading import Cluster, on_cluster

    async def ask(cluster: Cluster) -> list[Line]:
        apps = await cluster.chosen(wanted, session.selector)
        names = {(app["metadata"]["namespace"], app["metadata"]["name"]) for app in apps}
        if not names:
            raise Trouble(Exit.NOT_FOUND, f"no CronixApp {cluster.scope}", "kubectl cronix status -A")
        return [line for line in lines_of(await cluster.cron_jobs()) if (line.namespace, line.app) in names]

    return on_cluster(session, ask)


def _of_file(file: str, session: Session) -> list[Line]:
    """A line for each schedule of the jobs that the operator would not refuse."""
    manifest, findings = read(load(file, None, session.now()))
    if manifest is None:
        raise Trouble(Exit.NO, f"{file}: {findings[0].path} {findings[0].message}", f"kubectl cronix validate {file}")
    return [
        Line("", manifest.app, job.name, index, text, job.timezone)
        for job in manifest.jobs
        if not kubernetes_faults(job, ZONES)
        for index, text in enumerate(job.schedules)
    ]


def _show(session: Session, fires: list[tuple[datetime, Line]], zone: ZoneInfo | None, now: datetime) -> None:
    if session.is_data:
        items = [
            {
                "time": rfc3339(slot),
                "namespace": line.namespace,
                "app": line.app,
                "job": line.job,
                "index": line.index,
                "schedule": line.schedule,
                "timeZone": line.time_zone,
            }
            for slot, line in fires
        ]
        session.screen.document("NextList", {"items": items}, session.output)
    elif session.output == "name":
        for _, line in fires:
            session.screen.line(line.label)
    elif not fires:
        session.screen.line("nothing is due: every job is suspended, or fires later")
    else:
        rows = [
            (
                f"{weekday(slot, zone or line.zone)} {wall(slot, zone or line.zone)}",
                Cell(ago(slot, now).removeprefix("in "), "cyan"),
                line.label,
                line.schedule,
                line.time_zone,
                line.namespace,
                line.name,
            )
            for slot, line in fires
        ]
        session.screen.table(COLUMNS, rows, wide=session.wide)
