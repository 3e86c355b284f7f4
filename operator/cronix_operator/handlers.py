"""kopf lives here only: it watches what people write, the CronixApps; out comes "this app is due"."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

import kopf

from cronix_operator.controller import Controller
from cronix_operator.core import naming
from cronix_operator.core.app import GROUP, PLURAL, VERSION
from cronix_operator.core.model import Limits, Now
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.cluster import KubernetesCluster
from cronix_operator.edges.configmaps import ConfigMaps
from cronix_operator.edges.events import EventRecorder
from cronix_operator.edges.informer import Informer
from cronix_operator.edges.inputs import Inputs
from cronix_operator.edges.metrics import MeasuredSource, Metrics
from cronix_operator.edges.notify import HttpNotifier
from cronix_operator.edges.source import HttpSource
from cronix_operator.notices import Notices
from cronix_operator.pace import Pace
from cronix_operator.probe import Chance
from cronix_operator.reconcile import Ports
from cronix_operator.relist import Relist
from cronix_operator.settings import Settings
from cronix_operator.successes import Successes

logger = logging.getLogger("cronix.operator")

OURS = f"{naming.MANAGED_BY}={naming.MANAGER}"
ANEW_SECONDS = 2.0
STALL_SECONDS = 30.0


def read_clocks() -> Now:
    """The one place where the operator looks at a clock."""
    return Now(datetime.now(UTC), time.monotonic())  # noqa: TID251  # this is the door


class Door:
    """What lives as long as one stretch of serving: the controller with its workers, on a connection that is given."""

    def __init__(self, settings: Settings, api: ApiServer, metrics: Metrics, namespaces: tuple[str, ...]) -> None:
        self._settings = settings
        self._api = api
        self._metrics = metrics
        self._namespaces = namespaces
        self.controller: Controller | None = None
        self._notices: Notices | None = None
        self._watches: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Start the workers. Called inside kopf's event loop."""
        settings = self._settings
        cluster = KubernetesCluster(self._api, lambda: read_clocks().utc)
        limits = Limits(
            signer_image=settings.signer_image,
            signer_image_pull_policy=settings.signer_image_pull_policy,
            max_cron_jobs_per_app=settings.max_cron_jobs_per_app,
            ca_config_map=settings.ca_config_map,
        )
        inputs, source = Inputs(self._api, settings.service_account), HttpSource(settings.denied_addresses)
        events = EventRecorder(self._api, settings.pod_name)
        ports = Ports(
            inputs=inputs,
            source=MeasuredSource(source, self._metrics, time.monotonic),
            cluster=cluster,
            limits=limits,
            time_zones=frozenset(available_timezones()),
            chance=Chance(salt=secrets.token_bytes(32), random_key=lambda: secrets.token_hex(32)),
            pace=Pace(settings.signer_rolls_per_second),
        )
        self._notices = Notices(inputs, HttpNotifier(source), events, read_clocks)
        self.controller = Controller(
            ports,
            cluster,
            events,
            self._metrics,
            self._notices,
            Successes(ConfigMaps(self._api, settings.service_account)),
            now=read_clocks,
            jitter=lambda: random.uniform(-1, 1),  # noqa: S311  # spreads load, keeps no secret
            workers=settings.workers,
            resync_seconds=settings.resync_seconds,
        )
        self._metrics.watch(self.controller.depth, self._last_turn, self.controller.run_samples)
        self.controller.start()
        self._watches = [asyncio.create_task(informer.run()) for informer in self._informers(self.controller)]

    def _informers(self, controller: Controller) -> Iterator[Informer]:
        """What we made is watched without kopf, which takes longer to pass an event on than all of us to handle it."""
        runs = controller.runs
        for namespace in self._namespaces:
            within = f"namespaces/{namespace}/" if namespace else ""
            jobs, pods = f"/apis/batch/v1/{within}jobs", f"/api/v1/{within}pods"
            cron_jobs = f"/apis/batch/v1/{within}cronjobs"
            yield Informer(self._api, cron_jobs, OURS, controller.saw_cron_job, controller.cron_job_went)
            yield Informer(self._api, jobs, OURS, runs.saw_job, runs.job_went)
            yield Informer(self._api, pods, OURS, runs.saw_pod, _pod_went)

    async def close(self) -> None:
        """Stop watching, then the workers."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        if self.controller is not None:
            await self.controller.stop()
        if self._notices is not None:
            await self._notices.stop()
        self._metrics.rest()

    def look_again(self) -> None:
        """A watch began anew with a list."""
        if self.controller is not None:
            self.controller.look_again()

    @property
    def ill(self) -> str:
        """Why this stretch should be ended from outside: its heartbeat has stopped. Empty while all is well."""
        controller = self.controller
        if controller is None or time.monotonic() - controller.last_turn_monotonic < STALL_SECONDS:
            return ""
        return f"the work loop has not turned for {STALL_SECONDS:g} s"

    def _last_turn(self) -> float:
        """In Unix seconds; the loop itself keeps only the clock that is never set."""
        age_seconds = 0.0 if self.controller is None else time.monotonic() - self.controller.last_turn_monotonic
        return read_clocks().utc.timestamp() - age_seconds


class Stretch:
    """Runs kopf over some namespaces, again and again in one process; knows how the present stretch is doing."""

    def __init__(self, settings: Settings, api: ApiServer, metrics: Metrics) -> None:
        self._settings = settings
        self._api = api
        self._metrics = metrics
        self._door: Door | None = None

    @property
    def ill(self) -> str:
        """Why the process should be restarted; empty while all is well."""
        return self._door.ill if self._door is not None else ""

    async def serve(self, namespaces: tuple[str, ...], stop: asyncio.Event) -> bool:
        """Watch and work until `stop` is set (then True) or a signal comes; "" as a namespace is the whole cluster.

        True as well, after a pause, when kopf gave up: for it any error in a watch's stream but 410 is the end.
        """
        registry = kopf.OperatorRegistry()
        self._door = register(registry, self._settings, self._api, self._metrics, namespaces)
        everywhere = "" in namespaces
        asked = broken = False

        @kopf.on.cleanup(registry=registry)
        async def let_go(**_: object) -> None:
            nonlocal asked
            asked = stop.is_set()
            stop.set()  # after a signal kopf would wait 5 s for its own task that waits for this

        try:
            await kopf.operator(
                registry=registry,
                standalone=True,
                # Without it kopf asks the system for a user name, which a container need not have.
                identity=self._settings.pod_name,  # type: ignore[arg-type]  # kopf's NewType of str, which it does not export
                clusterwide=everywhere,
                namespaces=[] if everywhere else list(namespaces),
                stop_flag=stop,
            )
        except Exception:
            logger.exception("watching ended with an error; it begins anew in %g s", ANEW_SECONDS)
            broken = True
        finally:
            self._door = None
            cancel_on_signals()  # kopf has put its own handlers in the place of these
        if broken:
            await asyncio.sleep(ANEW_SECONDS)
        return asked or broken


def cancel_on_signals() -> None:
    """SIGTERM and SIGINT cancel the task that calls this; as process 1 of a container it would not see them else."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None  # noqa: S101  # a coroutine runs in a task
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, me.cancel)


def register(
    registry: kopf.OperatorRegistry,
    settings: Settings,
    api: ApiServer,
    metrics: Metrics,
    namespaces: tuple[str, ...],
) -> Door:
    """Put the handlers of one operator into a kopf registry."""
    door = Door(settings, api, metrics, namespaces)

    @kopf.on.startup(registry=registry)
    async def configure(settings: kopf.OperatorSettings, **_: object) -> None:
        _configure(settings)
        await door.open()

    @kopf.on.cleanup(registry=registry)
    async def clean_up(**_: object) -> None:
        await door.close()

    @kopf.on.login(registry=registry)
    async def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    relist = Relist(door.look_again)

    # kopf logs what a handler raises and never retries it, so a handler only passes the news on.
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def app_event(event: kopf.RawEvent, **_: object) -> None:
        relist.saw(event["type"])
        if door.controller is not None:
            door.controller.saw_app(dict(event["object"]), deleted=event["type"] == "DELETED")

    return door


def _pod_went(_namespace: str, _name: str, _uid: str) -> None:
    """Nothing: what is known of a pod that went still says what became of its run."""


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing and compares nothing: the level decides, not what kopf saw last.

    kopf's own copies each object several times with each event, for a comparison that no handler here asks for.
    """

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: object) -> None:
        """Nothing to store."""


def _configure(settings: kopf.OperatorSettings) -> None:
    settings.peering.standalone = True  # a `default` peering somewhere in the cluster must not freeze us
    settings.scanning.disabled = True  # no right to list CRDs and namespaces needed
    settings.posting.enabled = False  # Events are ours to word, to count and to leave out
    settings.watching.chunk_size = 500
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    # It would kill the process in the middle of the stretch after one that broke; the kubelet's grace ends a long stop.
    settings.process.ultimate_exiting_timeout = None
