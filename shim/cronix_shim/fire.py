"""The attempt loop: one job and one run in, one Outcome out; clock, sleep, files and network come in as ``World``."""

from cronix_protocol import headers, outcome
from cronix_protocol.signature import sign

from . import __version__, attempts
from .answer import Answer
from .keys import NoKey, header_values, previous_success, signing_keys
from .transport import AttemptFailed, Tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cronix_protocol.jobfile import JobFile
    from cronix_protocol.joburl import Url

    from .report import Log


class Interrupted(BaseException):
    """SIGTERM or SIGINT; raised by the signal handler wherever the run is, unless an answer has settled it."""


class World:
    """All that a run takes from outside. ``settle`` is called once the end is known: no signal may change it then."""

    __slots__ = ("environ", "log", "now", "send", "settle", "sleep", "trim_keys")

    def __init__(
        self,
        *,
        now: "Callable[[], float]",
        sleep: "Callable[[float], None]",
        send: "Callable[[Url, Tls, bytes, float, Answer], None]",
        environ: "Mapping[str, str]",
        log: "Log",
        settle: "Callable[[], None]",
        trim_keys: bool = False,
    ) -> None:
        self.now = now
        self.sleep = sleep
        self.send = send
        self.environ = environ
        self.log = log
        self.settle = settle
        self.trim_keys = trim_keys


class Run:
    """Which run this is: its id, its slot (Unix seconds; its start if it is manual) and whether it is manual."""

    __slots__ = ("manual", "run_id", "scheduled_time")

    def __init__(self, run_id: str, scheduled_time: int, *, manual: bool) -> None:
        self.run_id = run_id
        self.scheduled_time = scheduled_time
        self.manual = manual


class _State:
    """How far a run has come; kept outside the loop so that a signal finds it."""

    __slots__ = ("answer", "attempt", "failure", "fired_at", "secrets", "sent_at", "start_time")

    def __init__(self, now: float) -> None:
        self.start_time = now
        self.fired_at = int(now)
        self.sent_at = now
        self.attempt = 0
        self.answer = Answer()
        self.failure = ""
        self.secrets: tuple[str, ...] = ()


def fire(job: "JobFile", run: Run, world: World) -> outcome.Outcome:
    """Run one job to its end: sign, send, wait, again; log each step. Never raises ``Interrupted``, only obeys it.

    Each attempt reads the keys anew and signs with the time of that attempt: a signature is good for 300 s, a run with
    its retries may take longer (C4). A signal before an answer ends the run as Interrupted, so that the Job replaces
    the pod; once a head with 2xx or a refusal has come, that answer is the end, whatever was still being read.
    """
    state = _State(world.now())
    try:
        _wait_for_jitter(job, run, world)
        state.fired_at = int(world.now())
        return _attempt_until_settled(job, run, world, state)
    except NoKey as error:
        world.settle()
        world.log.line("ERROR", "trigger: resolve secrets", err=str(error))
        return _end(outcome.NO_KEY, str(error), run, world, state)
    except Interrupted:
        world.settle()
        if state.answer.status and attempts.judge(state.answer.status, job.fire.retry_on) != attempts.RETRY:
            return _settled(job, run, world, state)
        message = f"stopped by a signal in attempt {state.attempt}, before an answer that settles the run"
        world.log.line("WARN", "trigger: interrupted", attempt=state.attempt)
        return _end(outcome.INTERRUPTED, message, run, world, state)


def _wait_for_jitter(job: "JobFile", run: Run, world: World) -> None:
    """Wait for the job's place after its slot; whoever starts a run by hand, or late, has waited already."""
    if not job.fire.jitter_seconds or run.manual:
        return
    place = attempts.jitter_seconds(job.fire.jitter_seconds, job.fire.app_uid, job.job, job.schedule_index)
    wait = min(place, run.scheduled_time + place - world.now())
    if wait > 0:
        world.sleep(wait)


def _attempt_until_settled(job: "JobFile", run: Run, world: World, state: _State) -> outcome.Outcome:
    while True:
        verdict = _attempt(job, run, world, state)
        if verdict != attempts.RETRY:
            world.settle()
            return _settled(job, run, world, state)
        _log_retry(world, state)
        if state.attempt >= job.max_attempts:
            world.settle()
            break
        wait: float = attempts.backoff_seconds(state.attempt, job.min_seconds, job.max_seconds)
        if job.fire.honor_retry_after:
            retry_after = state.answer.headers.get("retry-after")
            wait = attempts.wait_seconds(int(wait), retry_after, now=world.now(), max_seconds=job.max_seconds)
        world.sleep(wait)
    status = state.answer.status
    world.log.line("ERROR", "trigger: retries exhausted", attempts=state.attempt, last_status=status)
    message = f"{state.attempt} attempts failed; the last: " + (f"answered {status}" if status else state.failure)
    return _end(outcome.RETRIES_EXHAUSTED, message, run, world, state)


def _attempt(job: "JobFile", run: Run, world: World, state: _State) -> str:
    """Make one attempt; with the next key, in the time that is left, where the app says that the key is not its own.

    While a key is replaced, the Secret and the app change one after the other; whichever is first, no run is lost.
    """
    number = state.attempt + 1
    skipped = _teller(world, number)
    found = signing_keys(job.secret_refs, world.environ, trim=world.trim_keys, skipped=skipped, several=True)
    keys = list(dict.fromkeys(found))
    ends_at = world.now() + job.timeout_seconds
    verdict = _send(job, run, world, state, number, keys.pop(0), job.timeout_seconds)
    while keys and attempts.wrong_key(state.answer.status, state.answer.body) and world.now() < ends_at:
        world.log.line("WARN", "trigger: key refused", attempt=number, status=state.answer.status)
        verdict = _send(job, run, world, state, number, keys.pop(0), ends_at - world.now())
    return verdict


def _teller(world: World, number: int) -> "Callable[[str], None]":
    def skipped(reason: str) -> None:
        world.log.line("WARN", "trigger: key skipped", attempt=number, err=reason)

    return skipped


def _send(job: "JobFile", run: Run, world: World, state: _State, number: int, key: str, timeout_seconds: float) -> str:
    request = _request(job, run, world, state, number, key)
    state.attempt = number
    state.answer = Answer()
    state.failure = ""
    tls = Tls(job.fire.ca_file, job.fire.client_cert_file, job.fire.client_key_file)
    state.sent_at = world.now()
    try:
        world.send(job.fire.target or job.url, tls, request, timeout_seconds, state.answer)
    except AttemptFailed as error:
        state.failure = str(error)
        return attempts.RETRY
    return attempts.judge(state.answer.status, job.fire.retry_on)


def _request(job: "JobFile", run: Run, world: World, state: _State, number: int, key: str) -> bytes:
    """Return the request's bytes: the job's headers first, ours last, the body as it is or as a scheme makes it."""
    sent_headers = [*((header.name, header.value) for header in job.headers), *header_values(job.fire.headers)]
    hidden = [value for _, value in sent_headers[len(job.headers) :] if value]
    timestamp = int(world.now())
    body = job.body
    if job.fire.schemes:
        from .extra import sign_extra  # most jobs have none, and pay nothing for them

        skipped = _teller(world, number)
        extra = sign_extra(job, run.run_id, number, timestamp, trim=world.trim_keys, skipped=skipped)
        body = extra.body
        sent_headers += extra.headers
        hidden += extra.hidden
    # Last, for it covers the body that a scheme may have made.
    signature = sign(key, method=job.method, path=job.url.path, body=body, timestamp=timestamp)
    state.secrets = (key, signature.rpartition("=")[2], *hidden)
    lines = _jobs_own_lines(job, world, sent_headers)
    lines += [
        f"{headers.SIGNATURE}: {signature}",
        f"{headers.RUN_ID}: {run.run_id}",
        f"{headers.SCHEDULE_NAME}: {job.job}",
        f"{headers.FIRE_TIME}: {run.scheduled_time}",
        f"{headers.FIRE_TIME_ACTUAL}: {state.fired_at}",
        f"{headers.ATTEMPT}: {number}",
        "Connection: close",
    ]
    if previous := previous_success(job.fire.previous_success_file):
        lines.append(f"{headers.PREVIOUS_SUCCESS_TIME}: {previous}")
    if body or job.method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def _jobs_own_lines(job: "JobFile", world: World, sent_headers: "Sequence[tuple[str, str]]") -> list[str]:
    """Return the request line and the headers up to ours; of one name the last wins."""
    wanted = {"user-agent": ("User-Agent", f"cronix-shim/{__version__}")}
    parent = world.environ.get("TRACEPARENT", "")
    if attempts.valid_traceparent(parent):
        wanted["traceparent"] = ("traceparent", parent)
    for name, value in sent_headers:
        wanted[name.lower()] = (name, value)
    lines = [f"{job.method} {job.url.path} HTTP/1.1", f"Host: {job.url.authority}"]
    return lines + [f"{name}: {value}" for name, value in wanted.values()]


def _log_retry(world: World, state: _State) -> None:
    duration = _duration_ms(world, state)
    if state.answer.status:
        world.log.line(
            "WARN",
            "trigger: server error",
            attempt=state.attempt,
            status=state.answer.status,
            body_excerpt=_excerpt(state),
            duration_ms=duration,
        )
    else:
        world.log.line(
            "WARN", "trigger: attempt failed", attempt=state.attempt, err=state.failure, duration_ms=duration
        )


def _settled(job: "JobFile", run: Run, world: World, state: _State) -> outcome.Outcome:
    """End a run whose answer settles it: 2xx, or a status that is not retried."""
    status = state.answer.status
    duration = _duration_ms(world, state)
    cut = {"body_fault": state.answer.fault} if state.answer.fault else {}
    if attempts.judge(status, job.fire.retry_on) == attempts.SUCCESS:
        world.log.line("INFO", "trigger: success", attempt=state.attempt, status=status, duration_ms=duration, **cut)
        return _end(outcome.SUCCEEDED, f"answered {status}", run, world, state)
    excerpt = _excerpt(state)
    skew = _clock_skew(world, state) if status == 401 else ""
    world.log.line(
        "ERROR",
        "trigger: app rejected",
        attempt=state.attempt,
        status=status,
        body_excerpt=excerpt,
        duration_ms=duration,
        **cut,
        **({"err": skew} if skew else {}),
    )
    return _end(outcome.APP_REJECTED, f"answered {status}" + (f"; {skew}" if skew else ""), run, world, state)


def _clock_skew(world: World, state: _State) -> str:
    """Say so when a 401's own clock is so far from ours that no signature of ours can be fresh there."""
    theirs = attempts.http_date(state.answer.headers.get("date", ""))
    if theirs is None or abs(theirs - world.now()) <= 300:
        return ""
    return f"its clock and ours are {abs(theirs - world.now()):.0f} s apart; signatures are good for 300 s"


def _excerpt(state: _State) -> str:
    """Return the answer's first 200 printable characters; what we sent in secret is taken out if the app echoes it."""
    text = state.answer.body[:4096].decode("utf-8", "replace")
    for secret in state.secrets:
        text = text.replace(secret, "[secret]")
    return outcome.printable(text, outcome.MAX_EXCERPT)


def _duration_ms(world: World, state: _State) -> int:
    return int((world.now() - state.sent_at) * 1000)


def _end(what: str, message: str, run: Run, world: World, state: _State) -> outcome.Outcome:
    return outcome.Outcome(
        outcome=what,
        run_id=run.run_id,
        scheduled_time=run.scheduled_time,
        manual=run.manual,
        start_time=round(state.start_time, 3),
        end_time=round(world.now(), 3),
        attempts=state.attempt,
        http_status=state.answer.status or None,
        message=message,
        excerpt="" if what == outcome.SUCCEEDED else _excerpt(state),
    )
