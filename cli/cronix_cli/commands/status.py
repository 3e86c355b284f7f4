"""`status`: apps and their jobs as a tree: what comes next, what came last, and why something is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from cronix_cli.completion import complete_target
from cronix_cli.options import ALL_FORMATS, Command, cluster_options, many_options, output_option, pass_session
from cronix_cli.picture import AppSeen, Seen, look
from cronix_cli.reading import on_cluster
from cronix_cli.sentences import how, mark, run_json, when
from cronix_cli.session import Session
from cronix_cli.table import Cell, Column, cells
from cronix_cli.target import parse_target
from cronix_cli.times import ago, parsed, rfc3339
from cronix_cli.trouble import Exit, Trouble

COLUMNS = (
    Column("", flexible=True, keep_end=2),
    Column(""),
    Column("", optional=True),
    Column(""),
    Column(""),
    Column("", flexible=True),
    Column("", wide=True),
    Column("", wide=True),
)
_SPOKEN = frozenset({"Ready", "Stalled", "Reconciling", "JobsInvalid"})


@click.command(cls=Command)
@click.argument("target", required=False, metavar="[APP[/JOB[/INDEX]]]", shell_complete=complete_target)
@many_options
@cluster_options
@output_option(*ALL_FORMATS)
@pass_session
def status(session: Session, target: str | None) -> int:
    """Show apps and jobs: the next fire, the last run, failures in a row, and why.

    \b
      kubectl cronix status
      kubectl cronix status billing -o wide
      kubectl cronix status -A -o json
    """
    wanted = None if target is None else parse_target(target)
    apps = on_cluster(session, lambda cluster: look(cluster, wanted, session.selector))
    if not apps:
        where = "in the cluster" if session.all_namespaces else "in this namespace"
        raise Trouble(Exit.NOT_FOUND, f"no CronixApp {where}", "kubectl cronix status -A")
    now = session.now()
    if session.is_data:
        session.screen.document("StatusList", {"items": [app_json(app, now) for app in apps]}, session.output)
    elif session.output == "name":
        for app in apps:
            session.screen.line(f"cronixapp.cronix.dev/{app.name}")
    else:
        _tree(session, apps, now)
    return Exit.OK


def app_json(app: AppSeen, now: datetime) -> dict[str, Any]:
    """One app as a program reads it (docs/cli.md)."""
    ready = app.condition("Ready")
    return {
        "namespace": app.namespace,
        "name": app.name,
        "ready": ready.get("status", "Unknown"),
        "reason": ready.get("reason", "NotSeenYet"),
        "message": ready.get("message", ""),
        "suspended": app.suspended,
        "manifest": dict(app.status.get("manifest") or {}),
        "jobs": [_job_json(app, seen, now) for seen in app.jobs],
        "invalidJobs": list(app.status.get("invalidJobs") or []),
    }


def _job_json(app: AppSeen, seen: Seen, now: datetime) -> dict[str, Any]:
    line = seen.line
    following, late, last = next(line.fires(now), None), seen.late(now), seen.last
    trouble = app.trouble(seen, now)
    found: dict[str, Any] = {
        "name": line.job,
        "index": line.index,
        "cronJobName": line.name,
        "schedule": line.schedule,
        "timeZone": line.time_zone,
        "suspended": line.suspended,
        "nextRunTime": None if following is None else rfc3339(following),
        "lateSlot": None if late is None else rfc3339(late),
        "consecutiveFailures": seen.streak,
        "missedSlots": seen.row.get("missedSlots", 0),
        "problem": None if trouble is None else {"reason": trouble.word, "message": trouble.text},
        "lastRun": None if last is None else run_json(last, namespace=app.namespace, app=app.name),
        "activeRuns": [run_json(run, namespace=app.namespace, app=app.name) for run in seen.active],
    }
    return found


def _tree(session: Session, apps: list[AppSeen], now: datetime) -> None:
    screen = session.screen
    rows: list[tuple[Cell | str, ...]] = []
    for app in apps:
        last = len(app.jobs) + len(_invalid(app)) - 1
        rows += [_row(seen, "└─ " if n == last else "├─ ", now) for n, seen in enumerate(app.jobs)]
    lines = iter(cells(COLUMNS, rows, width=screen.width, wide=session.wide)[1:])
    for number, app in enumerate(apps):
        if number:
            screen.line("")
        _headline(session, app, now)
        for seen in app.jobs:
            screen.line(*next(lines))
            if (trouble := app.trouble(seen, now)) is not None:
                screen.paragraph(f"{trouble.word}: {trouble.text}", "     ")
            if missed := seen.missed(now):
                screen.paragraph(f"SlotMissed: {missed}", "     ")
        invalid = _invalid(app)
        for n, row in enumerate(invalid):
            branch = "└─ " if n == len(invalid) - 1 else "├─ "
            where = row["name"] if "index" not in row else f"{row['name']}/{row['index']}"
            screen.line(branch, where, "  ", Cell(row["reason"], "red"))
            screen.paragraph(str(row.get("message", "")), "     ")


def _invalid(app: AppSeen) -> list[dict[str, Any]]:
    return [row for row in app.status.get("invalidJobs") or [] if isinstance(row, dict) and "name" in row]


def _headline(session: Session, app: AppSeen, now: datetime) -> None:
    screen, ready = session.screen, app.condition("Ready")
    name = f"{app.namespace}/{app.name}" if session.all_namespaces else app.name
    if not ready:
        screen.line(Cell(name, "cyan"), "  ", Cell("not seen by the operator yet", "yellow"))
        screen.line("  is the operator running? kubectl cronix doctor")
        return
    good = ready.get("status") == "True"
    verdict = "Ready" if good else f"not ready: {ready.get('reason')}"
    count = len(app.jobs)
    parts = [f"{count} CronJob{'' if count == 1 else 's'}"]
    manifest = app.status.get("manifest") or {}
    if (fetched := parsed(manifest.get("lastFetchTime"))) is not None:
        parts.append(f"read {ago(fetched, now)}")
    if app.suspended:
        verdict += ", suspended"
    if manifest.get("hash"):
        digest = f"manifest {str(manifest['hash'])[:13]}"
        room = None if screen.width is None else screen.width - len("  ".join([name, verdict, digest, *parts]))
        parts[1:1] = [digest] if room is None or room >= 0 else []
    screen.line(Cell(name, "cyan"), "  ", Cell(verdict, "green" if good else "red"), "  " + "  ".join(parts))
    if ready.get("reason") not in {"Succeeded", "JobsInvalid", "Suspended"}:
        screen.paragraph(str(ready.get("message", "")), "  ")
    below = {"RunStuck"} if any(app.trouble(seen, now) for seen in app.jobs) else set()
    for condition in app.status.get("conditions") or []:
        if condition.get("type") not in _SPOKEN | below and condition.get("reason") != ready.get("reason"):
            screen.paragraph(f"{condition.get('type')}: {condition.get('message')}", "  ")


def _row(seen: Seen, branch: str, now: datetime) -> tuple[Cell | str, ...]:
    line, last = seen.line, seen.last
    label = Cell(f"{branch}{line.job}/{line.index}")
    fixed = (label, line.schedule, line.time_zone, _next(seen, now))
    rest = (line.name, last.run_id if last is not None else "")
    if last is None:
        return (*fixed, "no run yet", "", *rest)
    sign = mark(last)
    return (*fixed, Cell(f"{sign.text} {when(last, now)}", sign.color), how(last, seen.streak), *rest)


def _next(seen: Seen, now: datetime) -> Cell:
    if seen.active:
        return Cell(f"running {ago(seen.active[0].created, now).removesuffix(' ago')}", "cyan")
    if (late := seen.late(now)) is not None:
        return Cell(f"late {ago(late, now).removesuffix(' ago')}", "red")
    if seen.line.suspended:
        return Cell("suspended", "yellow")
    following = next(seen.line.fires(now), None)
    return Cell("never" if following is None else ago(following, now))
