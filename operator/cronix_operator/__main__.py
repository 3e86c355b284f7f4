"""`cronix-operator`: read the environment, set up logging, run kopf."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

import kopf

from cronix_operator.handlers import register
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


def main() -> None:
    """Run until SIGTERM; exit 2 with one line when the environment makes no sense."""
    try:
        settings = read_settings(os.environ)
    except SettingsInvalid as exc:
        sys.exit(f"cronix-operator: {exc}")
    configure_logging(settings)
    # The API server takes JSON of up to 10,000 levels; one CronixApp as deep as that must not end the watch for all of
    # them with a RecursionError inside the JSON parser (attack T8).
    sys.setrecursionlimit(20_000)
    registry = kopf.OperatorRegistry()
    register(registry, settings)
    kopf.run(
        registry=registry,
        standalone=True,
        # Without it kopf asks the system for a user name, which a container need not have.
        identity=settings.pod_name,  # type: ignore[arg-type]  # kopf's NewType of str, which it does not export
        clusterwide=not settings.watch_namespaces,
        namespaces=list(settings.watch_namespaces),
    )


if __name__ == "__main__":
    main()
