"""How long a run may take: from the manifest's retry policy to the deadlines of pod and Job."""

from __future__ import annotations

from cronix_protocol.manifest import Policy

POD_SLACK_SECONDS = 30  # start of the process, reading keys, one slow DNS answer
BACKOFF_LIMIT = 3
# What Kubernetes itself waits between replacement pods (10, 20, 40 s: measured), plus scheduling and image pull.
JOB_SLACK_SECONDS = 10 + 20 + 40 + 120


def retry_budget_seconds(policy: Policy, jitter_seconds: int = 0, *, honor_retry_after: bool = False) -> int:
    """The longest the signer's attempt loop can take: every attempt times out, every pause is full.

    A `Retry-After` that is honoured may stretch each pause to `retries.max_seconds` (cronix_shim.attempts).
    """
    retries = policy.retries
    first = retries.max_seconds if honor_retry_after else retries.min_seconds
    pauses = sum(min(first << n, max(retries.max_seconds, 1)) for n in range(retries.max_attempts - 1))
    return retries.max_attempts * policy.timeout_seconds + pauses + jitter_seconds


def pod_deadline_seconds(budget_seconds: int) -> int:
    """The pod's own deadline: keeps pod, log and exit code, which the Job's deadline would delete."""
    return budget_seconds + POD_SLACK_SECONDS


def job_deadline_seconds(budget_seconds: int) -> int:
    """The backstop on the Job: every replacement pod gets its deadline and Kubernetes its pauses."""
    return (BACKOFF_LIMIT + 1) * pod_deadline_seconds(budget_seconds) + JOB_SLACK_SECONDS
