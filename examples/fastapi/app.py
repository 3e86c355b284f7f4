"""FastAPI: an async job and a sync one; `uvicorn app:app` serves them."""

import asyncio
import logging
import os

from fastapi import FastAPI

from cronix_sdk import Cron, JobContext, KeyFiles

logging.basicConfig(level=logging.INFO, format="%(message)s")
log = logging.getLogger(__name__)

app = FastAPI()
cron = Cron(
    app="example-fastapi",
    base_url=os.environ.get("BASE_URL", "http://example-fastapi:8080"),
    secret=KeyFiles.from_text(os.environ["CRON_KEY_FILES"]),
)


@cron.job("tick", schedule="* * * * *")
async def tick(context: JobContext) -> dict[str, str]:
    """An async job runs on the event loop."""
    await asyncio.sleep(0)
    return {"run_id": context.run_id}


@cron.job("nightly-report", schedule="30 2 * * *", timezone="Europe/Paris", timeout_seconds=300)
def nightly_report(context: JobContext) -> None:
    """A sync job gets a thread; `fire_time` is the night it reports about, on a retry, too."""
    log.info("report for %s", context.fire_time)


@app.get("/healthz")
async def healthz() -> dict[str, bool]:
    """The rest of the app."""
    return {"ok": True}


app.include_router(cron.fastapi())
