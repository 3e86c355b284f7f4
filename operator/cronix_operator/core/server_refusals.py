"""What a refusal of the API server means for the person who reads it; words in, advice out; no I/O."""

from __future__ import annotations

# Words of Kubernetes' own messages, in the order in which they are looked for, and what to do about each.
_CURES: tuple[tuple[str, str], ...] = (
    (
        "exceeded quota",
        "raise that ResourceQuota (kubectl describe quota) or take jobs out of the manifest; it is tried again",
    ),
    ("being terminated", "the namespace is being deleted; there is nothing left to do"),
    (
        "ValidatingAdmissionPolicy",
        "a policy of this cluster forbids it: change the job, or have the policy let this CronJob through",
    ),
    (
        "admission webhook",
        "a webhook of this cluster forbids it: change the job, or have the webhook let this CronJob through",
    ),
    (
        "failed calling webhook",
        "a webhook of this cluster does not answer: mend or remove it; it is tried again",
    ),
    ("cannot ", "the operator lacks that right: install its chart with rbac.create=true, or grant it"),
    ("is invalid", "correct the job in the manifest, or jobDefaults and overrides in the CronixApp"),
)


def explain(message: str) -> str:
    """The server's own words, then what to do where we know it."""
    cure = next((cure for words, cure in _CURES if words in message), None)
    return f"the API server refused the CronJob: {message}" + (f"; {cure}" if cure else "")
