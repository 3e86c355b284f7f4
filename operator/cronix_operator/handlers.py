"""kopf lives here only: three watches in, "this app is due" out."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
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
from cronix_operator.edges.events import EventRecorder
from cronix_operator.edges.health import HealthServer
from cronix_operator.edges.inputs import Inputs
from cronix_operator.edges.source import HttpSource
from cronix_operator.reconcile import Ports
from cronix_operator.settings import Settings

logger = logging.getLogger("cronix.operator")

STALL_SECONDS = 30.0


def read_clocks() -> Now:
    """The one place where the operator looks at a clock."""
    return Now(datetime.now(UTC), time.monotonic())  # noqa: TID251  # this is the door


class Door:
    """Everything that lives as long as the operator: the API connection, the controller, the health endpoint."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api = ApiServer(settings.kubeconfig)
        self._health: HealthServer | None = None
        self.controller: Controller | None = None

    async def open(self) -> None:
        """Connect and start the workers. Called inside kopf's event loop."""
        await self._api.__aenter__()
        settings = self._settings
        cluster = KubernetesCluster(self._api, lambda: read_clocks().utc)
        limits = Limits(
            signer_image=settings.signer_image,
            signer_image_pull_policy=settings.signer_image_pull_policy,
            max_cron_jobs_per_app=settings.max_cron_jobs_per_app,
        )
        ports = Ports(
            inputs=Inputs(self._api, settings.service_account),
            source=HttpSource(settings.denied_addresses),
            cluster=cluster,
            limits=limits,
            time_zones=frozenset(available_timezones()),
        )
        self.controller = Controller(
            ports,
            cluster,
            EventRecorder(self._api, settings.pod_name),
            now=read_clocks,
            jitter=lambda: random.uniform(-1, 1),  # noqa: S311  # spreads load, keeps no secret
            workers=settings.workers,
            resync_seconds=settings.resync_seconds,
        )
        self.controller.start()
        self._health = HealthServer(settings.health_port, self._is_turning)
        await self._health.start()

    async def close(self) -> None:
        """Stop in reverse order."""
        if self._health is not None:
            await self._health.stop()
        if self.controller is not None:
            await self.controller.stop()
        await self._api.__aexit__()

    def _is_turning(self) -> bool:
        controller = self.controller
        return controller is not None and time.monotonic() - controller.last_turn_monotonic < STALL_SECONDS


def register(registry: kopf.OperatorRegistry, settings: Settings) -> Door:
    """Put the handlers of one operator into a kopf registry."""
    door = Door(settings)

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

    # kopf logs what a handler raises and never retries it, so a handler only passes the news on.
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def app_event(event: kopf.RawEvent, **_: object) -> None:
        if door.controller is not None:
            door.controller.saw_app(_plain(event["object"]), deleted=event["type"] == "DELETED")

    @kopf.on.event("batch", "v1", "cronjobs", registry=registry)
    async def cron_job_event(event: kopf.RawEvent, **_: object) -> None:
        if door.controller is not None:
            door.controller.saw_cron_job(_plain(event["object"]), deleted=event["type"] == "DELETED")

    return door


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    return dict(body)


def _configure(settings: kopf.OperatorSettings) -> None:
    settings.peering.standalone = True  # a `default` peering somewhere in the cluster must not freeze us
    settings.scanning.disabled = True  # no right to list CRDs and namespaces needed
    settings.posting.enabled = False  # Events are ours to word, to count and to leave out
    settings.watching.label_selectors["cronjobs.v1.batch"] = f"{naming.MANAGED_BY}={naming.MANAGER}"
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.process.ultimate_exiting_timeout = 25
