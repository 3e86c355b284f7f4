"""Signatures of other webhook senders: a key and a request in, header values or a verdict out; no I/O.

Each scheme is a module with ``sign`` and ``verify``. A job may carry them beside ``X-Cron-Signature``, so that a
receiver that was written for one of them takes the call as it is. The signer imports this package only for such a job.
"""

from cronix_protocol import headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

STANDARD_WEBHOOKS: "Final" = "StandardWebhooks"
GITHUB: "Final" = "GitHub"
STRIPE: "Final" = "Stripe"
QSTASH: "Final" = "QStash"
SIGNED_FORM: "Final" = "SignedForm"
TYPES: "Final" = (STANDARD_WEBHOOKS, GITHUB, STRIPE, QSTASH, SIGNED_FORM)

SEVERAL_SIGNATURES: "Final" = frozenset({STANDARD_WEBHOOKS, STRIPE})
"""The schemes whose header may hold a signature for each key; the others are signed with the first key."""

FORM_TYPE: "Final" = "application/x-www-form-urlencoded"
_FORM_METHODS = ("POST", "PUT", "PATCH")


class Outgoing:
    """One attempt of a run as the schemes see it.

    ``url`` is the job's, byte for byte as the manifest writes it; ``body`` is what is sent; ``timestamp`` is in Unix
    seconds.
    """

    __slots__ = ("attempt", "body", "run_id", "timestamp", "url")

    def __init__(self, *, url: str, body: bytes, run_id: str, attempt: int, timestamp: int) -> None:
        self.url = url
        self.body = body
        self.run_id = run_id
        self.attempt = attempt
        self.timestamp = timestamp


def scheme_headers(
    kind: str, keys: "Sequence[str]", request: Outgoing, *, sha1: bool = False
) -> "list[tuple[str, str]]":
    """Return the headers with which a receiver of this scheme accepts the request; none for SignedForm.

    ``sha1`` adds GitHub's older header. Raises ``KeyUnfit`` where a key cannot be one of this scheme.
    """
    if kind == STANDARD_WEBHOOKS:
        from . import standardwebhooks

        return [
            (headers.WEBHOOK_ID, request.run_id),
            (headers.WEBHOOK_TIMESTAMP, str(request.timestamp)),
            (
                headers.WEBHOOK_SIGNATURE,
                standardwebhooks.sign(keys, message_id=request.run_id, body=request.body, timestamp=request.timestamp),
            ),
        ]
    if kind == GITHUB:
        from . import github

        older = [(headers.GITHUB_SIGNATURE_SHA1, github.sign_sha1(keys[0], body=request.body))] if sha1 else []
        return [(headers.GITHUB_SIGNATURE, github.sign(keys[0], body=request.body)), *older]
    if kind == STRIPE:
        from . import stripe

        return [(headers.STRIPE_SIGNATURE, stripe.sign(keys, body=request.body, timestamp=request.timestamp))]
    if kind == QSTASH:
        from . import qstash

        # Unique for each attempt: a receiver that remembers token ids must still accept a retry.
        token_id = f"{request.run_id}.{request.attempt}.{request.timestamp}"
        token = qstash.sign(keys[0], url=request.url, body=request.body, timestamp=request.timestamp, token_id=token_id)
        return [(headers.QSTASH_SIGNATURE, token)]
    return []


def form_body(key: str, request: Outgoing) -> bytes:
    """Return the body with which a receiver of SignedForm accepts the request."""
    from . import signedform

    return signedform.sign(key, url=request.url, timestamp=request.timestamp)


def form_fault(method: str, body: object, sent_headers: "Mapping[str, str]") -> "tuple[str, str] | None":
    """Return why SignedForm cannot be sent with a job, as (place in its request, what to do), or ``None``."""
    if body:
        return "body", "SignedForm sends its signature as the body, so the job must have none; take one of the two out"
    if method not in _FORM_METHODS:
        return "method", f"SignedForm sends a body; use {', '.join(_FORM_METHODS)}"
    for name, value in sent_headers.items():
        if name.lower() == "content-type" and value.partition(";")[0].strip(" \t").lower() != FORM_TYPE:
            return f"headers/{name}", f"SignedForm sends {FORM_TYPE}; take this header out"
    return None
