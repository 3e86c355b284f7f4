"""Names of the protocol's request headers, and which headers a job may not set; no I/O."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SIGNATURE: "Final" = "X-Cron-Signature"
RUN_ID: "Final" = "X-Cron-Run-Id"
SCHEDULE_NAME: "Final" = "X-Cron-Schedule-Name"
FIRE_TIME: "Final" = "X-Cron-Fire-Time"
FIRE_TIME_ACTUAL: "Final" = "X-Cron-Fire-Time-Actual"
ATTEMPT: "Final" = "X-Cron-Attempt"
PREVIOUS_SUCCESS_TIME: "Final" = "X-Cron-Previous-Success-Time"

WEBHOOK_ID: "Final" = "webhook-id"
WEBHOOK_TIMESTAMP: "Final" = "webhook-timestamp"
WEBHOOK_SIGNATURE: "Final" = "webhook-signature"
GITHUB_SIGNATURE: "Final" = "X-Hub-Signature-256"
GITHUB_SIGNATURE_SHA1: "Final" = "X-Hub-Signature"
STRIPE_SIGNATURE: "Final" = "Stripe-Signature"
QSTASH_SIGNATURE: "Final" = "Upstash-Signature"

RESERVED_PREFIX: "Final" = "x-cron-"
RESERVED: "Final" = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "stripe-signature",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "upstash-signature",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-hub-signature",
        "x-hub-signature-256",
    }
)
"""Lower-case names that the signer or the transport alone writes."""

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def is_reserved(name: str) -> bool:
    """Tell whether a job may not set this header, whatever its case."""
    lower = name.lower()
    return lower in RESERVED or lower.startswith(RESERVED_PREFIX)


def header_fault(name: str, value: str) -> str | None:
    """Return what is wrong with a header that a job wants to send, or ``None`` (RFC 9110 §5; attacks C6, T7).

    The text names the header but never its value, which may be a credential.
    """
    if not name or not _TOKEN.issuperset(name):
        return f"{name!r} is not a header name; use letters, digits and '-'"
    if is_reserved(name):
        return f"{name} is written by the signer and cannot be set; take it out"
    if value.isascii() and value.isprintable():
        return None  # nearly always, and much quicker than a look at each character
    for position, char in enumerate(value):
        if not (" " <= char <= "~" or char == "\t"):
            return f"the value of {name} has U+{ord(char):04X} at {position}; only printable ASCII and tab can be sent"
    return None
