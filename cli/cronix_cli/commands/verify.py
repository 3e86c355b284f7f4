"""`verify`: does the app answer, which key does it accept, are its jobs ones that may run."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from cronix_cli.asking import Asker
from cronix_cli.checks import Check, show
from cronix_cli.completion import complete_target
from cronix_cli.options import ZONES, Command, cluster_options, output_option, pass_session
from cronix_cli.reading import Cluster, on_cluster
from cronix_cli.session import Session
from cronix_cli.target import parse_target
from cronix_operator.core.app import parse_app
from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.keys import read_keys
from cronix_operator.core.memory import manifest_digest
from cronix_operator.core.model import App, Endpoint, KeyMaterial, Limits
from cronix_operator.core.render import render
from cronix_operator.core.settle import accept

MAX_CRON_JOBS = 512
NOBODYS_KEY = "kubectl-cronix-verify: no app may accept this key"


@click.command(cls=Command)
@click.argument("target", metavar="APP", shell_complete=complete_target)
@cluster_options
@output_option("table", "json", "yaml")
@pass_session
def verify(session: Session, target: str) -> int:
    """Fetch the app's manifest with each of its keys and check all that the operator checks.

    Needs the right to read the Secret with the keys; a Service is asked through the API server's proxy.

    \b
      kubectl cronix verify billing
    """
    wanted = parse_target(target)

    async def ask(cluster: Cluster) -> list[Check]:
        return await _checks(session, cluster, await cluster.app(wanted.app))

    return show(session, "Verification", on_cluster(session, ask))


async def _checks(session: Session, cluster: Cluster, body: dict[str, Any]) -> list[Check]:
    checks: list[Check] = []
    try:
        app = parse_app(body)
        asker = Asker(cluster)
        endpoint = await asker.endpoint(app)
        if endpoint is None:
            checks.append(Check("ok", "source", f"{type(app.source).__name__.removesuffix('Source')}: not fetched"))
            document = await asker.own_document(app)
        else:
            checks.append(Check("ok", "source", endpoint.url))
            material = await asker.material(app)
            checks += _keys(material)
            tried, document = await _fetched(session, asker, app, endpoint, material)
            checks += tried
        if document is not None:
            checks += _manifest(app, endpoint, document, body)
    except ReconcileError as exc:
        checks.append(Check("bad", exc.reason, exc.message))
    return checks


def _keys(material: KeyMaterial) -> list[Check]:
    weak = read_keys(material).weak
    return [
        Check("warning", "keys", f"{', '.join(weak)} is shorter than 16 bytes", "make one with: openssl rand -hex 32")
        if weak
        else Check(
            "ok", "keys", ", ".join(f"{key.name} (Secret {key.ref.secret}/{key.ref.key})" for key, _ in material.keys)
        )
    ]


async def _fetched(
    session: Session, asker: Asker, app: App, endpoint: Endpoint, material: KeyMaterial
) -> tuple[list[Check], bytes | None]:
    """One fetch with each key, and one with a key that nobody has; the document of the first that was accepted."""
    checks: list[Check] = []
    document: bytes | None = None
    signer = ""
    for pair in material.keys:
        name = pair[0].name
        try:
            found = await asker.fetch(app, endpoint, dataclasses.replace(material, keys=(pair,)), session.now())
        except ReconcileError as exc:
            if exc.reason != "SignatureRefused":
                return [*checks, Check("bad", exc.reason, exc.message)], None
            checks.append(Check("warning", f"key {name}", "the app does not accept it"))
            continue
        text = "the app accepts it" + ("" if signer else "; it signs")
        signer, document = signer or name, document or found
        checks.append(Check("ok", f"key {name}", text))
    if not signer:
        advice = "give the app the key of the Secret, or the Secret the key of the app; then verify again"
        checks.append(Check("bad", "no key", "the app accepts none of them: every run is refused", advice))
    stranger = (material.keys[0][0], NOBODYS_KEY)
    try:
        await asker.fetch(app, endpoint, dataclasses.replace(material, keys=(stranger,)), session.now())
    except ReconcileError as exc:
        if exc.reason == "SignatureRefused":
            checks.append(Check("ok", "other keys", "the app refuses a key that it does not know"))
    else:
        text = "the manifest is given to anybody: the app does not look at the signature of the fetch"
        checks.append(Check("warning", "other keys", text, "do the jobs' routes look at it? try one with curl"))
    return checks, document


def _manifest(app: App, endpoint: Endpoint | None, document: object, body: dict[str, Any]) -> list[Check]:
    manifest = accept(app, endpoint, document, MAX_CRON_JOBS)
    digest = manifest_digest(manifest)
    force = ((body.get("status") or {}).get("manifest") or {}).get("hash")
    count = len(manifest.jobs)
    text = f'app "{manifest.app}", {count} job{"" if count == 1 else "s"}, {digest[:19]}'
    same = digest == force
    checks = [
        Check("ok", "manifest", f"{text}, the one in force" if same else text)
        if same or force is None
        else Check("warning", "manifest", f"{text}; in force is {str(force)[:19]}", f"kubectl cronix plan {app.name}")
    ]
    desired = render(app, manifest, endpoint, Limits(signer_image="verify"), ZONES)
    checks += [
        Check(
            "bad",
            fault.job if fault.index is None else f"{fault.job}/{fault.index}",
            f"{fault.reason}: {fault.message}",
        )
        for fault in desired.faults
    ]
    good = len(desired.cron_jobs)
    return [*checks, Check("ok", "hosts", f"{good} schedule{'' if good == 1 else 's'} may run where they want to")]
