"""Any WSGI app: the SDK stands in front of it; `gunicorn app:application` serves both."""

import logging
import os
import time

from cronix_sdk import Cron, JobContext, KeyFiles, MemoryRunStore

logging.basicConfig(level=logging.INFO, format="%(message)s")

cron = Cron(
    app="example-wsgi",
    base_url=os.environ.get("BASE_URL", "http://example-wsgi:8080"),
    secret=KeyFiles.from_text(os.environ["CRON_KEY_FILES"]),
    # One worker process, so memory is enough to do each run once; several need a store that they share.
    duplicates=MemoryRunStore(),
)


@cron.job("tick", schedule="* * * * *")
def tick(context: JobContext) -> dict[str, str]:
    """A second request with this run id gets the first one's answer."""
    return {"run_id": context.run_id, "at": str(time.time())}


def inner(environ, start_response):  # type: ignore[no-untyped-def]  # PEP 3333's own loose types
    """The app as it was before it had jobs."""
    found = environ["PATH_INFO"] == "/healthz"
    start_response("200 OK" if found else "404 Not Found", [("content-type", "application/json")])
    return [b'{"ok":true}' if found else b"{}"]


application = cron.wsgi(inner)
