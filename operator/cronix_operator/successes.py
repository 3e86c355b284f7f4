"""Keeps each CronixApp's ConfigMap of last successes as it should be; beside the corridor, where runs are watched.

What it should hold comes from the logs of runs, so it goes on while the manifest cannot be read or the spec makes no
sense. If the process dies between two steps, the next one finds in status that there is a ConfigMap, and in the logs
what belongs into it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from cronix_operator.core.errors import ReconcileError, Stalled
from cronix_operator.core.model import KubeObject, Subject
from cronix_operator.core.outcome import Outcome
from cronix_operator.core.previous import (
    Mounted,
    Verb,
    config_map,
    config_map_name,
    data_of,
    mounts_success,
    newest_times,
    owned,
    replaced,
)
from cronix_operator.ports import ConfigMapPort

logger = logging.getLogger("cronix.operator")

CONDITION = "PreviousSuccessUnknown"
COALESCE_SECONDS = 10.0
RETRY_SECONDS = 30.0
LOOK_SECONDS = 300.0  # nobody watches ConfigMaps: what others did to ours is put right then, or with the next success


@dataclasses.dataclass(slots=True)
class _State:
    """`told`: status says that there is a ConfigMap. `wanted`: the jobs that ask, by the last walk; None before it.

    `seen`: whether `data` is what was last read or written (None: it is not there). `looked` and `wrote`: when, in
    monotonic seconds. `fault`: what keeps us from writing.
    """

    told: bool = False
    wanted: frozenset[str] | None = None
    seen: bool = False
    data: Mapping[str, str] | None = None
    looked: float = float("-inf")
    wrote: float = float("-inf")
    fault: tuple[str, str] | None = None

    @property
    def there(self) -> bool:
        return self.data is not None if self.seen else self.told

    def asked(self, mounted: Mounted) -> dict[str, str] | None:
        """The data to have; None: no ConfigMap."""
        if mounted.times:
            return newest_times(self.data or {}, mounted, self.wanted)
        return None if self.wanted == frozenset() else dict(self.data or {})

    def wait(self, mounted: Mounted, now: float) -> float | None:
        """In how many seconds there is something to do; None when there is not."""
        if not mounted.times and not (self.there and self.wanted == frozenset()):
            return None
        if self.fault is not None:
            return max(0.0, self.looked + RETRY_SECONDS - now)
        if self.seen and self.asked(mounted) == self.data:
            return max(0.0, self.looked + LOOK_SECONDS - now)
        return max(0.0, self.wrote + COALESCE_SECONDS - now)


class Successes:
    """`walked` after each walk, `keep` after each look at an app's runs."""

    def __init__(self, port: ConfigMapPort) -> None:
        self._port = port
        self._states: dict[str, _State] = {}

    def forget(self, uid: str) -> None:
        """The CronixApp is gone; garbage collection takes its ConfigMap."""
        self._states.pop(uid, None)

    def walked(self, app: Subject, outcome: Outcome, status: Mapping[str, Any]) -> tuple[Outcome, bool]:
        """The outcome with what there is to tell, and whether `keep` has something to do; `status`: as last written."""
        state = self._states.setdefault(app.uid, _State())
        state.wanted = frozenset(want.job for want, _ in outcome.in_step if mounts_success(want.body))
        state.told = bool(status.get("previousSuccessConfigMap"))
        warnings = {} if state.fault is None else {CONDITION: state.fault}
        name = config_map_name(app.name) if state.there else ""
        told = dataclasses.replace(outcome, success_config_map=name, warnings={**outcome.warnings, **warnings})
        return told, state.there and not state.wanted

    async def keep(self, app: Subject, mounted: Mounted, now: float) -> tuple[float | None, bool]:
        """One look: when to look again (None: at the next news), and whether status has something new to tell."""
        state = self._states.setdefault(app.uid, _State())
        before = (state.there, state.fault)
        if state.fault is not None and not mounted.times and not state.there:
            state.fault = None  # nobody asks any more
        wait = state.wait(mounted, now)
        if wait == 0:
            try:
                state.fault = await self._put_right(app, state, mounted, now)
            except Stalled as exc:
                state.fault = (exc.reason, exc.message)
            except ReconcileError as exc:
                logger.warning(exc.message, extra={"namespace": app.namespace, "app": app.name})
                state.looked = state.wrote = now
            wait = state.wait(mounted, now)
        return wait, before != (state.there, state.fault)

    async def _put_right(self, app: Subject, state: _State, mounted: Mounted, now: float) -> tuple[str, str] | None:
        """Look, and write at most once; what keeps us from it, None where nothing does."""
        state.looked = now
        live = await self._port.config_map(app, config_map_name(app.name))
        foreign = live is not None and not owned(live, app.uid)
        state.seen, state.data = True, None if live is None or foreign else data_of(live)
        asked = state.asked(mounted)
        if foreign or (live is None and asked is None):
            return _taken(config_map_name(app.name)) if asked is not None else None
        verb: Verb
        body: KubeObject | None
        if asked is None:
            verb, body = "delete", live
        else:
            want = config_map(app, mounted.app, asked)
            verb, body = ("create", want) if live is None else ("update", replaced(live, want))
        if body is None:
            return None
        # If the process dies here, the next one reads what is there and finds the same to do, or nothing.
        if not await self._port.write_config_map(app, verb, body):
            state.wrote = now - COALESCE_SECONDS + 1
            return state.fault
        state.wrote, state.data = now, asked
        return None


def _taken(name: str) -> tuple[str, str]:
    text = (
        f"there is a ConfigMap {name} that is not this CronixApp's; it is left alone, and what runs read there is not "
        f"our word. Remove it: kubectl delete configmap {name}"
    )
    return "NameConflict", text
