"""Flask: a blueprint; `gunicorn app:app` serves it."""

import logging
import os

from flask import Flask

from cronix_sdk import Cron, GiveUp, JobContext, KeyFiles

logging.basicConfig(level=logging.INFO, format="%(message)s")

app = Flask(__name__)
cron = Cron(
    app="example-flask",
    base_url=os.environ.get("BASE_URL", "http://example-flask:8080"),
    secret=KeyFiles.from_text(os.environ["CRON_KEY_FILES"]),
)


@cron.job("tick", schedule="* * * * *")
def tick(context: JobContext) -> dict[str, str]:
    """What it returns is sent back as JSON."""
    return {"run_id": context.run_id}


@cron.job("close-month", schedule="0 3 1 * *", body='{"dry_run": false}')
def close_month(context: JobContext) -> None:
    """A retry cannot help here, so the job says so: 422 instead of 500."""
    if context.json() != {"dry_run": False}:
        raise GiveUp("the body must say whether this is a dry run")


@app.get("/healthz")
def healthz() -> dict[str, bool]:
    """The rest of the app."""
    return {"ok": True}


app.register_blueprint(cron.flask())
