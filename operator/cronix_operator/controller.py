"""Which app is due, one walk at a time per app, and what to write down afterwards; holds what is known of each.

Every trigger (a changed CronixApp, a changed CronJob, a timer) means only "this app is due": the walk reads the level.
A failure of one app, of whatever kind, ends in that app's condition and leaves the others alone (promise 7).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cronix_operator.core.announce import Announcement
from cronix_operator.core.app import parse_app
from cronix_operator.core.defaults import with_defaults
from cronix_operator.core.errors import Outdated, ReconcileError, Stalled, Waiting
from cronix_operator.core.keynews import key_news
from cronix_operator.core.memory import Memory
from cronix_operator.core.model import App, Done, KubeObject, Now, Subject
from cronix_operator.core.outcome import Outcome
from cronix_operator.core.samples import Sample, log_samples
from cronix_operator.core.settle import Answer, after_attempt, asks
from cronix_operator.ports import EventPort, Key, MetricsPort, NoticePort, StatusPort
from cronix_operator.reconcile import Ports, ask, reconcile
from cronix_operator.runwatch import RunWatch
from cronix_operator.seats import Seats
from cronix_operator.successes import Successes
from cronix_operator.teller import Teller
from cronix_operator.tenants import Tenant, asked_of, new_tenant, owners_of
from cronix_operator.touchup import TouchUps
from cronix_operator.workqueue import WorkQueue

logger = logging.getLogger("cronix.operator")

FIRST_BACKOFF_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 600.0


class Controller:
    """Feeds due apps to the corridor. Call `start` once inside the event loop, `stop` at the end."""

    def __init__(
        self,
        ports: Ports,
        status: StatusPort,
        events: EventPort,
        metrics: MetricsPort,
        notices: NoticePort,
        successes: Successes,
        *,
        now: Callable[[], Now],
        jitter: Callable[[], float],
        workers: int,
        resync_seconds: float,
    ) -> None:
        self._ports = ports
        self._metrics = metrics
        self._notices = notices
        self._now = now
        self._jitter = jitter
        self._resync_seconds = resync_seconds
        self._tenants: dict[Key, Tenant] = {}
        self._queue: WorkQueue[Key] = WorkQueue(lambda: now().monotonic, metrics.taken)
        self._tasks: list[asyncio.Task[None]] = []
        self._attending: set[asyncio.Task[None]] = set()
        self._seats = Seats(workers)
        self.runs = RunWatch(self, events, successes, metrics, now)
        self._teller = Teller(status, events, metrics, self.runs, now)
        self._touch_ups = TouchUps(self, ports, now, workers)
        self.last_turn_monotonic = now().monotonic

    def start(self) -> None:
        """Start the dispatcher and the heartbeat that the liveness probe looks at."""
        self._tasks = [asyncio.create_task(self._dispatch(), name="dispatch")]
        self._tasks.append(asyncio.create_task(self._beat(), name="heartbeat"))
        self._touch_ups.start()
        self.runs.start()

    async def stop(self) -> None:
        """Cancel everything; a walk that is cut short is repeated by the next start. Runs counted are written down."""
        await self.runs.stop()
        await self._touch_ups.stop()
        tasks = [*self._tasks, *self._attending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._teller.write_down_runs(key, tenant) for key, tenant in self._tenants.items()))

    def depth(self) -> int:
        """How many apps are due and wait for a seat."""
        return self._queue.depth() + self._seats.waiting

    def run_samples(self) -> Iterator[Sample]:
        """The gauges that speak of runs, of all apps, as of now."""
        for key, tenant in self._tenants.items():
            for origin, log in self.runs.told(tenant.subject):
                yield from log_samples((*key, origin.job, str(origin.index)), log)

    def saw_app(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """A CronixApp appeared, changed or went. When it goes, garbage collection takes its CronJobs."""
        meta = body["metadata"]
        key = (meta["namespace"], meta["name"])
        tenant = self._tenants.get(key)
        if deleted or meta.get("deletionTimestamp"):
            self._drop(key)
            return
        if tenant is None or tenant.body["metadata"]["uid"] != meta["uid"]:
            self._tenants[key] = new_tenant(body)
            self._metrics.meet(key)
            self._queue.add(key)
            self.runs.saw_app(key)
            return
        changed = asked_of(tenant.body) != asked_of(body)
        tenant.body = body
        if changed:
            tenant.failures = 0
            self._queue.add(key)

    def look_again(self) -> None:
        """Something may have gone unseen: every app is due."""
        for key in self._tenants:
            self._queue.add(key)

    def _drop(self, key: Key) -> None:
        tenant = self._tenants.pop(key, None)
        self._queue.forget(key)
        self._touch_ups.forget(key)
        self._metrics.forget(key)
        if tenant is not None:
            self.runs.forget(key, tenant.subject.uid)

    def tenant(self, key: Key) -> Tenant | None:
        """An app as last seen; None when it is gone."""
        return self._tenants.get(key)

    def subject(self, key: Key) -> Subject | None:
        """Who an app is; None when it is gone."""
        tenant = self._tenants.get(key)
        return None if tenant is None else tenant.subject

    def status_rows(self, key: Key) -> object:
        """The rows of an app's status as last written."""
        tenant = self._tenants.get(key)
        return None if tenant is None else tenant.status.get("jobs")

    def runs_moved(self, key: Key, *, urgent: bool) -> None:
        """Runs have ended or do not get on: a condition at once, rows at most every ten seconds."""
        tenant = self._tenants.get(key)
        if tenant is not None:
            self._queue.add(key, 0.0 if urgent else tenant.pause(self._now().monotonic))

    def notify(self, key: Key, event: Announcement) -> None:
        """A run's Event, for the URL that the app names; while its spec cannot be read it names none."""
        tenant = self._tenants.get(key)
        if tenant is None:
            return
        try:
            self._notices.tell(parse_app(tenant.body), event)
        except Stalled:
            return

    def walk_in(self, key: Key, delay_seconds: float) -> None:
        """Make an app due in so many seconds, if it is still there."""
        if key in self._tenants:
            self._queue.add(key, delay_seconds)

    def rows_moved(self, key: Key) -> None:
        """A run has started, or Kubernetes wrote the status of a CronJob: due later, or with what comes before."""
        tenant = self._tenants.get(key)
        if tenant is not None:
            self._queue.add(key, tenant.pause_of_start(self._now().monotonic))

    async def put_right(self, app: App, results: Sequence[Done]) -> None:
        """Single CronJobs were put right without a walk: say so."""
        await self._teller.put_right(app, results)

    def saw_cron_job(self, body: KubeObject, *, deleted: bool) -> None:
        """A CronJob with our label changed or went."""
        self.runs.saw_cron_job(body, deleted=deleted)
        for key in owners_of(body, self._tenants):
            if deleted:
                self._queue.add(key)
            else:
                self._touch_ups.saw(key, self._tenants[key], body)

    def cron_job_went(self, namespace: str, name: str, uid: str) -> None:
        """A CronJob with our label is gone, and no watch saw it go."""
        self.saw_cron_job({"metadata": {"namespace": namespace, "name": name, "uid": uid}}, deleted=True)

    async def _beat(self) -> None:
        while True:
            self.last_turn_monotonic = self._now().monotonic
            await asyncio.sleep(1)

    async def _dispatch(self) -> None:
        """A task of its own for each due app: what one waits for, be it for a minute, no other waits for."""
        while True:
            key = await self._queue.get()
            task = asyncio.create_task(self._attend(key))
            self._attending.add(task)
            task.add_done_callback(self._attending.discard)

    async def _attend(self, key: Key) -> None:
        start = self._now().monotonic
        result: str | None = "InternalError"
        try:
            result = await self._process(key)
        except Exception:  # promise 7: whatever one app provokes, the others go on
            logger.exception("walk failed", extra={"namespace": key[0], "app": key[1]})
            self._queue.add(key, self._backoff(key))
        finally:
            self._queue.done(key)
            if result is not None:
                self._metrics.reconciled(result, self._now().monotonic - start)

    def _backoff(self, key: Key) -> float:
        tenant = self._tenants.get(key)
        failures = 0
        if tenant is not None:
            failures, tenant.failures = tenant.failures, tenant.failures + 1
        return float(min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(failures, 16)))

    async def _process(self, key: Key) -> str | None:
        """Ready's reason after one walk, or None when the app was gone before the end."""
        tenant = self._tenants.get(key)
        if tenant is None:
            return None
        try:
            app = with_defaults(parse_app(tenant.body), self._ports.limits)
        except Stalled as exc:
            await self._teller.refuse(key, tenant, exc)
            return exc.reason
        asked = await self._ask(app, tenant.memory)
        async with self._seats.walking(tenant.memory), self._touch_ups.alone(key, tenant):
            answer, outcome, memory = await self._walk(app, tenant.memory, asked)
            if isinstance(outcome, Outdated):
                self.saw_app(outcome.body, deleted=False)  # the watch will say the same, in a moment
                return None
            tenant.memory = after_attempt(app, memory, answer, self._now(), self._jitter())
            if self._tenants.get(key) is not tenant:
                return None
            told = await self._teller.walked(app, tenant, outcome, key_news(memory.rotation, tenant.memory.rotation))
        if self._tenants.get(key) is not tenant:
            return None
        if told is None:
            # Gone, and no watch said so (kopf tells no deletion that fell into a gap of the watch): without this the
            # next walk would make CronJobs for an owner that is dead.
            self._drop(key)
            return None
        if told.again_seconds is not None:
            self._queue.add(key, told.again_seconds)
        self._queue.add(key, self._next_look(app, tenant, outcome, answer))
        return told.reason

    async def _ask(self, app: App, memory: Memory) -> Answer | ReconcileError:
        if not asks(app, memory, self._now()):
            return Answer()
        async with self._seats.asking(app, memory):
            try:
                return await ask(app, memory, self._now(), self._ports)
            except Exception as exc:  # noqa: BLE001  # logged and told by _failure
                return _failure(app, exc)

    async def _walk(
        self, app: App, memory: Memory, asked: Answer | ReconcileError
    ) -> tuple[Answer, Outcome | ReconcileError, Memory]:
        if isinstance(asked, ReconcileError):
            return Answer(), asked, memory
        try:
            # The clock is read after the waiting: a slot that passed meanwhile is a past one, too.
            return asked, *await reconcile(app, memory, asked, self._now(), self._ports)
        except Exception as exc:  # noqa: BLE001  # logged and told by _failure
            return asked, _failure(app, exc), memory

    def _next_look(self, app: App, tenant: Tenant, outcome: Outcome | ReconcileError, answer: Answer) -> float:
        now = self._now().monotonic
        waits = [self._resync_seconds]
        if not (app.suspend and tenant.memory.good is not None):
            waits.append(max(0.0, tenant.memory.next_fetch_monotonic - now))
        if isinstance(outcome, Outcome):
            tenant.failures = 0
            if outcome.retry_after_seconds is not None:
                waits.append(outcome.retry_after_seconds)
        elif not answer.asked or outcome is not answer.fault:
            waits.append(self._backoff(app.key))  # the API server refused a step, not the source
        return max(0.1, min(waits))


def _failure(app: App, exc: Exception) -> ReconcileError:
    """What ended a walk; a fault of ours is told in this app's condition, and the others go on (promise 7)."""
    if isinstance(exc, ReconcileError):
        return exc
    logger.error("unexpected failure", exc_info=exc, extra={"namespace": app.namespace, "app": app.name})
    return Waiting("InternalError", f"the operator failed on this app ({type(exc).__name__}); its log has the details")
