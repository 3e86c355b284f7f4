"""What happened, as JSON lines for people and as one termination message for the operator; holds no secret.

``msg`` words and field names are the protocol's (§4.3): its history reader parses them byte for byte.
"""

import posix
import time

from cronix_protocol import lightjson
from cronix_protocol.outcome import dump_outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from cronix_protocol.outcome import Outcome

TERMINATION_LOG: "Final" = "/dev/termination-log"


class Log:
    """Writes one line per event to standard output; a closed or full pipe never changes what the signer does."""

    __slots__ = ("_common",)

    def __init__(self) -> None:
        self._common: dict[str, str] = {}

    def about(self, app: str, job: str, run_id: str) -> None:
        """Put app, job and run id on every line from now on."""
        self._common = {"app": app, "job": job, "run_id": run_id}

    def line(self, level: str, msg: str, **fields: "str | float | None") -> None:
        """Write one event."""
        now = time.time()
        event = {"time": rfc3339(now), "level": level, "msg": msg, **self._common, **fields}
        write_all(1, lightjson.dumps_flat(event).encode("ascii") + b"\n")


def rfc3339(now: float) -> str:
    """Return a time as RFC 3339 in UTC with milliseconds."""
    t = time.gmtime(now)
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"
        f".{int(now * 1000) % 1000:03d}Z"
    )


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor; what cannot be written is given up."""
    try:
        while data:
            data = data[posix.write(descriptor, data) :]
    except OSError:
        pass


def leave_message(outcome: "Outcome", path: str) -> None:
    """Write the termination message; outside Kubernetes the file does not exist, and then nothing is written."""
    try:
        descriptor = posix.open(path, posix.O_WRONLY | posix.O_TRUNC | posix.O_CLOEXEC)
    except OSError:
        return
    write_all(descriptor, dump_outcome(outcome).encode("ascii"))
    posix.close(descriptor)
