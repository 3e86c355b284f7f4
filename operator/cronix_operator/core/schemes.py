"""Signatures beside X-Cron-Signature: the CronixApp's list in, what one job's signer mounts and sends out; no I/O."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from cronix_operator.core.model import ExtraScheme
from cronix_operator.core.specreader import JOB_GLOB, JOB_GLOB_RULE, SpecReader
from cronix_protocol import schemes
from cronix_protocol.manifest import Job

SCHEMES_DIR = "/var/run/cronix/schemes"
MAX_SCHEMES = 16
_FILE_SUFFIXES = ("", "-next")


def read_schemes(reader: SpecReader, signing: Mapping[str, Any]) -> tuple[ExtraScheme, ...]:
    """`spec.signing.extraSchemes`, as written."""
    found = []
    for path, entry in reader.entries(signing, "extraSchemes", "spec.signing", MAX_SCHEMES):
        kind = reader.choice(entry, "type", path, schemes.TYPES)
        if entry.get("type") is None:
            reader.fault(f"{path}.type", f"is required: {', '.join(schemes.TYPES)}")
        keys = [reader.secret_key(entry, "secretKeyRef", path)]
        if entry.get("nextSecretKeyRef") is not None:
            keys.append(reader.secret_key(entry, "nextSecretKeyRef", path))
        sha1 = bool(reader.scalar(entry, "sha1", path, bool))
        if sha1 and kind != schemes.GITHUB:
            reader.fault(f"{path}.sha1", f"is for type {schemes.GITHUB} only")
        jobs = reader.matching_items(entry, "jobs", path, JOB_GLOB, JOB_GLOB_RULE)
        found.append(ExtraScheme(kind or "", tuple(keys), jobs or ("*",), sha1))
    return tuple(found)


def schemes_for(listed: Sequence[ExtraScheme], job: str) -> tuple[ExtraScheme, ...]:
    """The schemes of one job: of each type the first entry that names it, for a header can be sent once."""
    found: dict[str, ExtraScheme] = {}
    for scheme in listed:
        if any(fnmatch.fnmatchcase(job, glob) for glob in scheme.jobs):
            found.setdefault(scheme.kind, scheme)
    return tuple(found.values())


def why_impossible(job: Job, chosen: Sequence[ExtraScheme]) -> str | None:
    """Why a job cannot carry what is asked for, with what to do about it, or None."""
    if all(scheme.kind != schemes.SIGNED_FORM for scheme in chosen):
        return None
    fault = schemes.form_fault(job.request.method, job.request.body, dict(job.request.headers))
    if fault is None:
        return None
    return f"request.{fault[0]}: {fault[1]}, or leave the job out in spec.signing.extraSchemes[].jobs"


def schemes_volume(chosen: Sequence[ExtraScheme]) -> dict[str, Any]:
    """The volume with the keys of these schemes and no others; optional, so that the signer can say what is missing."""
    sources = [
        {"secret": {"name": ref.secret, "optional": True, "items": [{"key": ref.key, "path": _file(scheme, i)}]}}
        for scheme in chosen
        for i, ref in enumerate(scheme.keys)
    ]
    return {"name": "schemes", "projected": {"defaultMode": 0o400, "sources": sources}}


def schemes_fire(chosen: Sequence[ExtraScheme]) -> list[dict[str, object]]:
    """What the job file says about them: types and files, never a key."""
    entries = []
    for scheme in chosen:
        files = [f"{SCHEMES_DIR}/{_file(scheme, i)}" for i in range(len(scheme.keys))]
        entry: dict[str, object] = {"type": scheme.kind, "files": files}
        if scheme.sha1:
            entry["sha1"] = True
        entries.append(entry)
    return entries


def _file(scheme: ExtraScheme, index: int) -> str:
    return scheme.kind + _FILE_SUFFIXES[index]
