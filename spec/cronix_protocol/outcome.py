"""How a run ended, as the termination message of its pod: an Outcome in, at most 4096 bytes out, and back; no I/O.

Kubernetes keeps the *last* 4096 bytes of a longer message, which would cost the opening brace; and it fills an empty
message with log lines, so a reader must take whatever comes: to all that is no outcome ``parse_outcome`` says ``None``.
"""

from . import lightjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

MAX_BYTES: "Final" = 4096
MAX_MESSAGE: "Final" = 256
MAX_EXCERPT: "Final" = 200
MAX_RUN_ID: "Final" = 64

SUCCEEDED: "Final" = "Succeeded"
APP_REJECTED: "Final" = "AppRejected"
RETRIES_EXHAUSTED: "Final" = "RetriesExhausted"
INVALID_JOB: "Final" = "InvalidJob"
NO_KEY: "Final" = "NoKey"
LOCK_CONTENDED: "Final" = "LockContended"
INTERRUPTED: "Final" = "Interrupted"

EXIT_CODES: "Final" = {
    SUCCEEDED: 0,
    APP_REJECTED: 1,
    RETRIES_EXHAUSTED: 2,
    INVALID_JOB: 3,
    NO_KEY: 3,
    LOCK_CONTENDED: 4,
    INTERRUPTED: 143,
}
"""What the signer exits with; 143 lets the Job replace the pod, 1 to 4 end the Job."""


class Outcome:
    """The end of one run. Times are Unix seconds; ``scheduled_time`` is the slot, or the start of a manual run;
    ``http_status`` is the last answer's, ``None`` when no attempt got one; ``excerpt`` is of that answer's body.
    """

    __slots__ = (
        "attempts",
        "end_time",
        "excerpt",
        "http_status",
        "manual",
        "message",
        "outcome",
        "run_id",
        "scheduled_time",
        "start_time",
    )

    def __init__(
        self,
        *,
        outcome: str,
        run_id: str,
        scheduled_time: int,
        manual: bool,
        start_time: float,
        end_time: float,
        attempts: int,
        http_status: int | None,
        message: str,
        excerpt: str,
    ) -> None:
        self.outcome = outcome
        self.run_id = run_id
        self.scheduled_time = scheduled_time
        self.manual = manual
        self.start_time = start_time
        self.end_time = end_time
        self.attempts = attempts
        self.http_status = http_status
        self.message = message
        self.excerpt = excerpt

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable value, as dataclasses do it

    def __repr__(self) -> str:
        return "Outcome(" + ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__) + ")"


def printable(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text`` that no terminal, log or JSON reader can stumble over (C7).

    Runs of blanks become one space; control, bidirectional and other unprintable characters become U+FFFD.
    """
    words = " ".join(text[: limit * 8].split())[:limit]
    return words if words.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in words)


def dump_outcome(outcome: Outcome) -> str:
    """Return the termination message: one line of ASCII JSON, at most 4096 bytes; long texts are cut to fit."""
    message = printable(outcome.message, MAX_MESSAGE)
    excerpt = printable(outcome.excerpt, MAX_EXCERPT)
    while True:
        text = lightjson.dumps_flat(
            {
                "version": 1,
                "outcome": outcome.outcome,
                "run_id": printable(outcome.run_id, MAX_RUN_ID),
                "scheduled_time": outcome.scheduled_time,
                "manual": outcome.manual,
                "start_time": outcome.start_time,
                "end_time": outcome.end_time,
                "attempts": outcome.attempts,
                "http_status": outcome.http_status,
                "message": message,
                "excerpt": excerpt,
            }
        )
        if len(text) <= MAX_BYTES:
            return text
        # A character outside ASCII takes 6 or 12 bytes; the excerpt is the longer and the lesser text.
        excerpt, message = excerpt[: len(excerpt) // 2], message[: len(message) * 3 // 4]


def parse_outcome(text: str) -> Outcome | None:
    """Return the Outcome that a termination message holds, or ``None`` for anything else; never raises."""
    if len(text) > MAX_BYTES:
        return None
    try:
        fields = lightjson.loads(text)
    except ValueError:
        return None
    if not isinstance(fields, dict) or not _whole(fields.get("version"), 1, 1):
        return None
    values: dict[str, Any] = {name: fields.get(name) for name in Outcome.__slots__}
    return Outcome(**values) if all(_fits(name, value) for name, value in values.items()) else None


_MAX_TEXT = {"run_id": MAX_RUN_ID, "message": MAX_MESSAGE, "excerpt": MAX_EXCERPT}


def _fits(name: str, value: object) -> bool:
    if name == "outcome":
        return isinstance(value, str) and value in EXIT_CODES
    if name in _MAX_TEXT:
        return isinstance(value, str) and len(value) <= _MAX_TEXT[name]
    if name == "manual":
        return isinstance(value, bool)
    if name == "http_status":
        return value is None or _whole(value, 100, 999)
    if name == "attempts":
        return _whole(value, 0, 1000)
    if name == "scheduled_time":
        return _whole(value, 0, 2**53)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**53


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
