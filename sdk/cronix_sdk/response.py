"""What goes back to the signer: a status, headers and bytes; no I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

# The seven codes of the protocol, which every receiver shares …
MISSING_SIGNATURE = "MissingSignature"
MALFORMED_HEADER = "MalformedHeader"
STALE_TIMESTAMP = "StaleTimestamp"
SIGNATURE_MISMATCH = "SignatureMismatch"
BAD_METHOD = "BadMethod"
BAD_PATH = "BadPath"
UNKNOWN_JOB = "UnknownJob"
# … and those of this package, for what the seven cannot say.
BODY_NOT_BYTES = "BodyNotBytes"
BODY_TOO_LARGE = "BodyTooLarge"
NO_USABLE_SECRET = "NoUsableSecret"  # noqa: S105 - a code, not a secret
NO_JOBS = "NoJobs"
RUN_IN_PROGRESS = "RunInProgress"
SIGNATURE_REPLAYED = "SignatureReplayed"
STORE_UNAVAILABLE = "StoreUnavailable"
HANDLER_FAILED = "HandlerFailed"
GIVEN_UP = "GivenUp"

STATUS_OF = {
    MISSING_SIGNATURE: 401,
    MALFORMED_HEADER: 401,
    STALE_TIMESTAMP: 401,
    SIGNATURE_MISMATCH: 401,
    BAD_METHOD: 400,
    BAD_PATH: 404,
    UNKNOWN_JOB: 404,
    BODY_NOT_BYTES: 500,
    BODY_TOO_LARGE: 413,
    NO_USABLE_SECRET: 503,
    NO_JOBS: 503,
    RUN_IN_PROGRESS: 409,
    SIGNATURE_REPLAYED: 503,
    STORE_UNAVAILABLE: 503,
    HANDLER_FAILED: 500,
    GIVEN_UP: 422,
}

JSON_HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"))
OK_BODY = b'{"ok":true}'
_FIRST_ERROR_STATUS = 400


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer; a job may return one itself. `error` is the exception behind a 500, for tests and never sent."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = JSON_HEADERS
    error: BaseException | None = field(default=None, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the signer takes this as success or at least as no failure (status below 400)."""
        return self.status < _FIRST_ERROR_STATUS

    def json(self) -> object:
        """The body as decoded JSON; raises `ValueError` when it is none."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The refusal's code, or None when this is no refusal of this package."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return None
        code = document.get("code") if isinstance(document, dict) else None
        return code if isinstance(code, str) else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not served. `hint` is one word for the likely cause, empty when nothing is known about it."""

    code: str
    message: str
    hint: str = ""

    @property
    def status(self) -> int:
        """The HTTP status that belongs to the code."""
        return STATUS_OF[self.code]

    def response(self, *, retry_after_seconds: int | None = None, error: BaseException | None = None) -> Response:
        """The answer `{"code", "message"}`, perhaps with `"hint"`; short, for the signer keeps 200 characters."""
        document = {"code": self.code, **({"hint": self.hint} if self.hint else {}), "message": self.message}
        headers: tuple[tuple[str, str], ...] = JSON_HEADERS
        if retry_after_seconds is not None:
            headers = (*JSON_HEADERS, ("retry-after", str(retry_after_seconds)))
        return Response(self.status, compact_json(document), headers, error)


def compact_json(document: object) -> bytes:
    """UTF-8 JSON without blanks; raises `TypeError` or `ValueError` on what JSON cannot carry."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A lone surrogate (a path that is no UTF-8) becomes its JSON escape.
    return text.encode("utf-8", "backslashreplace")
