"""`doctor`: the cluster, the operator, your rights, the clocks, the apps; what is wrong and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import click

from cronix_cli.checks import Check, show
from cronix_cli.operators import operators
from cronix_cli.options import Command, cluster_options, many_options, output_option, pass_session
from cronix_cli.picture import AppSeen, Seen, look
from cronix_cli.reading import APPS, Cluster, on_cluster
from cronix_cli.session import Session
from cronix_cli.times import ago, span
from cronix_cli.trouble import Trouble
from cronix_operator.core.app import GROUP, PLURAL

OLDEST_MINOR = 31
SKEW_SECONDS = 30.0  # a tenth of what a signature allows
RIGHTS = (
    ("list", GROUP, PLURAL, "", "status, next, history, timeline, report"),
    ("list", "batch", "cronjobs", "", "status, next, history, timeline, report"),
    ("list", "batch", "jobs", "", "status, history, logs, timeline, report"),
    ("list", "", "pods", "", "status, history, logs, timeline, report"),
    ("get", "", "pods", "log", "logs"),
    ("create", "batch", "jobs", "", "run, backfill"),
    ("patch", GROUP, PLURAL, "", "suspend, resume, reconcile"),
    ("get", "", "secrets", "", "verify, plan"),
    ("get", "", "services", "proxy", "verify and plan of an app behind a Service"),
)


@click.command(cls=Command)
@many_options
@cluster_options
@output_option("table", "json", "yaml")
@pass_session
def doctor(session: Session) -> int:
    """Look for what keeps jobs from running: exit 1 when something is wrong.

    \b
      kubectl cronix doctor
      kubectl cronix doctor -A
    """

    async def examine(cluster: Cluster) -> list[Check]:
        found = await _server(cluster, session.now)
        crd = await _crd(cluster)
        found += [crd, *await _operators(cluster)]
        found += await _rights(cluster)
        found += await _pod_security(cluster)
        if crd.verdict != "bad":
            found += await _apps(cluster, session.selector, session.now())
        return found

    return show(session, "Diagnosis", on_cluster(session, examine))


async def _server(cluster: Cluster, clock: Any) -> list[Check]:
    import json

    status, body, headers = await cluster.api.raw("/version")
    now: datetime = clock()
    try:
        version = json.loads(body)
        minor = int("".join(c for c in str(version["minor"]) if c.isdigit()))
        text = str(version.get("gitVersion"))
    except (ValueError, KeyError, TypeError):
        return [Check("bad", "API server", f"answered {status} to /version", "kubectl cluster-info")]
    checks = [
        Check("ok", "API server", f"Kubernetes {text}")
        if minor >= OLDEST_MINOR
        else Check("bad", "API server", f"Kubernetes {text}; 1.{OLDEST_MINOR} or newer is needed")
    ]
    date = headers.get("Date") or headers.get("date")
    if date:
        skew = abs((parsedate_to_datetime(date) - now).total_seconds())
        checks.append(
            Check("ok", "clock", "this machine and the API server agree")
            if skew <= SKEW_SECONDS
            else Check(
                "bad",
                "clock",
                f"this machine and the API server are {span(skew)} apart; a signature is good for 300 s",
                "set the clock that is wrong (chronyc tracking); signers sign by their node's clock",
            )
        )
    return checks


async def _crd(cluster: Cluster) -> Check:
    reply = await cluster.api.request("GET", APPS)
    names = {resource.get("name") for resource in reply.body.get("resources") or []} if reply.ok else set()
    if PLURAL in names and f"{PLURAL}/status" in names:
        return Check("ok", "CRD", f"{PLURAL}.{GROUP} v1alpha1")
    hint = "helm install cronix charts/cronix-operator -n cronix-system --create-namespace"
    return Check("bad", "CRD", f"{PLURAL}.{GROUP} is not installed", hint)


async def _operators(cluster: Cluster) -> list[Check]:
    try:
        found = await operators(cluster)
    except Trouble as trouble:
        return [Check("warning", "operator", trouble.message + ": it cannot be told whether it runs", trouble.hint)]
    if not found:
        hint = "helm install cronix charts/cronix-operator -n cronix-system --create-namespace"
        text = "none is installed; CronJobs that exist go on firing, changes are not followed"
        return [Check("bad", "operator", text, hint)]
    checks = []
    for operator in found:
        place = f"{operator.namespace}/{operator.name}"
        if operator.available:
            scope = f" for {', '.join(operator.watched)}" if operator.watched else ""
            checks.append(Check("ok", "operator", f"{place} runs{scope}, {operator.image.rsplit('/', 1)[-1]}"))
        else:
            text = f"{place} is not available; CronJobs go on firing all the same"
            hint = f"kubectl -n {operator.namespace} describe deployment {operator.name}"
            checks.append(Check("bad", "operator", text, hint))
    return checks


async def _rights(cluster: Cluster) -> list[Check]:
    """The person's rights in the namespace; what is missing is no fault, but says which commands will not work."""
    asked = await asyncio.gather(
        *(cluster.may(verb, group, plural, cluster.namespace, sub) for verb, group, plural, sub, _ in RIGHTS)
    )
    missing = [right for right, held in zip(RIGHTS, asked, strict=True) if not held]
    if not missing:
        return [Check("ok", "your rights", f'every command works in namespace "{cluster.namespace}"')]
    return [
        Check("warning", "your rights", f"no {verb} {plural}{'/' + sub if sub else ''}: {commands} will not work")
        for verb, _, plural, sub, commands in missing
    ]


async def _pod_security(cluster: Cluster) -> list[Check]:
    reply = await cluster.api.request("GET", f"/api/v1/namespaces/{cluster.namespace}")
    if reply.status == 404:
        return [Check("bad", "namespace", f'"{cluster.namespace}" does not exist', "kubectl get namespaces")]
    if not reply.ok:
        return [Check("warning", "Pod Security", f'namespace "{cluster.namespace}" cannot be read: {reply.reason}')]
    level = (reply.body["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce", "privileged")
    return [
        Check("ok", "Pod Security", f'"{cluster.namespace}" enforces {level}; signers meet restricted, the strictest')
    ]


async def _apps(cluster: Cluster, selector: str | None, now: datetime) -> list[Check]:
    try:
        apps = await look(cluster, None, selector)
    except Trouble as trouble:
        return [Check("warning", "apps", trouble.message, trouble.hint)]
    if not apps:
        return [Check("warning", "apps", f"no CronixApp {cluster.scope}", "kubectl cronix status -A")]
    checks = []
    for app in apps:
        count = len(app.jobs)
        well = Check("ok", f"app {app.name}", f"in step, {count} CronJob{'' if count == 1 else 's'}")
        checks += _app(app, now) or [well]
    return checks


def _app(app: AppSeen, now: datetime) -> list[Check]:
    name, ready = f"app {app.name}", app.condition("Ready")
    scope = f" -n {app.namespace}"
    if not ready or app.status.get("observedGeneration") != app.body["metadata"].get("generation"):
        return [
            Check(
                "bad",
                name,
                "the operator has not looked at it since it was changed",
                f"kubectl cronix reconcile {app.name} --wait{scope}",
            )
        ]
    checks = []
    in_trouble = any(app.trouble(seen, now) for seen in app.jobs)
    spoken = {"Ready", "Stalled", "Reconciling", "JobsInvalid", *(["RunStuck"] if in_trouble else [])}
    if ready.get("status") != "True":
        text = f"{ready.get('reason')}: {ready.get('message')}"
        checks.append(Check("bad", name, text, f"kubectl cronix status {app.name}{scope}"))
    for condition in app.status.get("conditions") or []:
        kind = condition.get("type")
        if kind not in spoken and condition.get("reason") != ready.get("reason"):
            checks.append(
                Check("bad" if kind == "RunStuck" else "warning", name, f"{kind}: {condition.get('message')}")
            )
    return checks + [check for seen in app.jobs for check in _job(app, seen, now)]


def _job(app: AppSeen, seen: Seen, now: datetime) -> Iterator[Check]:
    name, label, scope = f"app {app.name}", seen.line.label, f" -n {app.namespace}"
    if (trouble := app.trouble(seen, now)) is not None:
        text = f"{label}: {trouble.word}: {trouble.text}"
        yield Check("bad", name, text, f"kubectl cronix status {label}{scope}")
    elif (late := seen.late(now)) is not None:
        text = f"{label}: the slot of {ago(late, now)} has not started"
        yield Check("bad", name, text, f"kubectl describe cronjob {seen.line.name}{scope}")
    elif seen.last is not None and seen.last.failed:
        text = f"{label}: {seen.last.outcome}" + (f", {seen.streak} in a row" if seen.streak > 1 else "")
        yield Check("warning", name, text, f"kubectl cronix logs {label}{scope}")
    if missed := seen.missed(now):
        text = f"{label}: SlotMissed: {missed}"
        yield Check("warning", name, text, f"kubectl describe cronjob {seen.line.name}{scope}")
