"""What can be wrong with the app's own setup, told when the app starts; no I/O."""

from __future__ import annotations


class CronixError(Exception):
    """The base of everything that this package raises on purpose."""


class SetupError(CronixError, ValueError):
    """An argument of `Cron(…)` cannot work; the text says which one and what to write instead."""


class SecretError(SetupError):
    """There is no usable secret; an app that cannot verify must not start."""


class JobError(SetupError):
    """A job cannot be registered; the text lists every fault with its path in the manifest."""


class GiveUp(CronixError):
    """Raised by a job: this run has failed and a retry would not help.

    The answer is 422 (or `status`, 400..499), which the signer reports as *app rejected* and never retries.
    `message` is sent back and ends up in the CronixApp's status: no personal data, no keys.
    """

    def __init__(self, message: str, *, status: int = 422) -> None:
        if not 400 <= status <= 499:
            raise SetupError(
                f"GiveUp(status={status}): use 400..499; anything else would be retried or counted as done"
            )
        super().__init__(message)
        self.message = message
        self.status = status
