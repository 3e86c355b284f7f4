"""Which Events a CronJob's runs are worth: the first failure, then ever fewer, and the recovery; no I/O, no clock.

A job that fails each minute, or every other minute, must not fill etcd (attack C8): a row of failures is told at its
start, at the 3rd, 10th, 30th … of them, and once for each further word; a new row at most every five minutes. A
recovery is told where the failure was. A success is no news.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

from cronix_operator.core.announce import Announcement
from cronix_operator.core.moments import timestamp
from cronix_operator.core.runs import ADVICE, Run, Trouble
from cronix_protocol.outcome import RETRIES_EXHAUSTED

RECOVERED = "Recovered"
SLOT_MISSED = "SlotMissed"
QUIET = timedelta(seconds=300)
OLD_NEWS = timedelta(seconds=600)
MAX_PER_MINUTE = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What was last said of a CronJob. `failing`: whether the failures that stand were told, in these `words`, last
    `at`; `missed`: how many slots were told of.
    """

    failing: bool = False
    words: frozenset[str] = frozenset()
    at: datetime | None = None
    missed: int = 0
    missed_at: datetime | None = None


def of_run(told: Told, run: Run, failures: int, now: datetime) -> tuple[Told, list[Announcement]]:
    """What the end of this run is worth; `failures`: how many have failed in a row, this one included."""
    if run.finished is None or now - run.finished > OLD_NEWS:
        return told, []
    if not run.failed:
        if not told.failing or failures:
            return told, []
        text = f"{_where(run)}: runs well again ({_ident(run)})"
        told = dataclasses.replace(told, failing=False, words=frozenset(), at=now)
        return told, [Announcement("Normal", RECOVERED, text, run.job_uid)]
    if not _worth(told, run.outcome, failures, now):
        return told, []
    event = Announcement("Warning", run.outcome, failure_text(run, failures), run.job_uid)
    return _spoken(told, run.outcome, now), [event]


def of_trouble(told: Told, run: Run, trouble: Trouble, failures: int, now: datetime) -> tuple[Told, list[Announcement]]:
    """What a run that does not get on is worth, by the same rules; it is told once and then counts as told."""
    if trouble.word in told.words or not _worth(told, trouble.word, failures + 1, now):
        return told, []
    text = _sentence(f"{_where(run)}: {trouble.word}, {trouble.text}", ADVICE.get(trouble.word, ""), _ident(run))
    return _spoken(told, trouble.word, now), [Announcement("Warning", trouble.word, text, run.job_uid)]


def of_missed(
    told: Told, where: str, missed: int, last: datetime | None, now: datetime
) -> tuple[Told, list[Announcement]]:
    """What missed slots are worth; `missed`: all of them so far."""
    new = missed - told.missed
    if new <= 0 or last is None or (told.missed_at is not None and now - told.missed_at < QUIET):
        return told, []
    slots = f"slot {timestamp(last)} was missed" if new == 1 else f"{new} slots were missed, the last {timestamp(last)}"
    text = (
        f"{where}: {slots}: nothing started it within startingDeadlineSeconds. Was kube-controller-manager away, "
        "or the run before still going on (Forbid)?"
    )
    event = Announcement("Warning", SLOT_MISSED, text, f"{where} {timestamp(last)}")
    return dataclasses.replace(told, missed=missed, missed_at=now), [event]


def paced(
    news: Sequence[Announcement], spoken: Sequence[datetime], now: datetime
) -> tuple[list[Announcement], tuple[datetime, ...]]:
    """At most ten Events a minute for one app, the last of them saying how many more there were; and when they were."""
    recent = tuple(moment for moment in spoken if now - moment < timedelta(seconds=60))
    room = MAX_PER_MINUTE - len(recent)
    if len(news) <= room:
        return list(news), (*recent, *(now for _ in news))
    if room <= 0:
        return [], recent
    kept = list(news[: room - 1])
    rest = news[room - 1 :]
    names = ", ".join(event.message.split(":")[0] for event in rest[:5])
    names += ", …" if len(rest) > 5 else ""
    text = f"{len(rest)} more things happened to runs of this app ({names}); see its status"
    kept.append(Announcement(rest[0].type, rest[0].reason, text))
    return kept, (*recent, *(now for _ in kept))


def failure_text(run: Run, failures: int) -> str:
    """One failed run in a sentence or three: which, how, what the app said, what to do."""
    how = run.outcome
    if run.attempts > 1 or run.outcome == RETRIES_EXHAUSTED:
        how += f" after {run.attempts} attempt{'' if run.attempts == 1 else 's'}"
    if run.http_status is not None:
        how += f", HTTP {run.http_status}"
    elif run.message:
        how += f", {run.message}"
    if failures > 1:
        how += f", {failures} in a row"
    answer = f'the app said: "{run.excerpt}"' if run.excerpt else ""
    return _sentence(f"{_where(run)}: {how} ({_ident(run)})", answer, ADVICE.get(run.outcome, ""))


def _spoken(told: Told, word: str, now: datetime) -> Told:
    return dataclasses.replace(told, failing=True, words=told.words | {word}, at=now)


def _worth(told: Told, word: str, failures: int, now: datetime) -> bool:
    quiet = told.at is not None and now - told.at < QUIET
    if told.failing and word not in told.words:
        return True
    if not told.failing or failures == 1:  # the latter after a success that nobody saw, or of a trouble that was told
        return not quiet
    return _is_milestone(failures)


def _is_milestone(failures: int) -> bool:
    """3, 10, 30, 100, 300 …"""
    while failures >= 30 and failures % 10 == 0:
        failures //= 10
    return failures in {3, 10}


def _where(run: Run) -> str:
    return f"{run.job}/{run.index}"


def _ident(run: Run) -> str:
    slot = "by hand" if run.slot is None else f"slot {timestamp(run.slot)}"
    return f"{slot}, run {run.run_id}, Job {run.job_name}"


def _sentence(first: str, *more: str) -> str:
    return ". ".join([first, *(part[:1].upper() + part[1:] for part in more if part)])
