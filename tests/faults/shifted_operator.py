"""The operator with a wall clock that the file named by SHIFT_FILE sets ahead or back by so many seconds.

Its monotonic clock goes on evenly, as it does on a machine whose clock is set.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from cronix_operator import __main__, handlers

SHIFT = Path(os.environ["SHIFT_FILE"])
true_time = time.time


def shift_seconds() -> float:
    return float(SHIFT.read_text() or "0")


class Shifted(datetime):
    """What `handlers` takes for the clock."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Shifted:
        return cls.fromtimestamp(true_time(), tz) + timedelta(seconds=shift_seconds())


vars(handlers)["datetime"] = Shifted  # the one place where the operator looks at a clock
time.time = lambda: true_time() + shift_seconds()
__main__.main()
