"""What a person means by `billing`, `billing/sync` or `billing/sync/0`; pure."""

from __future__ import annotations

import dataclasses

from cronix_cli.trouble import Exit, Trouble


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """An app, one of its jobs, or one schedule of a job; `app` is the name of the CronixApp."""

    app: str
    job: str | None = None
    index: int | None = None

    def __str__(self) -> str:
        return "/".join(str(part) for part in (self.app, self.job, self.index) if part is not None)


def parse_target(text: str) -> Target:
    """Read APP[/JOB[/INDEX]]; a kind in front (`cxa/billing`, `cronixapp.cronix.dev/billing`) does not count."""
    parts = text.strip().split("/")
    if len(parts) > 1 and parts[0].lower() in KINDS:
        parts = parts[1:]
    app, job, index = (*parts, *(None,) * (3 - len(parts)))[:3] if len(parts) <= 3 else ("", None, None)
    if not app or job == "" or (index is not None and not (index.isascii() and index.isdigit())):
        raise Trouble(
            Exit.USAGE,
            f'"{text}" names no app or job: write APP, APP/JOB or APP/JOB/INDEX, such as billing/sync/0',
            "kubectl cronix status",
        )
    return Target(app, job, None if index is None else int(index))


KINDS = frozenset({"cxa", "cronixapp", "cronixapps", "cronixapp.cronix.dev", "cronixapps.cronix.dev"})
