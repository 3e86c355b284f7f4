"""`validate`: everything that is wrong with a manifest, each fault with its path; needs no cluster."""

from __future__ import annotations

import click

from cronix_cli.manifests import Finding, job_findings, load, read
from cronix_cli.options import ZONES, Command, output_option, pass_session
from cronix_cli.session import Session
from cronix_cli.table import Cell
from cronix_cli.trouble import Exit

_COLORS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command(cls=Command)
@click.argument("source", metavar="FILE|URL|-")
@click.option("--key-file", metavar="FILE", help="Sign the request to a URL with the key in this file.")
@click.option("--strict", is_flag=True, help="Warnings count as faults.")
@output_option("table", "json", "yaml")
@pass_session
def validate(session: Session, source: str, key_file: str | None, strict: bool) -> int:
    """Say everything that is wrong with a cron manifest or a CronixApp.

    SOURCE is a JSON file, a YAML file with a CronixApp, a URL, or - for standard input. The rules are the operator's.
    An error of one job leaves that job out; an error of the manifest refuses it whole. Warnings never stop a job.

    \b
      kubectl cronix validate manifest.json
      kubectl cronix validate http://localhost:8080 --key-file ./key
    """
    now = session.now()
    manifest, findings = read(load(source, key_file, now))
    if manifest is not None:
        findings += job_findings(manifest, ZONES, now)
    bad = [f for f in findings if f.severity == "error" or (strict and f.severity == "warning")]
    jobs = None if manifest is None else len(manifest.jobs)
    if session.is_data:
        content = {
            "valid": not bad,
            "app": None if manifest is None else manifest.app,
            "jobs": jobs,
            "findings": [
                {"severity": f.severity, "path": f.path, "code": f.code, "message": f.message} for f in findings
            ],
        }
        session.screen.document("Validation", content, session.output)
    else:
        _show(session, findings)
        what = "" if manifest is None else f': app "{manifest.app}", {jobs} job{"" if jobs == 1 else "s"}'
        verdict = Cell("not valid", "red") if bad else Cell("valid", "green")
        session.screen.line(verdict, f"{what} ({_count(findings, 'error')}, {_count(findings, 'warning')})")
    return Exit.NO if bad else Exit.OK


def _show(session: Session, findings: list[Finding]) -> None:
    for found in findings:
        session.screen.line(
            Cell(found.severity, _COLORS[found.severity]), f" {found.path or '(document)'}  {found.code}"
        )
        session.screen.paragraph(found.message, "  ")


def _count(findings: list[Finding], severity: str) -> str:
    count = sum(f.severity == severity for f in findings)
    return f"{count} {severity}{'' if count == 1 else 's'}"
