"""The operator without kopf and without a cluster: real controller, real corridor, real edges to a server in memory."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, cast

from cronix_operator.controller import Controller
from cronix_operator.core.announce import Announcement
from cronix_operator.core.errors import Denied, ReconcileError, Waiting
from cronix_operator.core.model import App, Endpoint, Fetched, KeyMaterial, Limits, Now, Subject
from cronix_operator.core.runs import Run
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.cluster import KubernetesCluster
from cronix_operator.edges.configmaps import ConfigMaps
from cronix_operator.edges.inputs import Inputs
from cronix_operator.edges.metrics import MeasuredSource, Metrics
from cronix_operator.notices import Notices
from cronix_operator.pace import Pace
from cronix_operator.probe import Chance
from cronix_operator.reconcile import Ports
from cronix_operator.successes import Successes
from operator_fakes.builders import LIMITS, NAMESPACE, ZONES, app_body, at
from operator_fakes.memory_api import MemoryApi, Object

ROLLS_PER_SECOND = 5
KEY = "canary-key-0123456789abcdef0123456789abcdef"
RANDOM_KEY = "nobody-has-this-key-0123456789abcdef"
GONE = Waiting("FetchFailed", "fetching http://billing.shop.svc:8080/: connection refused")


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """An async test under its own name, in a loop of its own."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class Site:
    """What the app answers to a fetch: bytes with `etag`, or the fault that asking gives. `fetched` counts.

    `accepts`: the keys it verifies with; it refuses all others as the SDK does. `refused`: how often it did. `signed`:
    the key of each request, in order. `compared`: the ETag that each carried; where it is `etag`, the answer is 304.
    """

    def __init__(self) -> None:
        self.answer: bytes | ReconcileError | Exception = GONE
        self.etag: str | None = None
        self.accepts = {KEY}
        self.fetched = 0
        self.refused = 0
        self.signed: list[str] = []
        self.compared: list[str | None] = []

    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched:
        key = material.keys[0][1]
        self.signed.append(key)
        if isinstance(self.answer, bytes) and key not in self.accepts:
            self.refused += 1
            raise Denied("SignatureRefused", "the app's key is not the one in spec.signing", names_key=True)
        self.fetched += 1
        self.compared.append(etag)
        if isinstance(self.answer, bytes):
            return Fetched(None if etag is not None and etag == self.etag else self.answer, self.etag)
        raise self.answer


class Events:
    """Remembers Events instead of posting them."""

    def __init__(self) -> None:
        self.seen: list[Announcement] = []

    async def post(self, app: Subject, event: Announcement, now: datetime, monotonic: Callable[[], float]) -> None:
        self.seen.append(event)

    def reasons(self) -> list[str]:
        return [event.reason for event in self.seen]


class PostOffice:
    """Takes notices; `faults` are raised first, one for each try. `pauses` were asked for between tries."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.tries = 0
        self.faults: list[Exception] = []
        self.pauses: list[float] = []

    async def deliver(self, app: App, body: bytes, material: KeyMaterial, timestamp: int) -> None:
        self.tries += 1
        if self.faults:
            raise self.faults.pop(0)
        self.taken.append(body)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


class Counting(Metrics):
    """Metrics that remember which runs they were told of; `runs` outlives the process."""

    def __init__(self, runs: list[Run]) -> None:
        super().__init__()
        self.told = runs

    def ran(self, subject: Subject, run: Run) -> None:
        self.told.append(run)
        super().ran(subject, run)


class World:
    """One operator. `walk` does what a worker does with one app; time moves only by `wait`."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.seconds = 0.0
        self.api = MemoryApi()
        self.site = Site()
        self.events = Events()
        self.office = PostOffice()
        self.limits = limits
        self.crashes: list[Exception] = []
        self.marked: list[Run] = []
        secret = base64.b64encode(KEY.encode()).decode()
        self.api.put("secrets", NAMESPACE, "keys", data={"current": secret})
        ports = [{"port": 8080, "name": "http", "protocol": "TCP"}]
        self.api.put("services", NAMESPACE, "billing", spec={"clusterIP": "10.96.0.9", "ports": ports})
        self.restart()

    def restart(self) -> None:
        """Another process, which knows only what the API server has."""
        api = cast("ApiServer", self.api)
        cluster = KubernetesCluster(api, lambda: self.now().utc)
        inputs = Inputs(api, "cronix-system:cronix-operator")
        self.metrics = Counting(self.marked)
        source = MeasuredSource(self.site, self.metrics, lambda: self.now().monotonic)
        self.notices = Notices(inputs, self.office, self.events, self.now, self.office.sleep)
        self.controller = Controller(
            Ports(
                inputs,
                source,
                cluster,
                self.limits,
                ZONES,
                Chance(b"salt", lambda: RANDOM_KEY),
                Pace(ROLLS_PER_SECOND),
            ),
            cluster,
            self.events,
            self.metrics,
            self.notices,
            Successes(ConfigMaps(api, "cronix-system:cronix-operator")),
            now=self.now,
            jitter=lambda: 0.0,
            workers=1,
            resync_seconds=600.0,
        )
        self.metrics.watch(self.controller.depth, lambda: 0.0, self.controller.run_samples)

    @property
    def ended(self) -> list[Run]:
        """The runs that were counted: those that status speaks of, and those that the present process has in memory."""
        return [*self.marked, *(run for runs in self.controller.runs._book._unmarked.values() for run in runs)]

    def now(self) -> Now:
        return at(self.seconds)

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def apply(self, name: str = "billing", *, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        """`kubectl apply` of a CronixApp, and the watch event of it."""
        before = self.api.objects.get(("cronixapps", NAMESPACE, name))
        generation = 1 if before is None else before["metadata"]["generation"] + 1
        body = app_body(name, annotations=annotations, generation=generation, **spec)
        if before is not None:
            body["status"] = before.get("status", {})
            body["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        self.api.objects["cronixapps", NAMESPACE, name] = body
        body["metadata"].setdefault("resourceVersion", "0")
        self.watch(name)

    def watch(self, name: str = "billing") -> None:
        """The watch delivers the CronixApp as it is."""
        self.controller.saw_app(self.api.objects["cronixapps", NAMESPACE, name], deleted=False)

    async def walk(self, name: str = "billing") -> None:
        """One turn of a worker for this app, due or not."""
        key = (NAMESPACE, name)
        self.controller._queue.forget(key)
        try:
            await self.controller._process(key)
        except Exception as exc:  # as the worker does
            self.crashes.append(exc)
            self.controller._queue.add(key, self.controller._backoff(key))

    def due_in(self, name: str = "billing") -> float:
        """Seconds until the next walk that the last one asked for."""
        return self.controller._queue._due[NAMESPACE, name] - self.now().monotonic

    async def until_due(self, name: str = "billing") -> float:
        """Wait until the next walk is due and do it; returns the seconds waited."""
        waited = self.due_in(name)
        self.wait(waited)
        await self.walk(name)
        return waited

    def status(self, name: str = "billing") -> Object:
        status: Object = self.api.objects["cronixapps", NAMESPACE, name].get("status", {})
        return status

    def condition(self, kind: str, name: str = "billing") -> Object:
        """A condition by its type; {} while it is not there."""
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == kind), {})

    def writes(self, plural: str = "") -> list[tuple[str, str]]:
        """Writes so far, of one kind of object; `clear_writes` starts a new count."""
        return [write for write in self.api.writes if plural in write[1]]

    def clear_writes(self) -> None:
        self.api.writes.clear()

    def names(self) -> set[str]:
        return set(self.api.cron_jobs())

    def limited(self, **limits: Any) -> None:
        """Restart with other limits."""
        self.limits = dataclasses.replace(self.limits, **limits)
        self.restart()
