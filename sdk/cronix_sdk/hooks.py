"""What an app may watch; a hook sees, it never decides, and one that raises is logged and forgotten."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from cronix_sdk.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronix_sdk.context import JobContext
    from cronix_sdk.response import Refusal, Response

_log = logging.getLogger("cronix_sdk")


@dataclass(frozen=True, slots=True)
class Hooks:
    """Plain functions, called in the request's own thread; keep them short.

    `verify_failure(refusal)` for each request that is refused before a job runs, `trigger_start(context)`,
    `trigger_success(context, response)`, `trigger_error(context, exception)`, `manifest_request()`.
    """

    verify_failure: Callable[[Refusal], object] | None = None
    trigger_start: Callable[[JobContext], object] | None = None
    trigger_success: Callable[[JobContext, Response], object] | None = None
    trigger_error: Callable[[JobContext, BaseException], object] | None = None
    manifest_request: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            if inspect.iscoroutinefunction(getattr(self, each.name)):
                raise SetupError(
                    f"Hooks({each.name}=…): hooks are plain functions; an async one would never be awaited"
                )


def call_hook(name: str, hook: Callable[..., object] | None, *arguments: object) -> None:
    """Call it if there is one; whatever it raises stays here."""
    if hook is None:
        return
    try:
        hook(*arguments)
    except Exception:  # noqa: BLE001 - the promise of hooks: they cannot break a request
        _log.exception("hook %s raised; the request goes on", name)
