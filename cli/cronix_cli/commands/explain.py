"""`explain`: what a schedule means, when it fires, what will surprise its author; needs no cluster."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import click

from cronix_cli.options import Command, output_option, pass_session, zone_named
from cronix_cli.screen import Screen
from cronix_cli.session import Session
from cronix_cli.table import Cell, cut
from cronix_cli.times import ago, rfc3339, wall, weekday
from cronix_cli.trouble import Exit
from cronix_cli.words import describe
from cronix_protocol.lint import Lint, lint_schedule
from cronix_protocol.schedule import Schedule, ScheduleInvalid, parse_schedule


@click.command(cls=Command)
@click.argument("schedule", nargs=-1, required=True)
@click.option("--tz", default="UTC", metavar="ZONE", help="IANA time zone such as Europe/Paris; else UTC.")
@click.option("--count", default=5, type=click.IntRange(1, 1000), help="How many fires to list (5).")
@output_option("table", "json", "yaml")
@pass_session
def explain(session: Session, schedule: tuple[str, ...], tz: str, count: int) -> int:
    """Say what a cron schedule means and when it fires.

    Whether Kubernetes accepts it is told in the words of the API server. Needs no cluster.

    \b
      kubectl cronix explain "0 2 * * 1-5" --tz Europe/Paris
      kubectl cronix explain @hourly
    """
    # Forgotten quotes are no reason to say no: five words are one schedule (a * that the shell has seen is a mess).
    text = " ".join(schedule)
    zone = zone_named(tz)
    try:
        parsed = parse_schedule(text)
    except ScheduleInvalid as invalid:
        _refuse(session, text, tz, invalid)
        return Exit.NO
    now = session.now()
    lints = lint_schedule(parsed, zone, now, 0)
    fires = parsed.slots_after(now, zone, count)
    if session.is_data:
        content = {
            "schedule": parsed.text,
            "timeZone": tz,
            "accepted": True,
            "words": describe(parsed),
            "fires": [rfc3339(slot) for slot in fires],
            "warnings": [{"code": lint.code, "message": lint.message, "advice": lint.advice} for lint in lints],
        }
        session.screen.document("Explanation", content, session.output)
    else:
        _show(session.screen, parsed, tz, fires, lints, now)
    return Exit.OK


def _refuse(session: Session, text: str, tz: str, invalid: ScheduleInvalid) -> None:
    if session.is_data:
        content = {
            "schedule": text,
            "timeZone": tz,
            "accepted": False,
            "reason": invalid.reason,
            "advice": invalid.advice,
        }
        session.screen.document("Explanation", content, session.output)
        return
    screen = session.screen
    screen.line(Cell(cut(text, 60), "cyan"))
    screen.line("Kubernetes accepts it: ", Cell("no", "red"), f", because: {cut(invalid.reason, 120)}")
    advice = invalid.advice
    if len(text.split()) > 6:
        advice = 'put the schedule in quotes, or the shell replaces * by file names: explain "*/5 * * * *"'
    if advice:
        screen.paragraph(advice, "  ")


def _show(
    screen: Screen, schedule: Schedule, tz: str, fires: tuple[datetime, ...], lints: tuple[Lint, ...], now: datetime
) -> None:
    zone = ZoneInfo(tz)
    screen.line(Cell(schedule.text, "cyan"), f"  ({tz})")
    screen.paragraph(describe(schedule), "  ")
    screen.line("Kubernetes accepts it: ", Cell("yes", "green"))
    if schedule.kubernetes != schedule.text:
        screen.line(f"  written into the CronJob as {schedule.kubernetes}")
    screen.line("next fires:" if fires else "next fires: none in the next five years")
    for slot in fires:
        utc = "" if tz == "UTC" else f"   {rfc3339(slot)}"
        screen.line(f"  {weekday(slot, zone)} {wall(slot, zone)}{utc}   ", Cell(ago(slot, now), "cyan"))
    for lint in lints:
        screen.line(Cell(f"warning {lint.code}", "yellow"), f": {lint.message}")
        screen.paragraph(lint.advice, "  ")
