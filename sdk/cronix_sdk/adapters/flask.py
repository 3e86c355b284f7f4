"""Flask: a blueprint that takes the body before Flask looks for form data in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, request
from flask import Response as FlaskResponse
from werkzeug.exceptions import RequestEntityTooLarge

from cronix_sdk.adapters.wsgi import headers_of, path_as_sent
from cronix_sdk.request import MANIFEST_PATH, TRIGGER_PREFIX

if TYPE_CHECKING:
    from cronix_sdk.cron import Cron

# The SDK itself says which method is wrong, with the protocol's code.
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def blueprint(cron: Cron) -> Blueprint:
    """See `Cron.flask`."""
    made = Blueprint(f"cronix-{cron.app}", __name__)

    def cron_endpoint(rest: str = "") -> FlaskResponse:  # noqa: ARG001 - Flask passes the route's variable
        answer = cron.handle(
            method=request.method,
            path=path_as_sent(request.environ),
            headers=headers_of(request.environ),
            body=_body(cron.max_body_bytes),
        )
        return FlaskResponse(answer.body, answer.status, list(answer.headers))

    for rule in (MANIFEST_PATH, f"{TRIGGER_PREFIX}<path:rest>", *cron.own_routes):
        made.add_url_rule(
            rule, endpoint="cron", view_func=cron_endpoint, methods=_METHODS, provide_automatic_options=False
        )
    return made


def _body(limit_bytes: int) -> bytes:
    """The raw body, cached for later readers; one byte over the limit stands for "too long"."""
    if (request.content_length or 0) > limit_bytes:
        return bytes(limit_bytes + 1)
    try:
        return request.get_data(cache=True, parse_form_data=False)
    except RequestEntityTooLarge:  # the app's own MAX_CONTENT_LENGTH
        return bytes(limit_bytes + 1)
