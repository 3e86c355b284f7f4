"""What the controller and what watches runs need of the world around them, as shapes; no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from cronix_operator.core.announce import Announcement
from cronix_operator.core.model import App, KeyMaterial, KubeObject, Subject
from cronix_operator.core.previous import Verb
from cronix_operator.core.runs import Run
from cronix_operator.core.samples import Sample

Key: TypeAlias = tuple[str, str]  # namespace and name of a CronixApp
RunEnded: TypeAlias = Callable[[Subject, Run], None]  # called once for each run, when it is counted


class JobPort(Protocol):
    async def job(self, namespace: str, name: str) -> KubeObject | None: ...


class StatusPort(JobPort, Protocol):
    async def patch_status(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool: ...


class ConfigMapPort(Protocol):
    async def config_map(self, app: Subject, name: str) -> KubeObject | None: ...
    async def write_config_map(self, app: Subject, verb: Verb, body: KubeObject) -> bool: ...


class EventPort(Protocol):
    async def post(self, app: Subject, event: Announcement, now: datetime, monotonic: Callable[[], float]) -> None: ...


class MetricsPort(Protocol):
    def meet(self, key: Key) -> None: ...
    def forget(self, key: Key) -> None: ...
    def set_app(self, key: Key, samples: Iterable[Sample]) -> None: ...
    def set_jobs(self, key: Key, samples: Iterable[Sample]) -> None: ...
    def reconciled(self, result: str, seconds: float) -> None: ...
    def wrote(self, key: Key, corrected: int, pruned: int) -> None: ...
    def taken(self, lag_seconds: float) -> None: ...


class MaterialPort(Protocol):
    async def material(self, app: App, refs: Sequence[str]) -> KeyMaterial: ...


class DeliverPort(Protocol):
    async def deliver(self, app: App, body: bytes, material: KeyMaterial, timestamp: int) -> None: ...


class NoticePort(Protocol):
    def tell(self, app: App, event: Announcement) -> None: ...


class Host(Protocol):
    """The controller, from where runs are watched: who an app is, when its status is due, whom else to tell."""

    def subject(self, key: Key) -> Subject | None: ...
    def status_rows(self, key: Key) -> object: ...
    def runs_moved(self, key: Key, *, urgent: bool) -> None: ...
    def notify(self, key: Key, event: Announcement) -> None: ...
