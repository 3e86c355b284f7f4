"""A Job from a CronJob's template, as `kubectl create job --from` makes it, and the wait for what comes of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from cronix_cli.lines import Line
from cronix_cli.picture import AppSeen, Seen, origin_of
from cronix_cli.reading import Cluster, refusal
from cronix_cli.sentences import run_json
from cronix_cli.session import Session
from cronix_cli.table import Cell, printable
from cronix_cli.times import rfc3339, span
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.jobfacts import MANUAL_ANNOTATION, PodFacts, parse_job, parse_pod
from cronix_operator.core.naming import SCHEDULED_TIME_ANNOTATION
from cronix_operator.core.runs import ADVICE, Run, run_of, trouble_of
from cronix_protocol.outcome import EXIT_CODES, INTERRUPTED

RIGHTS = (("create", "batch", "jobs"), ("get", "batch", "jobs"), ("list", "", "pods"))
POLL_SECONDS = 1.0
JOB_NAME = "batch.kubernetes.io/job-name"


def job_body(line: Line, name: str, slot: datetime | None) -> dict[str, Any]:
    """The Job to create. With a slot the pod carries its scheduled time, so that the signer takes that slot's run id.

    The CronJob owns it, so that it goes with it and history limits count it.
    """
    assert line.live is not None  # noqa: S101  # a line of the cluster
    meta, template = line.live["metadata"], copy.deepcopy(dict(line.live["spec"]["jobTemplate"]))
    spec = template["spec"]
    if slot is not None:
        pod_meta = spec["template"].setdefault("metadata", {})
        pod_meta["annotations"] = {**(pod_meta.get("annotations") or {}), SCHEDULED_TIME_ANNOTATION: rfc3339(slot)}
    annotations = {**((template.get("metadata") or {}).get("annotations") or {}), MANUAL_ANNOTATION: "manual"}
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": meta["name"], "uid": meta["uid"], "controller": True}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": dict((template.get("metadata") or {}).get("labels") or {}),
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def refuse_if_held(app: AppSeen, seen: Seen, *, force: bool) -> None:
    """Trouble, before anything is created, when the app or the job is suspended, or Forbid and a run under way."""
    if force:
        return
    label, line = seen.line.label, seen.line
    if app.suspended:
        raise Trouble(
            Exit.NOT_NOW,
            f"app {app.name} is suspended; nothing was created",
            f"kubectl cronix resume {app.name}{_scope(app)}\nor --force to run it all the same",
        )
    if line.suspended:
        raise Trouble(
            Exit.NOT_NOW,
            f"{label} is suspended; nothing was created",
            f"kubectl cronix resume {app.name}/{line.job}{_scope(app)}\nor --force to run it all the same",
        )
    policy = (line.live or {}).get("spec", {}).get("concurrencyPolicy")
    if policy == "Forbid" and seen.active:
        raise Trouble(
            Exit.NOT_NOW,
            f"{label} is running (Job {seen.active[0].job_name}) and its policy is Forbid; nothing was created",
            f"kubectl cronix logs {label} -f{_scope(app)}\nor --force to run it beside the other",
        )


def _scope(app: AppSeen) -> str:
    return f" -n {app.namespace}"


async def create(cluster: Cluster, body: Mapping[str, Any]) -> dict[str, Any]:
    """Create the Job; a name that is taken is Trouble, for it is that of the same run."""
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    query = {"fieldManager": "kubectl-cronix", "fieldValidation": "Strict"}
    reply = await cluster.api.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", query=query, body=body)
    if reply.ok:
        return reply.body
    if reply.status == 409:
        raise Trouble(
            Exit.NOT_NOW,
            f"Job {name} is there already; nothing was created",
            f"kubectl delete job {name} -n {namespace}\nif its run is to be made again",
        )
    raise refusal(reply, "create", "jobs", f'in namespace "{namespace}"')


async def wait_for(session: Session, cluster: Cluster, seen: Seen, app: AppSeen, job_name: str, seconds: float) -> Run:
    """The Run once it has ended; Trouble when the time is over or somebody deleted the Job."""
    base = f"/apis/batch/v1/namespaces/{app.namespace}/jobs/{job_name}"
    origin = origin_of(seen.line, app.body["metadata"]["uid"])
    waited = 0.0
    told: set[str] = set()
    pods: list[PodFacts] = []
    while True:
        reply = await cluster.api.request("GET", base)
        if reply.status == 404:
            raise Trouble(Exit.NO_OUTCOME, f"Job {job_name} was deleted before it had ended")
        if not reply.ok:
            raise refusal(reply, "get", "jobs", f'in namespace "{app.namespace}"')
        job = parse_job(reply.body)
        found = await cluster.items("/api/v1", "pods", f"{JOB_NAME}={job_name}", namespace=app.namespace)
        # The Job's own deadline deletes its pods, and with them what is known of the run.
        pods = [pod for pod in map(parse_pod, found) if pod is not None] or pods
        if job is not None and job.ended is not None:
            return run_of(origin, job, pods)
        trouble = None if job is None else trouble_of(job, pods, session.now())
        if trouble is not None and trouble.text not in told:
            told.add(trouble.text)  # once: the pod may still start
            click.echo(f"{trouble.word}: {printable(trouble.text)}", err=True)
        if waited >= seconds:
            raise Trouble(
                Exit.TIMEOUT,
                f"Job {job_name} has not ended within {span(seconds)}; it goes on",
                f"kubectl cronix logs {seen.line.label} --run {job_name} -f -n {app.namespace}",
            )
        await session.sleep(POLL_SECONDS)
        waited += POLL_SECONDS


def exit_code(run: Run) -> int:
    """The signer's own code for its outcomes; 5 where it could not speak or was stopped."""
    if run.outcome == INTERRUPTED:
        return Exit.NO_OUTCOME
    return EXIT_CODES.get(run.outcome, Exit.NO_OUTCOME)


def tell(session: Session, app: AppSeen, run: Run) -> None:
    """What came of it, and what to do."""
    if session.is_data:
        session.screen.document("Run", run_json(run, namespace=app.namespace, app=app.name), session.output)
        return
    parts = [str(run.http_status or ""), f"{run.attempts} attempt{'' if run.attempts == 1 else 's'}"]
    parts += [span(run.duration_seconds)] if run.duration_seconds is not None else []
    color = "red" if run.failed else "green"
    session.screen.line(Cell(run.outcome, color), "  " + "  ".join(filter(None, parts)) + f"  run {run.run_id}")
    if run.failed:
        said = f'{run.message}; the app said: "{run.excerpt}"' if run.excerpt else run.message
        session.screen.paragraph(said, "  ")
        session.screen.paragraph(ADVICE.get(run.outcome, ""), "  ")
