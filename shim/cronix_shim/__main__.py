"""The signer's door: arguments, environment, clock and signals in; log lines, termination message and exit code out.

``python -m cronix_shim`` reads the job file from the environment variable CRONIX_JOB, or from ``--job-file PATH``.
"""

import posix
import sys
import time

from cronix_protocol import jobfile, outcome, runid

from . import __version__
from .fire import Interrupted, Run, World, fire
from .keys import read_file
from .report import TERMINATION_LOG, Log, leave_message, write_all
from .transport import send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Mapping, Sequence
else:
    import _signal  # signal itself would load enum

_USAGE = """\
usage: cronix-shim [--job-file PATH] [--version] [--help]

Sends one signed cron request, with retries, and exits 0 (done), 1 (the app refused), 2 (retries exhausted),
3 (bad job file or no key), 4 (lock held) or 143 (stopped by SIGTERM before an answer).
The job file is JSON, in the environment variable CRONIX_JOB or in PATH.
"""
_MAX_JOB_FILE_BYTES = 8 * 1024 * 1024  # a body of 1 MiB, every byte of it written as \u00xx


class _Signals:
    """Turns the first SIGTERM or SIGINT into ``Interrupted``; after ``settle`` signals are only remembered.

    A process that is PID 1 of its container gets no signal that it does not handle, so this also makes it stoppable.
    """

    def __init__(self) -> None:
        self._armed = True
        self.number = 0

    def handle(self, number: int, _frame: object) -> None:
        self.number = self.number or number
        if self._armed:
            self._armed = False
            raise Interrupted

    def settle(self) -> None:
        self._armed = False


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run one job and return the exit code; the only code that ends the process otherwise is SIGKILL."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--help"], ["-h"]):
        write_all(1, _USAGE.encode())
        return 0
    if words == ["--version"]:
        write_all(1, f"cronix-shim {__version__}\n".encode())
        return 0
    if words and not (len(words) == 2 and words[0] == "--job-file"):
        write_all(2, b"cronix-shim: unknown arguments\n" + _USAGE.encode())
        return 3
    signals = _Signals()
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, signals.handle)
    _forbid_core_dumps()
    log = Log()
    environ = _environ()
    path = words[1] if words else ""
    try:
        result = _run(path, environ, log, signals)
    except Interrupted:  # before the run began, or in the last instructions of its end
        result = _nothing_fired(outcome.INTERRUPTED, "stopped by a signal before the first attempt")
        log.line("WARN", "trigger: interrupted", attempt=0)
    except Exception as error:  # noqa: BLE001  # the last line of defence: an exit code that the Job understands
        signals.settle()
        place = _place(error)
        log.line("ERROR", "trigger: panic", panic=place)
        result = _nothing_fired(outcome.INVALID_JOB, f"a defect of the signer: {place}")
    signals.settle()
    leave_message(result, environ.get("CRONIX_TERMINATION_LOG") or TERMINATION_LOG)
    if result.outcome == outcome.INTERRUPTED and signals.number == _signal.SIGINT:
        return 130
    return outcome.EXIT_CODES[result.outcome]


def _run(path: str, environ: "Mapping[str, str]", log: Log, signals: _Signals) -> outcome.Outcome:
    try:
        job = _job(path, environ)
        run = _which_run(job, environ, time.time())
    except ValueError as error:
        signals.settle()
        log.line("ERROR", "trigger: load spec", err=str(error))
        return _nothing_fired(outcome.INVALID_JOB, str(error))
    log.about(job.app, job.job, run.run_id)
    world = World(
        now=time.time,
        sleep=time.sleep,
        send=send,
        environ=environ,
        log=log,
        settle=signals.settle,
        trim_keys=bool(path),
    )
    return fire(job, run, world)


def _job(path: str, environ: "Mapping[str, str]") -> jobfile.JobFile:
    """Return the job to run, or raise ``ValueError`` saying where its file is wrong."""
    if not path:
        text = environ.get("CRONIX_JOB", "")
        if not text:
            raise ValueError("no job: set the environment variable CRONIX_JOB, or give --job-file PATH")
        return jobfile.parse_job_file(text)
    try:
        raw = read_file(path, _MAX_JOB_FILE_BYTES)
        text = raw.decode()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start})") from None
    if len(raw) > _MAX_JOB_FILE_BYTES:
        raise ValueError(f"{path} is longer than {_MAX_JOB_FILE_BYTES} bytes")
    return jobfile.parse_job_file(text, allow_raw=True)


def _which_run(job: jobfile.JobFile, environ: "Mapping[str, str]", now: float) -> Run:
    """Tell the slot: the annotation's if a backfill gave one, else the one in the Job's name, else this is manual."""
    extra = job.fire
    told = environ.get("CRONIX_SCHEDULED_TIME", "")
    if told:
        slot = runid.parse_rfc3339(told)
        if slot is None:
            raise ValueError("annotation cronix.dev/scheduled-time: want UTC like 2026-01-31T23:59:00Z")
    else:
        believe = extra.starting_deadline_seconds + extra.active_deadline_seconds
        slot = runid.slot_from_job_name(environ.get("CRONIX_JOB_NAME", ""), extra.cronjob, now, believe)
    if slot is not None and extra.app_uid:
        return Run(runid.run_id(extra.app_uid, job.job, job.schedule_index, slot), slot, manual=False)
    manual = runid.manual_run_id(environ.get("CRONIX_JOB_UID", ""), now, entropy=posix.urandom(10))
    return Run(manual, int(now), manual=True)


def _nothing_fired(what: str, message: str) -> outcome.Outcome:
    now = round(time.time(), 3)
    return outcome.Outcome(
        outcome=what,
        run_id="",
        scheduled_time=int(now),
        manual=False,
        start_time=now,
        end_time=now,
        attempts=0,
        http_status=None,
        message=message,
        excerpt="",
    )


def _environ() -> dict[str, str]:
    return {
        name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for name, value in posix.environ.items()
    }


def _forbid_core_dumps() -> None:
    """Keep the key out of core files (C5).

    The filter makes a core without memory even where the kernel pipes it to a handler and ignores the limit. A third
    switch, PR_SET_DUMPABLE, has no call in the standard library but through ctypes, which doubles the start-up time.
    """
    try:
        with open("/proc/self/coredump_filter", "wb", buffering=0) as file:  # noqa: PTH123  # see keys.read_file
            file.write(b"0")
    except OSError:
        pass
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def _place(error: BaseException) -> str:
    """Say which error where; never its text, which may quote what it stumbled over."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code if trace is not None else None
    where = f"{code.co_name}:{trace.tb_lineno}" if code is not None and trace is not None else "?"
    return f"{type(error).__name__} in {where}"


if __name__ == "__main__":
    sys.exit(main())
