"""`suspend` and `resume`: an app or one of its jobs; what is set here no GitOps tool and no drift repair undoes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cronix_cli.changing import RIGHT, change
from cronix_cli.completion import complete_target
from cronix_cli.lines import Line, lines_of, matching
from cronix_cli.options import Command, cluster_options, pass_session
from cronix_cli.reading import Cluster, Object, on_cluster
from cronix_cli.session import Session
from cronix_cli.table import Cell
from cronix_cli.target import Target, parse_target
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.app import SUSPENDED_JOBS, suspended_names

WAIT_SECONDS = 20.0
POLL_SECONDS = 0.5


@click.command(cls=Command)
@click.argument("target", metavar="APP[/JOB]", shell_complete=complete_target)
@click.option("--no-wait", is_flag=True, help="Do not wait until the operator has done it.")
@cluster_options
@pass_session
def suspend(session: Session, target: str, no_wait: bool) -> int:
    """Start no more runs of an app or of one job; a run under way goes on.

    An app is suspended by spec.suspend, a job by the annotation cronix.dev/suspended-jobs. Slots that pass meanwhile
    are not run later.

    \b
      kubectl cronix suspend billing
      kubectl cronix suspend billing/settle-invoices
    """
    return _set(session, target, held=True, wait=not no_wait)


@click.command(cls=Command)
@click.argument("target", metavar="APP[/JOB]", shell_complete=complete_target)
@click.option("--no-wait", is_flag=True, help="Do not wait until the operator has done it.")
@cluster_options
@pass_session
def resume(session: Session, target: str, no_wait: bool) -> int:
    """Start runs of an app or of one job again, from the next slot on.

    \b
      kubectl cronix resume billing
      kubectl cronix resume billing/settle-invoices
    """
    return _set(session, target, held=False, wait=not no_wait)


def _set(session: Session, text: str, *, held: bool, wait: bool) -> int:
    wanted = parse_target(text)
    if wanted.index is not None:
        raise Trouble(
            Exit.USAGE,
            "one schedule alone cannot be suspended, only the whole job",
            f"kubectl cronix {'suspend' if held else 'resume'} {wanted.app}/{wanted.job}",
        )

    async def act(cluster: Cluster) -> int:
        await cluster.need(cluster.namespace, RIGHT)
        app = await cluster.app(wanted.app)
        lines = matching([line for line in lines_of(await cluster.cron_jobs()) if line.app == wanted.app], wanted)
        patch_for = _app_patch(held=held) if wanted.job is None else _job_patch(wanted.job, held=held)
        changed = patch_for(app) is not None
        app = await change(cluster, wanted.app, patch_for)
        _tell(session, wanted, held=held, changed=changed)
        left = [name for name in suspended_names(app["metadata"].get("annotations") or {}) if not held]
        if wanted.job is None and left:
            session.screen.line(f"still suspended by themselves: {', '.join(f'{wanted.app}/{name}' for name in left)}")
        if wanted.job is not None and not held and (app.get("spec") or {}).get("suspend"):
            session.screen.line(f"the whole app is suspended: kubectl cronix resume {wanted.app}")
        return await _until(session, cluster, app, lines, held=held) if wait else Exit.OK

    return on_cluster(session, act)


def _app_patch(*, held: bool) -> Callable[[Object], dict[str, Any] | None]:
    def patch(app: Object) -> dict[str, Any] | None:
        # Taken away rather than set to false: what a GitOps tool does not know of, it does not fight about.
        return None if bool(app["spec"].get("suspend")) is held else {"spec": {"suspend": True if held else None}}

    return patch


def _job_patch(job: str, *, held: bool) -> Callable[[Object], dict[str, Any] | None]:
    def patch(app: Object) -> dict[str, Any] | None:
        names = suspended_names(app["metadata"].get("annotations") or {})
        if (job in names) is held:
            return None
        after = [*names, job] if held else [name for name in names if name != job]
        return {"metadata": {"annotations": {SUSPENDED_JOBS: ",".join(after) or None}}}

    return patch


def _tell(session: Session, wanted: Target, *, held: bool, changed: bool) -> None:
    word = "suspended" if held else "resumed"
    already = "" if changed else (" already: nothing to change" if held else ": it was not suspended")
    session.screen.line(f"{wanted} ", Cell(word if changed or held else "runs", "yellow" if held else "green"), already)


async def _until(session: Session, cluster: Cluster, app: Object, lines: list[Line], *, held: bool) -> int:
    """Wait until the CronJobs are as asked: what the operator has not done yet is not done."""
    names = suspended_names(app["metadata"].get("annotations") or {})
    whole = bool((app.get("spec") or {}).get("suspend"))
    expected = {line.name: held or whole or line.job in names for line in lines}
    waited = 0.0
    while True:
        now = {line.name: line.suspended for line in lines_of(await cluster.cron_jobs())}
        late = [name for name, state in expected.items() if now.get(name, state) is not state]
        if not late:
            count = len(expected)
            session.screen.line(f"  {count} CronJob{'' if count == 1 else 's'} in step")
            return Exit.OK
        if waited >= WAIT_SECONDS:
            raise Trouble(
                Exit.TIMEOUT,
                f"it is written down, but the operator has not done it yet ({', '.join(late[:3])})",
                "kubectl cronix doctor",
            )
        await session.sleep(POLL_SECONDS)
        waited += POLL_SECONDS
