"""The receiving side of signed cron: declare jobs, serve the manifest, verify triggers; standard library only.

cron = Cron(app="billing", base_url="http://billing.shop.svc:8080", secret=KeyFiles("/var/run/cron/current"))

@cron.job("reconcile", schedule="*/15 * * * *")
def reconcile(context: JobContext) -> None: ...

application = cron.wsgi(application)   # or asgi(), fastapi(), starlette(), flask(), django_urls()
"""

from cronix_protocol import Verification, sign, verify
from cronix_sdk.context import JobContext
from cronix_sdk.cron import Cron
from cronix_sdk.errors import CronixError, GiveUp, JobError, SecretError, SetupError
from cronix_sdk.hooks import Hooks
from cronix_sdk.jobs import JobSpec
from cronix_sdk.keys import KeyFiles
from cronix_sdk.response import Refusal, Response
from cronix_sdk.runs import MemoryRunStore, RunStore

__all__ = [
    "Cron",
    "CronixError",
    "GiveUp",
    "Hooks",
    "JobContext",
    "JobError",
    "JobSpec",
    "KeyFiles",
    "MemoryRunStore",
    "Refusal",
    "Response",
    "RunStore",
    "SecretError",
    "SetupError",
    "Verification",
    "sign",
    "verify",
]
