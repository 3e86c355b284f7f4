"""What verifying costs the app, as multiples of one bare HMAC in the same process, the same second.

Limits: `verify()` of 1 KiB at most 4 times, `Cron.handle()` of a trigger at most 15 times the bare digest. The rows
take turns, a ratio is taken within each round, and the table shows the medians over all rounds.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cronix_protocol import sign, verify
from cronix_sdk import Cron, JobContext, MemoryRunStore

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "whsec_bench_0123456789abcdef0123456789abcdef"
PATH = "/api/v1/scheduled/tick"
BODY = bytes(range(256)) * 4
NOW = 1_730_000_000
ROUNDS, CALLS = 60, 400
LOGGING = "Cron.handle() of a trigger, two log lines"
LIMITS = {"verify() of 1 KiB": 4.0, "Cron.handle() of a trigger, 1 KiB": 15.0}


def headers(run_id: str = "0192c7a0-0000-7000-8000-000000000000") -> dict[str, str]:
    """A trigger's headers as a proxy delivers them."""
    return {
        "Host": "billing.shop.svc:8080",
        "User-Agent": "cronix-shim",
        "Accept-Encoding": "identity",
        "Content-Length": str(len(BODY)),
        "Content-Type": "application/json",
        "X-Cron-Signature": sign(KEY, method="POST", path=PATH, body=BODY, timestamp=NOW),
        "X-Cron-Run-Id": run_id,
        "X-Cron-Schedule-Name": "tick",
        "X-Cron-Fire-Time": str(NOW),
        "X-Cron-Fire-Time-Actual": str(NOW + 1),
        "X-Cron-Attempt": "1",
    }


def cron_with_tick(store: MemoryRunStore | None = None) -> Cron:
    """A Cron of fifty jobs whose clock stands still."""
    cron = Cron(app="billing", base_url="http://billing.shop.svc:8080", secret=KEY, duplicates=store, clock=lambda: NOW)
    for number in range(49):
        cron.job(f"other-{number}", schedule="@hourly")(lambda: None)

    @cron.job("tick", schedule="* * * * *")
    def tick(context: JobContext) -> None:
        assert context.body

    return cron


def candidates() -> dict[str, Callable[[], object]]:
    """What is measured, by the name in the table; the first is what the others are divided by, the last one logs."""
    key, message = KEY.encode(), b"%d.POST.%b.%b" % (NOW, PATH.encode(), BODY)
    sent, stale = headers(), headers() | {"X-Cron-Signature": "t=1,v1=" + "0" * 64}
    plain, once = cron_with_tick(), cron_with_tick(MemoryRunStore())

    def bare() -> object:
        return hmac.new(key, message, hashlib.sha256).digest()

    def verified() -> object:
        verdict = verify(
            sent["X-Cron-Signature"], secrets=[KEY], method="POST", path=PATH, body=BODY, now=NOW, window_seconds=300
        )
        assert verdict.ok
        return verdict

    def handled(cron: Cron, with_headers: dict[str, str], status: int) -> object:
        answer = cron.handle(method="POST", path=PATH, headers=with_headers, body=BODY)
        assert answer.status == status
        return answer

    return {
        "bare hmac.new(…).digest() of 1 KiB": bare,
        "verify() of 1 KiB": verified,
        "Cron.handle() of a trigger, 1 KiB": lambda: handled(plain, sent, 200),
        "the same, a duplicate of a run that is done": lambda: handled(once, sent, 200),
        "Cron.handle() of a stale request": lambda: handled(plain, stale, 401),
        LOGGING: lambda: handled(plain, sent, 200),
    }


def measure(functions: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds per call, one figure for each round; in turns, so that a noisy moment hits all of them."""
    log = logging.getLogger("cronix_sdk")
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        for _ in range(CALLS):
            function()
    for _ in range(ROUNDS):
        for name, function in functions.items():
            log.setLevel(logging.INFO if name == LOGGING else logging.ERROR)
            start = time.perf_counter()
            for _ in range(CALLS):
                function()
            seconds[name].append((time.perf_counter() - start) / CALLS)
    return seconds


def main() -> int:
    """Print the table, leave the raw figures, and fail when a limit is passed."""
    logging.basicConfig(stream=io.StringIO(), format="%(message)s", level=logging.ERROR)
    seconds = measure(candidates())
    base_name = next(iter(seconds))
    # A ratio within each round, then the median: the machine's mood cancels out.
    rows = []
    for name, each in seconds.items():
        ratio = statistics.median(mine / base for mine, base in zip(each, seconds[base_name], strict=True))
        rows.append(
            {"what": name, "microseconds": statistics.median(each) * 1e6, "ratio": ratio, "limit": LIMITS.get(name)}
        )
    print(f"\nreceiver SDK, Python {platform.python_version()}, medians of {ROUNDS} rounds of {CALLS} calls\n")
    print(f"| {'what':<46} | {'µs':>7} | {'x bare HMAC':>11} | {'limit':>5} |")
    print(f"|{'-' * 48}|{'-' * 9}|{'-' * 13}|{'-' * 7}|")
    for row in rows:
        limit = f"{row['limit']:.0f}x" if row["limit"] else ""
        print(f"| {row['what']:<46} | {row['microseconds']:>7.2f} | {row['ratio']:>10.2f}x | {limit:>5} |")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "sdk.json").write_text(
        json.dumps({"python": platform.python_version(), "rows": rows, "seconds": seconds})
    )
    return 1 if any(name_over(row) for row in rows) else 0


def name_over(row: dict[str, object]) -> bool:
    """Whether a row passes its limit."""
    limit, ratio = row["limit"], row["ratio"]
    return isinstance(limit, float) and isinstance(ratio, float) and ratio > limit


if __name__ == "__main__":
    sys.exit(main())
