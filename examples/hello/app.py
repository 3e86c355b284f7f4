"""The smallest app with jobs: standard library and the SDK, nothing else."""

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from cronix_sdk import Cron, JobContext, KeyFiles

JOBS_FILE = Path(os.environ.get("JOBS_FILE", "/etc/hello/jobs.json"))

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
log = logging.getLogger("hello")

cron = Cron(
    app=os.environ.get("CRON_APP", "hello"),
    base_url=os.environ.get("BASE_URL", "http://hello:8080"),
    secret=KeyFiles.from_text(os.environ.get("CRON_KEY_FILES", "/etc/hello/keys/current,/etc/hello/keys/previous")),
)


def work(context: JobContext) -> dict[str, str]:
    """What every job of this app does; the SDK logs one line when it starts and one when it is done."""
    return {"job": context.name, "run_id": context.run_id}


def load_jobs(text: str) -> None:
    """Make the declared jobs those of the file, whose form is `{"tick": "* * * * *"}`: a schedule for each name."""
    wanted: dict[str, str] = json.loads(text)
    for name, schedule in wanted.items():
        if name in cron.job_names:
            cron.reschedule(name, schedule)
        else:
            cron.job(name, schedule=schedule)(work)
    for name in set(cron.job_names) - set(wanted):
        cron.remove(name)
    log.info("declared %s", json.dumps(wanted))


class Application:
    """The WSGI app: reads the jobs file again when it has changed, then lets the SDK answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loaded = JOBS_FILE.read_text()
        load_jobs(self.loaded)
        self.cron = cron.wsgi(self.health)

    def __call__(self, environ, start_response):  # type: ignore[no-untyped-def]  # PEP 3333's own loose types
        """One request."""
        self.reload()
        return self.cron(environ, start_response)

    def reload(self) -> None:
        """A mounted ConfigMap changes under us; a broken edit keeps the jobs that were good."""
        with self.lock:
            try:
                text = JOBS_FILE.read_text()
                if text != self.loaded:
                    self.loaded = text
                    load_jobs(text)
            except (OSError, ValueError, AttributeError) as error:
                log.error("%s is not usable, the old jobs stay: %s", JOBS_FILE, error)  # noqa: TRY400 - one line is enough

    @staticmethod
    def health(environ, start_response):  # type: ignore[no-untyped-def]  # PEP 3333's own loose types
        """Everything that is not cron: the kubelet's probe."""
        found = environ["PATH_INFO"] == "/healthz"
        start_response("200 OK" if found else "404 Not Found", [("content-type", "text/plain")])
        return [b"ok\n" if found else b"not found\n"]


class Handler(WSGIRequestHandler):
    """wsgiref gives the decoded path only; the signature covers the path as sent."""

    def get_environ(self) -> dict[str, str]:
        """Add it the way gunicorn does."""
        return {**super().get_environ(), "RAW_URI": self.path}

    def log_message(self, *_: object) -> None:
        """No access log: the SDK's lines say more."""


class Server(ThreadingMixIn, WSGIServer):
    """One thread for each request, so that a long job does not hold up the next one."""

    daemon_threads = True


if __name__ == "__main__":
    server = make_server(
        os.environ.get("HOST", ""),
        int(os.environ.get("PORT", "8080")),
        Application(),
        server_class=Server,
        handler_class=Handler,
    )
    # The first process of a container gets no default handlers: without this, stopping takes the whole grace period.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.info("listening port=%d", server.server_port)
    server.serve_forever()
