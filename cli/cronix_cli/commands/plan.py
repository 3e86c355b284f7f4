"""`plan`: what the operator would change, by its own parse, render and diff; writes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import click

from cronix_cli.asking import Asker
from cronix_cli.completion import complete_target
from cronix_cli.manifests import load
from cronix_cli.operators import limits_in_force
from cronix_cli.options import ZONES, Command, cluster_options, output_option, pass_session
from cronix_cli.reading import Cluster, on_cluster
from cronix_cli.session import Session
from cronix_cli.table import Cell, Column, cells
from cronix_cli.target import parse_target
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.app import parse_app
from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.memory import manifest_digest, recalled
from cronix_operator.core.model import App, Change, ConfigMapSource, Desired, InlineSource, Plan
from cronix_operator.core.plan import Ground, absent_names, diff, owned_by
from cronix_operator.core.prune import CONFIRM_SECONDS, Absence, judge
from cronix_operator.core.render import render
from cronix_operator.core.rotation import preferred
from cronix_operator.core.settle import accept
from cronix_operator.edges.cluster import KubernetesCluster
from cronix_protocol.manifest import Manifest

MAX_CRON_JOBS = 1 << 14  # the operator's own limit is the operator's to apply; a plan shows what is asked for
COLUMNS = (Column(""), Column(""), Column("", flexible=True, keep_end=2), Column(""))
_SIGNS = {"create": Cell("+", "green"), "update": Cell("~", "yellow"), "delete": Cell("-", "red")}


@click.command(cls=Command)
@click.argument("target", required=False, metavar="[APP]", shell_complete=complete_target)
@click.option("-f", "--file", "file", metavar="FILE|-", help="A CronixApp in YAML instead of the one in the cluster.")
@click.option(
    "-m", "--manifest", "manifest_file", metavar="FILE|URL|-", help="This manifest instead of asking the app."
)
@cluster_options
@output_option("table", "json", "yaml")
@pass_session
def plan(session: Session, target: str | None, file: str | None, manifest_file: str | None) -> int:
    """Show what the operator would do now: exit 0 for nothing, 2 for changes.

    Reads the CronixApp (or FILE), asks its app for the manifest (or takes MANIFEST), and compares with the CronJobs
    that there are. Removals are shown as they will be once a second look at the manifest has confirmed them.

    \b
      kubectl cronix plan billing
      kubectl cronix plan billing -m manifest.json
      kubectl cronix plan -f cronixapp.yaml
    """
    if (target is None) == (file is None):
        raise Trouble(Exit.USAGE, "name an app, or give -f FILE", "kubectl cronix plan APP")

    async def work(cluster: Cluster) -> tuple[App, Desired, Plan]:
        if target is not None:
            body = await cluster.app(parse_target(target).app)
        else:
            body = await _from_file(cluster, str(file), session.now())
        app = parse_app(body)
        asker = Asker(cluster)
        endpoint = await asker.endpoint(app)
        manifest = await _manifest(session, asker, app, manifest_file)
        # Which key is first in the CronJobs follows from what the operator knows of them (docs/adr/0010).
        keys = preferred(recalled(body.get("status") or {}).rotation)
        desired = render(app, manifest, endpoint, await limits_in_force(cluster, app), ZONES, keys)
        observed = await KubernetesCluster(cast("Any", cluster.api), session.now).observe(app)
        return app, desired, _decided(app, manifest, desired, observed, body, session.now())

    try:
        app, desired, found = on_cluster(session, work)
    except ReconcileError as exc:
        name = parse_target(target).app if target is not None else "APP"
        raise Trouble(Exit.NO, f"{exc.reason}: {exc.message}", f"kubectl cronix verify {name}") from exc
    return _show(session, app, desired, found)


async def _from_file(cluster: Cluster, file: str, now: datetime) -> dict[str, Any]:
    """The CronixApp of a file, with the identity and the memory of the one in the cluster, if there is one."""
    import yaml

    try:
        documents = list(yaml.safe_load_all(load(file, None, now)))
    except yaml.YAMLError as exc:
        raise Trouble(Exit.NO, f"{file} is no YAML: {exc}".splitlines()[0]) from exc
    apps = [
        d
        for d in documents
        if isinstance(d, dict) and d.get("kind") == "CronixApp" and isinstance(d.get("metadata"), dict)
    ]
    if len(apps) != 1 or "name" not in apps[0]["metadata"]:
        raise Trouble(Exit.NO, f"{file} holds {len(apps)} CronixApps; one is wanted")
    body = apps[0]
    cluster.namespace = body["metadata"].get("namespace") or cluster.namespace
    meta = {"namespace": cluster.namespace, "uid": "not-created-yet", **body["metadata"]}
    live = next((a for a in await cluster.apps() if a["metadata"]["name"] == meta["name"]), None)
    if live is not None:
        meta["uid"] = live["metadata"]["uid"]
        meta["annotations"] = {**(live["metadata"].get("annotations") or {}), **(meta.get("annotations") or {})}
        body = {**body, "status": live.get("status") or {}}
    return {**body, "metadata": meta}


async def _manifest(session: Session, asker: Asker, app: App, file: str | None) -> Manifest:
    if file is not None:
        return accept(app, None, load(file, None, session.now()), MAX_CRON_JOBS)
    endpoint = await asker.endpoint(app)
    if endpoint is None:
        return accept(app, None, await asker.own_document(app), MAX_CRON_JOBS)
    document = await asker.fetch(app, endpoint, await asker.material(app), session.now())
    return accept(app, endpoint, document, MAX_CRON_JOBS)


def _decided(
    app: App, manifest: Manifest, desired: Desired, observed: list[Any], body: dict[str, Any], now: datetime
) -> Plan:
    absences = {name: Absence(0.0, CONFIRM_SECONDS) for name in absent_names(app, desired, observed)}
    verdict = judge(
        absences,
        owned=len(owned_by(app, observed)),
        own_word=isinstance(app.source, InlineSource | ConfigMapSource),
        max_delete_percent=app.max_delete_percent,
        approval=manifest_digest(manifest),
        approved=app.approve_prune,
    )
    ground = Ground(recalled(body.get("status") or {}).pairs, {}, now, 0.0)
    return diff(app, desired, observed, verdict, ground)


def _show(session: Session, app: App, desired: Desired, found: Plan) -> int:
    items = [_item(change) for change in found.changes]
    items += [
        {"action": "hold", "cronJob": hold.name, "reason": hold.reason, "what": hold.message} for hold in found.holds
    ]
    faults = [
        {"job": fault.job, "index": fault.index, "reason": fault.reason, "message": fault.message}
        for fault in (*desired.faults, *found.conflicts)
    ]
    if session.is_data:
        content = {
            "namespace": app.namespace,
            "app": app.name,
            "unchanged": len(found.unchanged),
            "items": items,
            "invalid": faults,
        }
        session.screen.document("Plan", content, session.output)
    else:
        rows = [(_sign(i["action"]), i["action"], i["cronJob"], i["reason"]) for i in items]
        for item, row in zip(items, cells(COLUMNS, rows, width=session.screen.width, wide=False)[1:], strict=True):
            session.screen.line(*row)
            if item["what"]:
                session.screen.paragraph(item["what"], "     ")
        for fault in faults:
            where = fault["job"] if fault["index"] is None else f"{fault['job']}/{fault['index']}"
            session.screen.line(Cell("✗", "red"), f" {where} cannot run  {fault['reason']}")
            session.screen.paragraph(str(fault["message"]), "  ")
        session.screen.line(_summary(items, len(found.unchanged), len(faults)))
    if items:
        return Exit.CHANGES
    return Exit.NO if faults else Exit.OK


def _item(change: Change) -> dict[str, str]:
    what = ", ".join(change.fields)
    if change.verb == "create" and change.desired is not None:
        what = f"{change.desired.schedule} {change.desired.time_zone}"
    elif change.verb == "update" and change.desired is not None and change.live is not None:
        before, after = str(change.live["spec"].get("schedule")), change.desired.schedule
        what = f"{before} → {after}; {what}" if before != after else what
    return {"action": change.verb, "cronJob": change.name, "reason": change.reason, "what": what}


def _sign(action: str) -> Cell:
    return _SIGNS.get(action, Cell("!", "yellow"))


def _summary(items: list[dict[str, str]], unchanged: int, faults: int) -> str:
    counts = {verb: sum(item["action"] == verb for item in items) for verb in ("create", "update", "delete", "hold")}
    counts["delete"] += sum(item["action"] == "suspend" for item in items)
    words = {"create": "to create", "update": "to update", "delete": "to delete", "hold": "on hold"}
    parts = [f"{counts[verb]} {text}" for verb, text in words.items() if counts[verb]] or ["no change"]
    parts += [f"{unchanged} in step"] + ([f"{faults} cannot run"] if faults else [])
    return ", ".join(parts)
