"""`timeline`: a day in the terminal, one line for each job."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import click

from cronix_cli.completion import complete_target
from cronix_cli.day import Day, DayRow, busiest, day_of, day_row
from cronix_cli.options import Command, cluster_options, many_options, output_option, pass_session, zone_named
from cronix_cli.picture import AppSeen, look
from cronix_cli.reading import on_cluster
from cronix_cli.session import Session
from cronix_cli.table import Cell, cut
from cronix_cli.target import parse_target
from cronix_cli.times import rfc3339
from cronix_cli.trouble import Exit, Trouble

PARTS = 48
NARROW_PARTS = 24
LABEL_WIDTH = 40
CROWD = 3  # from this many jobs in one minute on, spreading them is worth a word


@click.command(cls=Command)
@click.argument("target", required=False, metavar="[APP[/JOB[/INDEX]]]", shell_complete=complete_target)
@click.option("--date", "day_text", metavar="DATE", help="A day such as 2026-11-24; else today.")
@click.option("--tz", default="UTC", metavar="ZONE", help="Whose day; else UTC.")
@many_options
@cluster_options
@output_option("table", "json", "yaml")
@pass_session
def timeline(session: Session, target: str | None, day_text: str | None, tz: str) -> int:
    """Show a day: when which job fires, and what has failed.

    A digit says how often a job fires in that half hour (+ is more than nine), ! that a run of then has failed, and a
    dot that nothing is due. Days before today show today's schedules: Kubernetes does not keep older ones.

    \b
      kubectl cronix timeline --tz Europe/Paris
    """
    zone = zone_named(tz)
    now = session.now()
    day = day_of(_date(day_text, now.astimezone(zone).date()), zone)
    wanted = None if target is None else parse_target(target)
    apps = on_cluster(session, lambda cluster: look(cluster, wanted, session.selector))
    parts = PARTS if session.screen.width is None or session.screen.width >= 80 else NARROW_PARTS
    rows = [(app, day_row(seen, day, parts)) for app in apps for seen in app.jobs]
    if session.is_data:
        _document(session, apps, rows, day, tz, parts)
        return Exit.OK
    if not rows:
        raise Trouble(Exit.NOT_FOUND, "no CronJob to show", "kubectl cronix status -A")
    _draw(session, rows, day, zone, parts)
    most = busiest(apps, day)
    if most is not None:
        advice = "; spec.jobDefaults.jitterSeconds spreads them" if most[1] >= CROWD else ""
        start = most[0].astimezone(zone)
        count = "1 run starts" if most[1] == 1 else f"{most[1]} runs start"
        session.screen.paragraph(f"busiest minute {start:%H:%M %Z}: {count}{advice}")
    return Exit.OK


def _date(text: str | None, today: date) -> date:
    if text is None:
        return today
    if text == "tomorrow":
        return today + timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Trouble(Exit.USAGE, f'--date: "{text}" is no day; write {today}, or tomorrow') from None


def _document(
    session: Session, apps: list[AppSeen], rows: list[tuple[AppSeen, DayRow]], day: Day, tz: str, parts: int
) -> None:
    most = busiest(apps, day)
    items = [
        {
            "namespace": app.namespace,
            "app": app.name,
            "job": row.seen.line.job,
            "index": row.seen.line.index,
            "fires": list(row.fires),
            "succeeded": list(row.good),
            "failed": list(row.failed),
        }
        for app, row in rows
    ]
    content = {
        "start": rfc3339(day.start),
        "end": rfc3339(day.end),
        "timeZone": tz,
        "parts": parts,
        "busiestMinute": None if most is None else {"time": rfc3339(most[0]), "starts": most[1]},
        "items": items,
    }
    session.screen.document("Timeline", content, session.output)


def _draw(session: Session, rows: list[tuple[AppSeen, DayRow]], day: Day, zone: ZoneInfo, parts: int) -> None:
    screen, now = session.screen, session.now()
    limit = LABEL_WIDTH if screen.width is None else max(12, min(LABEL_WIDTH, screen.width - parts - 2))
    width = min(limit, max(len(row.seen.line.label) for _, row in rows))
    for _, row in rows:
        label = cut(row.seen.line.label, width, 2).ljust(width)
        screen.line(label, "  ", *(_part(fires, failed) for fires, failed in zip(row.fires, row.failed, strict=True)))
    step = parts // 8
    hours = [f"{(day.start + (day.end - day.start) / 8 * n).astimezone(zone):%H}".ljust(step) for n in range(8)]
    screen.line(" " * (width + 2), "".join(hours))
    here = day.part(now, parts)
    if here is not None:
        screen.line(" " * (width + 2 + here), Cell("^ now", "cyan"))


def _part(fires: int, failed: int) -> Cell:
    if failed:
        return Cell("!", "red")
    if not fires:
        return Cell("·", "")
    return Cell(str(fires) if fires < 10 else "+", "green")
