"""`cronix-operator`: read the environment, set up logging, run until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import secrets
import sys
from datetime import UTC, datetime

from cronix_operator.edges.access import AccessReviews
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.events import EventRecorder
from cronix_operator.edges.health import HealthServer
from cronix_operator.edges.lease import LeaseLock
from cronix_operator.edges.metrics import Metrics, MetricsServer
from cronix_operator.handlers import Stretch, cancel_on_signals, read_clocks
from cronix_operator.herald import Herald
from cronix_operator.life import NoLock, live
from cronix_operator.preflight import Preflight
from cronix_operator.settings import Settings, SettingsInvalid, read_settings

_EXTRA_FIELDS = ("namespace", "app", "reason")


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with the same `time`, `level`, `msg` words as the signer."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "msg": record.getMessage(),
            "logger": record.name,
        }
        line.update({field: value for field in _EXTRA_FIELDS if (value := getattr(record, field, None)) is not None})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(settings: Settings) -> None:
    """Log to stdout; kopf's own chatter only from WARNING on."""
    handler = logging.StreamHandler(sys.stdout)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s")
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else text)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for noisy in ("kopf", "httpx", "httpcore", "asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))


async def run(settings: Settings) -> None:
    """Serve until SIGTERM. Health and metrics are there from the first moment, so a wait for rights can be seen."""
    metrics = Metrics(version=settings.version, per_job=settings.metrics_per_job)
    # Looking at rights and renewing the lease must neither queue behind the work nor be stopped by the work's fence.
    async with ApiServer(settings.kubeconfig, requested=metrics.requested) as own:
        lock = lock_of(settings, own)
        async with ApiServer(settings.kubeconfig, requested=metrics.requested, fence=lock.fence) as api:
            stretch = Stretch(settings, api, metrics)
            herald = Herald(settings, EventRecorder(own, settings.pod_name), read_clocks)
            preflight = Preflight(settings.scope, AccessReviews(own), herald.tell)
            health = HealthServer(settings.health_port, lambda: stretch.ill, lambda: preflight.fault)
            scrapes = MetricsServer(settings.metrics_port, metrics)
            await health.start()
            await scrapes.start()
            cancel_on_signals()
            try:
                await live(preflight, lock, stretch.serve)
            finally:
                await scrapes.stop()
                await health.stop()


def lock_of(settings: Settings, api: ApiServer) -> LeaseLock | NoLock:
    """The lease, where an election is asked for; its holder's name is new with each process, also in the same pod."""
    if not settings.lease:
        return NoLock()
    identity = f"{settings.pod_name}_{secrets.token_hex(4)}"
    return LeaseLock(api, (settings.namespace, settings.lease), identity, settings.lease_terms, read_clocks)


def main() -> None:
    """Run until SIGTERM; exit 2 with one line when the environment makes no sense."""
    try:
        settings = read_settings(os.environ)
    except SettingsInvalid as exc:
        print(f"cronix-operator: {exc}", file=sys.stderr)
        sys.exit(2)
    configure_logging(settings)
    # The API server takes JSON of up to 10,000 levels; one CronixApp as deep as that must not end the watch for all of
    # them with a RecursionError inside the JSON parser (attack T8).
    sys.setrecursionlimit(20_000)
    # Python's own limits (700, 10, 10) are for small programs: with thousands of CronJobs of some hundred objects each,
    # looking for cycles among them was a third of all CPU. What is imported by now never goes.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    # A signal while nothing is served yet cancels the one task there is.
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run(settings))


if __name__ == "__main__":
    main()
