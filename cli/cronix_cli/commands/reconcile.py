"""`reconcile`: read the app's manifest now instead of at the next interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cronix_cli.changing import RIGHT, change
from cronix_cli.completion import complete_target
from cronix_cli.options import Command, cluster_options, pass_session, seconds_in
from cronix_cli.reading import Cluster, on_cluster
from cronix_cli.session import Session
from cronix_cli.table import Cell
from cronix_cli.target import parse_target
from cronix_cli.times import rfc3339, span
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.app import RECONCILE_AT

POLL_SECONDS = 0.5


@click.command(cls=Command)
@click.argument("target", metavar="APP", shell_complete=complete_target)
@click.option("--wait", is_flag=True, help="Wait for the operator's verdict; exit 1 when it is not Ready.")
@click.option("--timeout", "timeout", default="60s", metavar="TIME", help="How long --wait waits (60s).")
@cluster_options
@pass_session
def reconcile(session: Session, target: str, wait: bool, timeout: str) -> int:
    """Have the operator read the manifest now.

    \b
      kubectl cronix reconcile billing --wait
    """
    wanted, patience = parse_target(target), seconds_in(timeout, "--timeout")
    asked = f"{rfc3339(session.now())}/{session.token()}"

    async def act(cluster: Cluster) -> int:
        await cluster.need(cluster.namespace, RIGHT)
        await change(cluster, wanted.app, lambda _app: {"metadata": {"annotations": {RECONCILE_AT: asked}}})
        if not wait:
            session.screen.line(f"{wanted.app}: asked for; --wait shows the verdict")
            return Exit.OK
        waited = 0.0
        while True:
            app = await cluster.app(wanted.app)
            status = app.get("status") or {}
            if status.get("lastHandledReconcileAt") == asked:
                return _verdict(session, wanted.app, status)
            if waited >= patience:
                text = f"the operator has not looked at {wanted.app} within {span(patience)}"
                raise Trouble(Exit.TIMEOUT, text, "kubectl cronix doctor")
            await session.sleep(POLL_SECONDS)
            waited += POLL_SECONDS

    return on_cluster(session, act)


def _verdict(session: Session, name: str, status: Mapping[str, Any]) -> int:
    ready: Mapping[str, Any] = next((c for c in status.get("conditions") or [] if c.get("type") == "Ready"), {})
    # In step with the last good manifest, but the reading that was asked for failed: that is no yes.
    good = ready.get("status") == "True" and ready.get("reason") in {"Succeeded", "Suspended"}
    session.screen.line(f"{name} ", Cell(str(ready.get("reason")), "green" if good else "red"))
    session.screen.paragraph(str(ready.get("message")), "  ")
    return Exit.OK if good else Exit.NO
