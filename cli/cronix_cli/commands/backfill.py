"""`backfill`: a past slot once more, or for the first time, with its own scheduled time and its own run id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from cronix_cli.commands.run import finish, job_target, the_job
from cronix_cli.completion import complete_target
from cronix_cli.lines import Line
from cronix_cli.options import Command, cluster_options, output_option, pass_session, seconds_in
from cronix_cli.picture import Seen
from cronix_cli.reading import Cluster, on_cluster
from cronix_cli.session import Session
from cronix_cli.starting import RIGHTS, create, job_body, refuse_if_held
from cronix_cli.times import wall
from cronix_cli.trouble import Exit, Trouble
from cronix_protocol.schedule import parse_schedule

LOOK_BACK = timedelta(days=5 * 366)


@click.command(cls=Command)
@click.argument("target", metavar="APP/JOB[/INDEX]", shell_complete=complete_target)
@click.argument("slot", metavar="SLOT")
@click.option("--wait", is_flag=True, help="Wait for the end; the exit code is the run's.")
@click.option("--timeout", "timeout", metavar="TIME", help="How long --wait waits; else as long as the Job may take.")
@click.option(
    "--force", is_flag=True, help="Although it is suspended, running under Forbid, or the slot has succeeded."
)
@cluster_options
@output_option("table", "json", "yaml", "name")
@pass_session
def backfill(session: Session, target: str, slot: str, wait: bool, timeout: str | None, force: bool) -> int:
    """Run a past slot with its own scheduled time and its own run id.

    SLOT is a time such as 2026-11-23T02:00 (in the job's time zone), 2026-11-23T01:00:00Z, or the word last for the
    newest slot that has passed. The app sees the request that the slot would have sent; an app that has done that run
    already can tell by the run id.

    \b
      kubectl cronix backfill billing/settle-invoices 2026-11-23T02:00 --wait
      kubectl cronix backfill billing/settle-invoices/1 last
    """
    wanted = job_target(target, "backfill")
    patience = None if timeout is None else seconds_in(timeout, "--timeout")

    async def start(cluster: Cluster) -> int:
        app, seen = await the_job(cluster, wanted)
        moment = slot_of(slot, seen.line, session.now())
        await cluster.need(app.namespace, *RIGHTS)
        refuse_if_held(app, seen, force=force)
        if not force:
            _refuse_if_done(seen, moment)
        name = f"{seen.line.name}-b{int(moment.timestamp()) // 60}"
        if force:  # again: the name of the first time may still be taken
            name = f"{name[:57]}-{session.token()}"
        await create(cluster, job_body(seen.line, name, moment))
        return await finish(session, cluster, app, seen, name, wait=wait, patience=patience)

    return on_cluster(session, start)


def slot_of(text: str, line: Line, now: datetime) -> datetime:
    """The slot that is meant; Trouble naming the slots around it when the schedule has none at that time."""
    schedule = parse_schedule(line.schedule)
    if schedule.fields is None:
        raise Trouble(
            Exit.USAGE,
            f"{line.label} runs {line.schedule}: such slots follow one another and have no time of their own",
            f"kubectl cronix run {line.app}/{line.job}",
        )
    moment = now if text == "last" else _moment(text, line)
    if moment > now:
        raise Trouble(Exit.USAGE, f"{text} has not come yet", f"kubectl cronix next {line.label}")
    found = schedule.previous_at_or_before(moment, line.zone, moment - LOOK_BACK)
    if found is not None and (text == "last" or found == moment):
        return found
    around = [slot for slot in (found, schedule.next_after(moment, line.zone)) if slot is not None and slot <= now]
    there = " and ".join(wall(slot, line.zone) for slot in around) or "none that has passed"
    raise Trouble(
        Exit.USAGE,
        f"{wall(moment, line.zone)} is no slot of {line.schedule} ({line.time_zone}); the nearest: {there}",
        f"kubectl cronix backfill {line.label} {_typed(around[0], line) if around else 'last'}",
    )


def _moment(text: str, line: Line) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Trouble(
            Exit.USAGE,
            f'"{text}" is no time; write 2026-11-23T02:00 (in {line.time_zone}), 2026-11-23T01:00:00Z, or last',
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=line.zone).astimezone(UTC)


def _typed(slot: datetime, line: Line) -> str:
    return slot.astimezone(line.zone).strftime("%Y-%m-%dT%H:%M")


def _refuse_if_done(seen: Seen, slot: datetime) -> None:
    done = next((run for run in seen.runs if run.slot == slot and not run.failed and run.finished is not None), None)
    if done is not None:
        raise Trouble(
            Exit.NOT_NOW,
            f"the slot {wall(slot, seen.line.zone)} has succeeded (run {done.run_id}); nothing was created",
            "--force sends it again with the same run id",
        )
