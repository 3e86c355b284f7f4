"""Manifest in, the protocol's canonical bytes and job hashes out; pure.

The canonical form is what Go's encoding/json writes (RFC "Normalization"; awbx/cronix go/internal/manifest): compact,
keys in a fixed order, `&`, `<`, `>`, U+2028 and U+2029 escaped, other non-ASCII raw. Keep it byte for byte: hashes are
compared with those that the peer writes on its objects.
"""

import json
import re

from cronix_protocol.manifest import Job, Manifest

# Not the standard basis of FNV-1a (14695981039346656037): the peer dropped its last digit, and both sides must agree.
_BASIS = 1469598103934665603
_PRIME = 1099511628211
_MASK = (1 << 64) - 1

_GO_ESCAPES = {char: f"\\u{ord(char):04x}" for char in "&<>\u2028\u2029"}
_NEEDS_ESCAPE = re.compile("[&<>\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")

JsonObject = dict[str, object]


def normalized_job(job: Job) -> JsonObject:
    """The job as the canonical form has it: every field, in its key order (RFC "Normalization")."""
    policy, retries = job.policy, job.policy.retries
    return {
        "name": job.name,
        "schedules": list(job.schedules),
        "timezone": job.timezone,
        "request": {
            "method": job.request.method,
            "url": job.request.url,
            "headers": dict(sorted(job.request.headers)),
            "body": job.request.body,
        },
        "policy": {
            "concurrency": policy.concurrency,
            "concurrency_scope": policy.concurrency_scope,
            "timeout_seconds": policy.timeout_seconds,
            "retries": {
                "max_attempts": retries.max_attempts,
                "min_seconds": retries.min_seconds,
                "max_seconds": retries.max_seconds,
            },
        },
        "auth": {"secret_refs": list(job.secret_refs)},
    }


def canonical_json(manifest: Manifest) -> bytes:
    """The canonical UTF-8 bytes of a manifest; `parse_manifest` of them gives the same manifest again."""
    jobs = [normalized_job(job) for job in sorted(manifest.jobs, key=lambda job: job.name)]
    return _go_json({"version": manifest.version, "app": manifest.app, "jobs": jobs})


def job_hash(job: Job, index: int) -> str:
    """The protocol's hash of one schedule of a job: 16 hex digits, equal to the peer's (go/internal/policy/policy.go).

    It leaves out the app's id, images and keys: an equal hash does not mean an equal CronJob.
    """
    return _hash_of(_job_digest(job), index)


def job_hashes(job: Job) -> tuple[str, ...]:
    """`job_hash` of each schedule of a job, in their order; reads the job once."""
    digest = _job_digest(job)
    return tuple(_hash_of(digest, index) for index in range(len(job.schedules)))


def _job_digest(job: Job) -> int:
    return _fnv(_BEFORE_JOB, _go_json(normalized_job(job)) + b"]}")


def _hash_of(digest: int, index: int) -> str:
    return f"{((digest ^ index) * _PRIME) & _MASK:016x}"


def _fnv(digest: int, data: bytes) -> int:
    for byte in data:
        digest = ((digest ^ byte) * _PRIME) & _MASK
    return digest


# Each hash begins with the head of a manifest of one job, which is the same for all.
_BEFORE_JOB = _fnv(_BASIS, b'{"version":1,"app":"_hash_","jobs":[')
_compact_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _go_json(value: JsonObject) -> bytes:
    text = _compact_json(value)
    # None of the five occurs outside of strings, so the whole text may be treated as one.
    text = _NEEDS_ESCAPE.sub(lambda found: _GO_ESCAPES[found.group()], text)
    try:
        return text.encode()
    except UnicodeEncodeError:  # only a hand-made Job has lone surrogates; Go writes U+FFFD for them
        return _SURROGATE.sub("\ufffd", text).encode()
