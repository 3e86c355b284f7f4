"""What keeps a command from answering, in words for the person who typed it, and the exit codes; no I/O."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Exit codes; they never change their meaning. 0 to 4 of a run are the signer's own."""

    OK = 0
    NO = 1
    CHANGES = 2
    BAD_JOB = 3
    LOCKED = 4
    NO_OUTCOME = 5
    USAGE = 64
    NOT_FOUND = 66
    UNAVAILABLE = 69
    NOT_NOW = 73
    TIMEOUT = 75
    NO_RIGHT = 77


EXIT_CODES = """\
\b
Exit codes
   0  yes, done, nothing to change; the run succeeded
   1  no: faults were found; the app refused the run
   2  plan: there are changes; run: retries exhausted
   3  run: bad job file, or no key
   4  run: another run holds the lock
   5  run: it ended and no outcome is known
  64  the command line is wrong
  66  there is no such app, job, run or file
  69  the cluster does not answer, or has no CronixApp
  73  refused before anything was created
  75  --wait or --timeout is over
  77  a right is missing
"""


class Trouble(Exception):
    """A command that cannot answer: `message` says what is wrong, `hint` is the next command to type, or ""."""

    def __init__(self, code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
