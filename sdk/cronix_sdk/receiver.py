"""One request in; an answer out, or a verified run to be run and then reported. Does not run jobs itself."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cronix_sdk import jobs, keys, response, runs, verifying
from cronix_sdk.context import JobContext
from cronix_sdk.errors import GiveUp, SecretError, SetupError
from cronix_sdk.hooks import Hooks, call_hook
from cronix_sdk.request import (
    MANIFEST_PATH,
    SCHEDULE_NAME_HEADER,
    TRIGGER_PREFIX,
    Headers,
    Incoming,
    as_sent,
    lower_headers,
    one_word,
    route_of,
)
from cronix_sdk.response import JSON_HEADERS, OK_BODY, Refusal, Response, compact_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronix_sdk.registry import JobRegistry

_log = logging.getLogger("cronix_sdk")
_LEASE_MARGIN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Settings:
    """How to receive; `static_keys` is None when `secret` is asked for every request."""

    secret: keys.Secret | None = field(repr=False)
    static_keys: tuple[str, ...] | None = field(repr=False)
    window_seconds: int
    duplicates: runs.RunStore | None
    remember_seconds: int
    max_body_bytes: int
    hooks: Hooks
    skip_verify: bool
    clock: Callable[[], float]


@dataclass(slots=True)
class Run:
    """A run that must be run now, and then given to `succeeded`, `failed` or `abandoned`."""

    entry: jobs.Registered
    context: JobContext
    headers: tuple[tuple[str, str], ...]
    started: float
    claim: runs.Claim | None = None


class Receiver:
    """The steps of a request, in the order that docs/app-developer.md promises."""

    def __init__(self, registry: JobRegistry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings

    def open(self, method: str, path: str, headers: Headers, raw: object) -> Response | Run:
        """Everything before the job runs; `raw` is the body and should be bytes."""
        path = as_sent(path)
        body = bytes(raw) if isinstance(raw, (bytearray, memoryview)) else raw
        if not isinstance(body, bytes):
            message = (
                f"body: want the raw bytes of the request, got {type(body).__name__}; take them before any parsing"
            )
            return self._refuse(Refusal(response.BODY_NOT_BYTES, message, verifying.HINT_TEXT), method, path)
        if len(body) > self._settings.max_body_bytes:
            refusal = Refusal(response.BODY_TOO_LARGE, f"body: more than {self._settings.max_body_bytes} bytes")
            return self._refuse(refusal, method, path)
        incoming = Incoming(method, path, lower_headers(headers), body)
        route = route_of(path)
        return self._manifest(incoming) if route.endswith(MANIFEST_PATH) else self._trigger(incoming, route)

    def succeeded(self, run: Run, result: object) -> Response:
        """The job has returned: its answer, kept for duplicates when it is a success."""
        answer = _answer(run, result)
        if not answer.ok:
            self.abandoned(run)
            _log.warning(
                "failed job=%s run_id=%s status=%d", run.entry.job.name, one_word(run.context.run_id), answer.status
            )
            return answer
        if run.claim is not None:
            self._keep(run.claim, answer)
        if _log.isEnabledFor(logging.INFO):
            seconds = self._settings.clock() - run.started
            _log.info("done job=%s run_id=%s seconds=%.3f", run.entry.job.name, one_word(run.context.run_id), seconds)
        call_hook("trigger_success", self._settings.hooks.trigger_success, run.context, answer)
        return answer

    def failed(self, run: Run, error: Exception) -> Response:
        """The job has raised: 422 for `GiveUp`, else 500 without the exception's text, which goes to the log only."""
        self.abandoned(run)
        name, run_id = run.entry.job.name, one_word(run.context.run_id)
        if isinstance(error, GiveUp):
            _log.warning("gave up job=%s run_id=%s: %s", name, run_id, error.message)
            body = compact_json({"code": response.GIVEN_UP, "message": error.message})
            answer = Response(error.status, body, run.headers, error)
        else:
            _log.error("failed job=%s run_id=%s", name, run_id, exc_info=error)
            message = f"job {name} raised {type(error).__name__}; see the app's log"
            answer = Refusal(response.HANDLER_FAILED, message).response(error=error)
        call_hook("trigger_error", self._settings.hooks.trigger_error, run.context, error)
        return answer

    def abandoned(self, run: Run) -> None:
        """The run has not been done: let its next attempt have it."""
        if run.claim is None or self._settings.duplicates is None:
            return
        try:
            self._settings.duplicates.remove(run.claim.key, expected=run.claim.value)
        except Exception:  # noqa: BLE001 - the store is the app's; the claim then ends with its lease
            _log.exception("run store: the claim of a failed run could not be released; it ends with its lease")

    # -- the steps -----------------------------------------------------------------------------------------------------

    def _manifest(self, incoming: Incoming) -> Response:
        # Clause F2: the method is checked before the signature, whose path is always the well-known one (F1).
        if incoming.method.upper() != "GET":
            refusal = Refusal(response.BAD_METHOD, f"the manifest is fetched with GET, not {one_word(incoming.method)}")
            return self._refuse(refusal, incoming.method, incoming.path)
        verdict = self._verify(incoming, MANIFEST_PATH, None)
        if isinstance(verdict, Refusal):
            return self._refuse(verdict, incoming.method, incoming.path)
        call_hook("manifest_request", self._settings.hooks.manifest_request)
        try:
            return Response(200, self._registry.manifest(), _headers_for(verdict))
        except SetupError as error:
            # Never an empty manifest: to a reader that would mean "delete every job".
            return self._refuse(Refusal(response.NO_JOBS, str(error)), incoming.method, incoming.path)

    def _trigger(self, incoming: Incoming, route: str) -> Response | Run:
        # A proxy or a mount may have taken the public prefix away; the signer has signed the URL of the manifest.
        stripped = self._registry.stripped_prefix(route)
        signed_path, route = stripped + incoming.path, stripped + route
        entry = self._registry.by_route(route)
        # Signature first, also for a path that leads nowhere: only the key's owner learns which jobs exist.
        verdict = self._verify(incoming, signed_path, entry)
        if isinstance(verdict, Refusal):
            return self._refuse(verdict, incoming.method, incoming.path)
        if entry is None:
            return self._refuse(self._no_job(route), incoming.method, incoming.path)
        skipped = self._settings.skip_verify
        context = JobContext(
            self._registry.app, entry.job.name, incoming.body, incoming.headers, verdict, unverified=skipped
        )
        run = Run(entry, context, _headers_for(verdict), self._settings.clock())
        if self._settings.duplicates is not None and (context.run_id or incoming.signature):
            answer = self._claim(run, incoming, self._settings.duplicates)
            if answer is not None:
                return answer
        self._log_start(run)
        call_hook("trigger_start", self._settings.hooks.trigger_start, context)
        return run

    def _verify(self, incoming: Incoming, signed_path: str, entry: jobs.Registered | None) -> Refusal | int | None:
        """The index of the key that verified, None under skip_verify, or the refusal."""
        if self._settings.skip_verify:
            _log.warning(
                "UNVERIFIED %s %s accepted: skip_verify=True", one_word(incoming.method), one_word(incoming.path)
            )
            return None
        secrets = self._keys_for(entry)
        if isinstance(secrets, Refusal):
            return secrets
        window_seconds = (
            entry.window_seconds if entry is not None and entry.window_seconds else self._settings.window_seconds
        )
        check = verifying.Check(incoming, signed_path, secrets, int(self._settings.clock()), window_seconds)
        verification = check.run()
        if verification.ok:
            return verification.secret_index
        return verifying.refusal_of(verification, check, self._likely_paths(incoming))

    def _keys_for(self, entry: jobs.Registered | None) -> Sequence[str] | Refusal:
        own = entry.secret if entry is not None else None
        if own is None and self._settings.static_keys is not None:
            return self._settings.static_keys
        try:
            return keys.resolve(own if own is not None else self._settings.secret or "")
        except Exception as error:  # noqa: BLE001 - the callable is the app's; closed is the only safe way to fail
            reason = str(error) if isinstance(error, SecretError) else type(error).__name__
            _log.error("no usable secret, so nothing can be verified: %s", reason)
            return Refusal(response.NO_USABLE_SECRET, "this app has no usable secret at the moment; see its log")

    def _likely_paths(self, incoming: Incoming) -> tuple[str, ...]:
        """The paths that a rewritten request may have had; of two jobs at most, so that a refusal stays cheap."""
        last = route_of(incoming.path).rstrip("/").rpartition("/")[2]
        names = (incoming.headers.get(SCHEDULE_NAME_HEADER, ""), last)
        entries = (self._registry.by_name(name) for name in dict.fromkeys(names))
        return tuple(entry.signed_path for entry in entries if entry is not None)

    def _no_job(self, route: str) -> Refusal:
        name = route.removeprefix(self._registry.prefix).removeprefix(TRIGGER_PREFIX)
        if not route.startswith(self._registry.prefix + TRIGGER_PREFIX) or not name or "/" in name:
            paths = f"{self._registry.prefix}{TRIGGER_PREFIX}<job>"
            return Refusal(response.BAD_PATH, f"verified, but jobs are at {paths}, not at {one_word(route)}")
        twice = self._registry.elsewhere(name)
        hint = verifying.HINT_TWICE if twice else ""
        return Refusal(response.UNKNOWN_JOB, f"verified, but there is no job {one_word(name)}{twice}", hint)

    def _claim(self, run: Run, incoming: Incoming, store: runs.RunStore) -> Response | None:
        lease_seconds = run.entry.job.policy.timeout_seconds + _LEASE_MARGIN_SECONDS
        occurrence = runs.Occurrence(
            app=self._registry.app,
            job=run.entry.job.name,
            run_id=run.context.run_id,
            signature=verifying.mac_of(incoming.signature or ""),
            signature_seconds=2 * (run.entry.window_seconds or self._settings.window_seconds) + 1,
            lease_seconds=lease_seconds,
        )
        try:
            claimed = runs.claim(store, occurrence, token=uuid.uuid4().hex)
        except Exception:  # noqa: BLE001 - the store is the app's; without it nothing may run twice, so nothing runs
            _log.exception("run store: unreachable, so the run is not started")
            refusal = Refusal(response.STORE_UNAVAILABLE, "duplicate protection cannot be reached; see the app's log")
            return self._refuse(refusal, incoming.method, incoming.path, retry_after_seconds=1)
        if isinstance(claimed, runs.Claim):
            run.claim = claimed
            return None
        _log.info("duplicate job=%s run_id=%s status=%d", occurrence.job, one_word(occurrence.run_id), claimed.status)
        return claimed

    def _keep(self, claim: runs.Claim, answer: Response) -> None:
        store = self._settings.duplicates
        if store is None:
            return
        try:
            kept = store.replace(
                claim.key, runs.outcome_text(answer), self._settings.remember_seconds, expected=claim.value
            )
        except Exception:  # noqa: BLE001 - the job is done; a broken store must not make the signer run it again
            _log.exception("run store: the outcome of %s could not be kept", claim.key)
            return
        if not kept:
            _log.warning("run store: %s outlived its lease; raise the job's timeout_seconds", claim.key)

    def _log_start(self, run: Run) -> None:
        if not _log.isEnabledFor(logging.INFO):
            return
        context = run.context
        own = run.entry.secret if run.entry.secret is not None else self._settings.secret
        _log.info(
            "verified job=%s run_id=%s scheduled=%s attempt=%d key=%s",
            context.name,
            one_word(context.run_id or "-"),
            f"{context.fire_time:%Y-%m-%dT%H:%M:%SZ}" if context.fire_time else "-",
            context.attempt,
            keys.name_of(own, context.secret_index),
        )

    def _refuse(
        self, refusal: Refusal, method: object, path: str, *, retry_after_seconds: int | None = None
    ) -> Response:
        _log.warning(
            "refused code=%s status=%d method=%s path=%s hint=%s: %s",
            refusal.code,
            refusal.status,
            one_word(str(method)),
            one_word(path),
            refusal.hint or "-",
            refusal.message,
        )
        call_hook("verify_failure", self._settings.hooks.verify_failure, refusal)
        return refusal.response(retry_after_seconds=retry_after_seconds)


def _headers_for(verdict: int | None) -> tuple[tuple[str, str], ...]:
    """Which of its keys the app has used: a rotation can see from outside when the old one is no longer needed."""
    told = ("x-cron-unverified", "true") if verdict is None else ("x-cron-secret-index", str(verdict))
    return (*JSON_HEADERS, told)


def _answer(run: Run, result: object) -> Response:
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(200, OK_BODY, run.headers)
    try:
        return Response(200, compact_json({"ok": True, "result": result}), run.headers)
    except (TypeError, ValueError):
        # The job is done; making the signer run it again because of its return value would be wrong.
        _log.warning("job %s returned %s, which is no JSON; answered ok", run.entry.job.name, type(result).__name__)
        return Response(200, OK_BODY, run.headers)
