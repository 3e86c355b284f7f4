"""Django in one file: URL patterns, CSRF protection on; `gunicorn app:application` serves it."""

import logging
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from cronix_sdk import Cron, JobContext, KeyFiles

logging.basicConfig(level=logging.INFO, format="%(message)s")

settings.configure(
    # The Host header of a trigger is that of the manifest's URL; the kubelet's probe comes by the pod's address.
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.urandom(32).hex(),
    LOGGING_CONFIG=None,
)

cron = Cron(
    app="example-django",
    base_url=os.environ.get("BASE_URL", "http://example-django:8080"),
    secret=KeyFiles.from_text(os.environ["CRON_KEY_FILES"]),
)


@cron.job("tick", schedule="* * * * *")
def tick(context: JobContext) -> dict[str, str]:
    """Runs in the request's thread, so that the ORM's connections are handled as in any view."""
    return {"run_id": context.run_id}


def healthz(_request: HttpRequest) -> JsonResponse:
    """The rest of the project."""
    return JsonResponse({"ok": True})


urlpatterns = [*cron.django_urls(), path("healthz", healthz)]
application = get_wsgi_application()
