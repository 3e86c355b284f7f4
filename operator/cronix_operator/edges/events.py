"""Kubernetes Events on the CronixApp: few, readable, never the same one twice in ten minutes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime

from cronix_operator.core.announce import Announcement
from cronix_operator.core.app import API_VERSION, KIND
from cronix_operator.core.model import Subject
from cronix_operator.core.moments import timestamp
from cronix_operator.edges.api import ApiServer

QUIET_SECONDS = 600.0
MAX_REMEMBERED = 4096
MAX_MESSAGE = 1024


class EventRecorder:
    """Posts Events; what was said within the last ten minutes is not said again (attack C8: Events fill etcd)."""

    def __init__(self, api: ApiServer, instance: str) -> None:
        self._api = api
        self._instance = instance
        self._said: dict[str, float] = {}

    async def post(self, app: Subject, event: Announcement, now: datetime, monotonic: Callable[[], float]) -> None:
        """Post one Event; a refusal is dropped, for an Event is never worth failing a reconcile."""
        about = {"apiVersion": API_VERSION, "kind": KIND, "namespace": app.namespace, "name": app.name, "uid": app.uid}
        await self.post_about(about, event, now, monotonic)

    async def post_about(
        self, about: Mapping[str, str], event: Announcement, now: datetime, monotonic: Callable[[], float]
    ) -> None:
        """The same about any object: `about` is the Event's involvedObject."""
        key = f"{about['uid']} {event.reason} {event.message}"
        if monotonic() - self._said.get(key, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        self._remember(key, monotonic())
        # News with a name of its own gets an Event of that name: told by a process that was killed before it could note
        # that, it is there already, and the API server refuses the second one.
        named = f"{about['uid']} {event.reason} {event.once}" if event.once else f"{key} {now.timestamp()}"
        digest = hashlib.sha256(named.encode()).hexdigest()[:16]
        await self._api.request(
            "POST",
            f"/api/v1/namespaces/{about['namespace']}/events",
            body=self._body(about, event, now, f"{about['name']}.{digest}"),
        )

    def _remember(self, key: str, monotonic: float) -> None:
        self._said.pop(key, None)
        if len(self._said) >= MAX_REMEMBERED:
            del self._said[next(iter(self._said))]  # the one said longest ago
        self._said[key] = monotonic

    def _body(self, about: Mapping[str, str], event: Announcement, now: datetime, name: str) -> dict[str, object]:
        moment = timestamp(now)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about["namespace"]},
            "involvedObject": dict(about),
            "type": event.type,
            "reason": event.reason,
            "message": event.message[:MAX_MESSAGE],
            "source": {"component": "cronix-operator"},
            "reportingComponent": "cronix-operator",
            "reportingInstance": self._instance,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
