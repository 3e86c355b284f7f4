"""From what the watches say of runs to what is counted, said and due: one worker beside the corridor, never in it.

A walk fetches, compares and writes; news of a run must not wait for one. So runs have a queue of their own: a look is
pure and quick, posts its Events, and asks for a status write where there is something to show.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from cronix_operator.core.announce import Announcement
from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.model import KubeObject, Now, Subject
from cronix_operator.core.outcome import Outcome
from cronix_operator.core.runlog import Log
from cronix_operator.core.runs import Origin, Run
from cronix_operator.ports import EventPort, Host, Key, MetricsPort
from cronix_operator.runbook import RunBook
from cronix_operator.saying import say
from cronix_operator.successes import Successes
from cronix_operator.workqueue import WorkQueue

logger = logging.getLogger("cronix.operator")

GATHER_SECONDS = 0.5  # the events of one moment become one look
WORKERS = 2
Walked: TypeAlias = Outcome | ReconcileError


class RunWatch:
    """Feed it events, and tell it which runs are in the status that was written. Start it inside the loop."""

    def __init__(
        self,
        host: Host,
        events: EventPort,
        successes: Successes,
        metrics: MetricsPort,
        now: Callable[[], Now],
    ) -> None:
        self._host = host
        self._events = events
        self._successes = successes
        self._now = now
        self._metrics = metrics
        self._book = RunBook()
        self._queue: WorkQueue[Key] = WorkQueue(lambda: now().monotonic)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._work(), name=f"runs-{n}") for n in range(WORKERS)]

    async def stop(self) -> None:
        """Cancel the workers; what they had not counted yet, the next process counts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def saw_cron_job(self, body: KubeObject, *, deleted: bool) -> None:
        """A CronJob with our label changed."""
        self._due(self._book.saw_cron_job(body, deleted=deleted))

    def saw_job(self, body: KubeObject, *, deleted: bool) -> None:
        """A Job with our label changed."""
        self._due(self._book.saw_job(body, self._now().utc, deleted=deleted))

    def job_went(self, namespace: str, _name: str, uid: str) -> None:
        """A Job with our label is gone, and no watch saw it go."""
        self._due(self._book.job_went(namespace, uid, self._now().utc))

    def saw_pod(self, body: KubeObject, *, deleted: bool) -> None:
        """A pod with our label changed."""
        self._due(self._book.saw_pod(body, deleted=deleted))

    def saw_app(self, key: Key) -> None:
        """A CronixApp appeared; its CronJobs and their Jobs may have been seen before it."""
        self._due(key)

    def forget(self, key: Key, uid: str) -> None:
        """A CronixApp went."""
        self._queue.forget(key)
        self._book.forget_app(key[0], uid)
        self._successes.forget(uid)

    def walked(self, subject: Subject, outcome: Walked, status: Mapping[str, Any]) -> Walked:
        """What a walk came to, with what is to be told of the ConfigMap of successes; `status`: as last written."""
        if not isinstance(outcome, Outcome):
            return outcome
        told, left = self._successes.walked(subject, outcome, status)
        if left:
            self._due((subject.namespace, subject.name))
        return told

    def logs(self, subject: Subject) -> dict[str, Log]:
        """What is known of an app's runs, by UID of their CronJob."""
        return self._book.logs(subject.namespace, subject.uid)

    def unmarked(self, subject: Subject) -> tuple[Run, ...]:
        """The runs of which a status that is made now will be the first to speak."""
        return self._book.unmarked(subject.namespace, subject.uid)

    def marked(self, subject: Subject, runs: tuple[Run, ...]) -> None:
        """That status was written. Only now the counters have them too: they never know of a run that, after a kill, is
        counted again."""
        self._book.marked(subject.namespace, subject.uid, runs)
        for run in runs:
            self._metrics.ran(subject, run)

    def told(self, subject: Subject) -> Iterator[tuple[Origin, Log]]:
        """What is known of an app's runs, with the job and schedule that they are of."""
        return self._book.told(subject.namespace, subject.uid)

    def _due(self, key: Key | None) -> None:
        if key is not None:
            self._queue.add(key, GATHER_SECONDS)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self.look(key)
            except Exception:  # promise 7: whatever one app's runs provoke, the worker lives on
                logger.exception("look at runs failed", extra={"namespace": key[0], "app": key[1]})
            finally:
                self._queue.done(key)

    async def look(self, key: Key) -> None:
        """Count what has ended, say what is worth saying, and see when to look again."""
        subject = self._host.subject(key)
        if subject is None:
            return
        now = self._now()
        look = self._book.look(key[0], subject.uid, self._host.status_rows(key), now.utc)
        for origin, totals in look.began:
            self._metrics.began(subject, origin, totals)
        if look.moved or look.urgent:
            self._host.runs_moved(key, urgent=look.urgent)
        elif look.started:
            self._host.rows_moved(key)
        if look.again is not None:
            self._queue.add(key, max(GATHER_SECONDS, (look.again - now.utc).total_seconds()))
        for event in look.news:
            await self._say(subject, event)
        await self._keep_successes(key, subject, now.monotonic)

    async def _keep_successes(self, key: Key, subject: Subject, now: float) -> None:
        again, moved = await self._successes.keep(subject, self._book.mounted(key[0], subject.uid), now)
        if moved:
            self._host.runs_moved(key, urgent=True)
        if again is not None:
            self._queue.add(key, max(GATHER_SECONDS, again))

    async def _say(self, subject: Subject, event: Announcement) -> None:
        self._host.notify((subject.namespace, subject.name), event)
        try:
            await say(self._events, subject, event, self._now)
        except ReconcileError as exc:  # an Event is never worth more than one try
            extra = {"namespace": subject.namespace, "app": subject.name, "reason": event.reason}
            logger.warning("Event not posted: %s", exc.message, extra=extra)
