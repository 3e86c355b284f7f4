"""What a fetch that gave no manifest means, and what to do about it; the answer's parts in, a ReconcileError out.

The app's words are quoted short, on one line, and without what we sent in confidence (attacks C5, C7).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cronix_operator.core.errors import Denied, ReconcileError, Stalled, Waiting

MAX_ERROR_CHARS = 2048
MAX_EXCERPT_CHARS = 120

_SIGNATURE_ADVICE = {
    "SignatureMismatch": "the app does not have the key that spec.signing names; give both the same one",
    "StaleTimestamp": "set the clock of the app's host, or of the operator's",
    "MissingSignature": "see whether something in front of the app drops the header X-Cron-Signature",
    "MalformedHeader": "see whether something in front of the app changes the header X-Cron-Signature",
}
_DOOR_ADVICE = (
    "these are not the words in which an app refuses a signature: if something in front of the app wants credentials, "
    "write them into spec.connection.headers"
)
# What OpenSSL says, and what that means for a CronixApp; the first that fits counts.
_TLS_WORDS = (
    ("Hostname mismatch", "the certificate is for another name; call the app by a name that the certificate has"),
    ("IP address mismatch", "the certificate is not for this address; call the app by a name that the certificate has"),
    ("certificate has expired", "the app's certificate has expired; renew it"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the certificate is by a CA that is not trusted; name that CA in spec.connection.tls",
    ),
    ("WRONG_VERSION_NUMBER", "this port does not speak TLS; write another port, or scheme http"),
    ("RECORD_LAYER_FAILURE", "this port does not speak TLS; write another port, or scheme http"),
    ("ALERT", "the app ended the TLS handshake; if it wants a client certificate, write spec.connection.tls"),
)


def answered(url: str, status: int, location: str, body: bytes, secrets: Sequence[str]) -> ReconcileError:
    """What a non-2xx answer means: the app's own signature codes come with the cure, the rest with the first words."""
    code, text = _app_code(body, secrets)
    if code in _SIGNATURE_ADVICE:
        told = f"{url} refused the signature ({code}: {text}); {_SIGNATURE_ADVICE[code]}"
        wrong_key = code == "SignatureMismatch"
        return Denied("SignatureRefused", told, names_key=True) if wrong_key else Waiting("SignatureRefused", told)
    if status in {301, 302, 303, 307, 308}:
        to = printable(_redacted(location, secrets)) or "elsewhere"
        advice = "redirects are never followed, write the final URL into spec.source.url"
        return Stalled("Redirected", f"{url} redirects to {to}; {advice}")
    if status == 404:
        advice = "if the manifest has another path, write spec.source.service.path or the full spec.source.url"
        return Waiting("FetchFailed", f"{url} answered 404; {advice}")
    if status == 304:
        advice = "see what caches in front of the app; the whole manifest is asked for next"
        return Waiting("FetchFailed", f"{url} answered 304 (not modified) to a question that was not asked; {advice}")
    said = f"{url} answered {status}{': ' + text if text else ''}"
    told = f"{said}; {_DOOR_ADVICE}" if status in {401, 403, 407} else said
    denied = status in {400, 401, 403}
    return Denied("FetchFailed", told, names_key=False) if denied else Waiting("FetchFailed", told)


def unreachable(url: str, detail: str) -> Waiting:
    """No connection came about; `detail` is what the system or OpenSSL said."""
    detail = printable(detail)
    words = next((words for sign, words in _TLS_WORDS if sign in detail), None) if "[SSL" in detail else None
    advice = words or "connection refused or unreachable; is the app running and its Service pointing at it?"
    return Waiting("FetchFailed", f"fetching {url}: {advice} ({detail})")


def printable(text: str) -> str:
    """One line of plain characters: an app's answer must not paint a terminal or forge a log line (attack C7)."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(flat.split())[:MAX_EXCERPT_CHARS]


def _app_code(body: bytes, secrets: Sequence[str]) -> tuple[str, str]:
    """The protocol's error body `{code, message}`, or the first printable words of anything else."""
    # Cut after the redaction: half a secret at the edge would not be recognised.
    text = _redacted(body.decode("utf-8", "replace"), secrets)[:MAX_ERROR_CHARS]
    try:
        error = json.loads(text) if text.lstrip()[:1] == "{" else None
    except (ValueError, RecursionError):  # nesting, too, is the other side's to choose
        error = None
    if isinstance(error, dict):
        # Once more: the message may have been written with escapes.
        return str(error.get("code", "")), printable(_redacted(str(error.get("message", "")), secrets))
    return "", printable(text)


def _redacted(text: str, secrets: Sequence[str]) -> str:
    """`text` without what we sent in confidence: debug pages echo the request's headers (attack C5)."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
