"""Manifests from a file, standard input or a URL, and everything that is wrong with them; only `load` does I/O."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from cronix_cli.trouble import Exit, Trouble
from cronix_protocol.jobfaults import kubernetes_faults
from cronix_protocol.manifest import MAX_BYTES, Manifest, ManifestInvalid, parse_document, parse_manifest
from cronix_protocol.schedule import parse_schedule

TIMEOUT_SECONDS = 10.0
MANIFEST_PATH = "/.well-known/cron-manifest"


class Finding(NamedTuple):
    """One thing that is wrong (`error`: the manifest or the job is refused) or surprising (`warning`)."""

    severity: str
    path: str
    code: str
    message: str


def load(source: str, key_file: str | None, now: datetime) -> bytes:
    """The bytes behind FILE, `-` or URL, at most 1 MiB and one; Trouble that says what to try."""
    if source.startswith(("http://", "https://")):
        return _fetched(source, key_file, now)
    try:
        if source == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        return _bytes_of(source)
    except OSError as exc:
        raise Trouble(Exit.NOT_FOUND, f"{source}: {exc.strerror}", "give the path of a manifest, a URL, or -") from exc


def _fetched(url: str, key_file: str | None, now: datetime) -> bytes:
    import httpx

    from cronix_protocol import sign

    if httpx.URL(url).path == "/":
        url = str(httpx.URL(url).copy_with(path=MANIFEST_PATH))
    headers = {"accept": "application/json", "user-agent": "kubectl-cronix", "accept-encoding": "identity"}
    if key_file is not None:
        key = _key(key_file)
        headers["x-cron-signature"] = sign(key, method="GET", path=MANIFEST_PATH, timestamp=int(now.timestamp()))
    body = b""
    try:
        with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False) as response:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise Trouble(Exit.UNAVAILABLE, f"{url}: {str(exc) or type(exc).__name__}", "is the app running?") from exc
    if response.status_code == 401:
        text = f"{url} wants a signature (401)"
        raise Trouble(Exit.NO, text, "kubectl cronix verify APP, or --key-file FILE with the app's key")
    if not response.is_success:
        to = response.headers.get("location", "")
        hint = f"redirects are never followed: use {to}" if to else f"the usual path is {MANIFEST_PATH}"
        raise Trouble(Exit.NO, f"{url} answered {response.status_code}", hint)
    return body


def _key(path: str) -> str:
    from cronix_operator.core.keys import clean_key

    try:
        key = clean_key(_bytes_of(path))
    except OSError as exc:
        raise Trouble(Exit.NOT_FOUND, f"--key-file {path}: {exc.strerror}") from exc
    if key is None:
        raise Trouble(Exit.NO, f"--key-file {path} holds no key")
    return key


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123  # loading pathlib takes longer than reading a manifest
        return file.read(MAX_BYTES + 1)


def read(raw: bytes) -> tuple[Manifest | None, list[Finding]]:
    """The manifest in JSON bytes or inside a CronixApp in YAML, with all faults of what is there."""
    start = raw.lstrip()[:1]
    if start != b"{" or b'"cronix.dev/' in raw[:4096]:
        document = _cronix_app(raw)
        if document is not None:
            return _inline(document)
    return _parsed(lambda: parse_manifest(raw), "")


def _parsed(parse: Any, prefix: str) -> tuple[Manifest | None, list[Finding]]:
    try:
        return parse(), []
    except ManifestInvalid as invalid:
        return None, [Finding("error", prefix + f.path, f.code, f.message) for f in invalid.faults]


def _cronix_app(raw: bytes) -> dict[str, Any] | None:
    import yaml

    # Not yaml's reader in C: it is ten times as fast, and a text of 200,000 brackets ends the process.
    try:
        documents = list(yaml.safe_load_all(raw[: MAX_BYTES + 1].decode("utf-8", "replace")))
    except (yaml.YAMLError, RecursionError, ValueError):
        return None  # the strict JSON reader says what is wrong
    apps = [d for d in documents if isinstance(d, dict) and d.get("kind") == "CronixApp"]
    return apps[0] if apps else None


def _inline(document: dict[str, Any]) -> tuple[Manifest | None, list[Finding]]:
    from cronix_operator.core.app import parse_app
    from cronix_operator.core.errors import Stalled

    metadata = document.get("metadata")
    meta = {"namespace": "default", "name": "", "uid": "", **(metadata if isinstance(metadata, dict) else {})}
    try:
        app = parse_app({**document, "metadata": meta})
    except Stalled as exc:
        return None, [Finding("error", *_path_of(fault)) for fault in exc.message.split("; spec")]
    inline = (document.get("spec") or {}).get("source", {}).get("inline")
    if inline is None:
        note = f"the CronixApp is well-formed; its manifest is elsewhere: kubectl cronix verify {app.name}"
        return None, [Finding("note", "spec.source", "NotHere", note)]
    manifest, findings = _parsed(lambda: parse_document(inline), "spec.source.inline/")
    if manifest is not None and manifest.app != app.app:
        text = (
            f'the manifest says app "{manifest.app}", the CronixApp is for "{app.app}"; write spec.app: {manifest.app}'
        )
        findings.append(Finding("error", "spec.source.inline/app", "AppMismatch", text))
    return manifest, findings


def _path_of(fault: str) -> tuple[str, str, str]:
    path, _, message = (fault if fault.startswith("spec") else f"spec{fault}").partition(": ")
    return path, "InvalidSpec", message


def job_findings(manifest: Manifest, zones: Collection[str], now: datetime) -> Iterator[Finding]:
    """What keeps single jobs from running, then what will surprise the author of the others."""
    from cronix_operator.core.budget import retry_budget_seconds
    from cronix_protocol.lint import lint_schedule

    for job in manifest.jobs:
        place = f"jobs/{job.name}"
        faults = kubernetes_faults(job, zones)
        yield from (Finding("error", f"{place}/{f.path}", f.code, f.message) for f in faults)
        if faults:
            continue
        budget, zone = retry_budget_seconds(job.policy), ZoneInfo(job.timezone)
        for index, text in enumerate(job.schedules):
            for lint in lint_schedule(parse_schedule(text), zone, now, budget):
                where = f"{place}/schedules/{index}"
                yield Finding("warning", where, lint.code, f"{lint.message}; {lint.advice}")
