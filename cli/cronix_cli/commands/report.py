"""`report`: apps, jobs, the day and the last runs as one HTML file."""

from __future__ import annotations

import sys

import click

from cronix_cli.completion import complete_target
from cronix_cli.day import day_of
from cronix_cli.options import Command, cluster_options, many_options, pass_session, zone_named
from cronix_cli.page import render_page
from cronix_cli.picture import look
from cronix_cli.reading import Cluster, on_cluster
from cronix_cli.session import Session
from cronix_cli.target import parse_target
from cronix_cli.trouble import Exit, Trouble


@click.command(cls=Command)
@click.argument("target", required=False, metavar="[APP]", shell_complete=complete_target)
@click.option("--tz", default="UTC", metavar="ZONE", help="Zone of the day and of all times; else UTC.")
@click.option("--title", default="Scheduled jobs", metavar="TEXT", help="Headline of the page.")
@many_options
@cluster_options
@pass_session
def report(session: Session, target: str | None, tz: str, title: str) -> int:
    """Write an HTML page to standard output: one file, no script, nothing to load, light and dark.

    \b
      kubectl cronix report -A > report.html
    """
    if sys.stdout.isatty():
        raise Trouble(Exit.USAGE, "a report is a page of HTML", "kubectl cronix report > report.html")
    zone = zone_named(tz)
    wanted = None if target is None else parse_target(target)

    async def read(cluster: Cluster) -> str:
        apps = await look(cluster, wanted, session.selector)
        if not apps:
            raise Trouble(Exit.NOT_FOUND, f"no CronixApp {cluster.scope}", "kubectl cronix status -A")
        now = session.now()
        return render_page(apps, day_of(now.astimezone(zone).date(), zone), zone, now, title)

    click.echo(on_cluster(session, read), nl=False)
    return Exit.OK
