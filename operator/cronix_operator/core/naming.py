"""(app, job, index) to Kubernetes names and labels, collision-safe and within every limit."""

from __future__ import annotations

import hashlib
import re

# batch validation: a CronJob's name plus "-" and the slot's minutes must fit into 63 characters.
CRON_JOB_NAME_MAX = 52
LABEL_MAX = 63

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "cronix-operator"
APP = "cronix.dev/app"
JOB = "cronix.dev/job"
INDEX = "cronix.dev/index"
# What the peer (awbx/cronix) selects by when it prunes: never set by us, removed when we take an object over.
PEER_MANAGED = "cronix.dev/managed"

JOB_NAME_ANNOTATION = "cronix.dev/job-name"
JOB_HASH_ANNOTATION = "cronix.dev/job-hash"
# Both a label, to find an app's CronJobs by (also after spec.app was edited), and an annotation, to know our own by
# when somebody took labels and owner away.
OWNER_UID = "cronix.dev/owner-uid"
SCHEDULED_TIME_ANNOTATION = "cronix.dev/scheduled-time"

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)


def _digest(*parts: str) -> str:
    """80 bits of SHA-256 over the parts, NUL-separated so that no two tuples read the same, as 16 base32 letters."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()[:10]
    number = int.from_bytes(digest, "big")
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return "".join(alphabet[(number >> shift) & 31] for shift in range(75, -5, -5))


def cron_job_name(app: str, job: str, index: int) -> str:
    """`cronix-<app>-<job>-<index>` where only this tuple can make it, else prefix and hash; at most 52 characters.

    With a dash in the app id the plain form is ambiguous (`a-b`+`c` reads like `a`+`b-c`; the peer silently drops the
    second: attack T3), so only dash-less app ids get it. A hash of 16 letters cannot be mistaken for an index.
    """
    plain = f"cronix-{app}-{job}-{index}"
    if "-" not in app and len(plain) <= CRON_JOB_NAME_MAX:
        return plain
    digest = _digest(app, job, str(index))
    prefix = f"cronix-{app}-{job}-{index}"[: CRON_JOB_NAME_MAX - len(digest) - 1].rstrip("-")
    return f"{prefix}-{digest}"


def label_value(text: str) -> str:
    """`text` itself where it is a legal label value, else sanitised, cut and made unique by a hash; ≤ 63 characters."""
    if len(text) <= LABEL_MAX and _LABEL.fullmatch(text):
        return text
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", text)[: LABEL_MAX - 17].strip("-._")
    return f"{readable or 'x'}-{_digest(text)}"


def labels(app: str, job: str, index: int) -> dict[str, str]:
    """The labels on CronJob, Job and Pod alike; all three watches and `kubectl get -l` select by them."""
    return {MANAGED_BY: MANAGER, APP: label_value(app), JOB: label_value(job), INDEX: str(index)}
