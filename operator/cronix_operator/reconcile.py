"""The corridor: fetch → parse → render → observe → diff → execute → summarize. One direction; every step a function.

Nothing here decides: the core does. Nothing here speaks to the world: the edges do. A step that raises ReconcileError
ends the walk; nothing after it has run, so no failure on the way can delete a CronJob.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Hashable
from typing import Protocol

from cronix_operator.core import rollout
from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.memory import Good, Memory
from cronix_operator.core.model import (
    App,
    ConfigMapSource,
    Done,
    Endpoint,
    InlineSource,
    KubeObject,
    Limits,
    Now,
    Plan,
    ServiceSource,
)
from cronix_operator.core.outcome import Outcome, conclude, remember
from cronix_operator.core.plan import Ground, Redecide, absent_names, decide, diff, owned_by
from cronix_operator.core.prune import judge, note_absent
from cronix_operator.core.render import render
from cronix_operator.core.restore import restore
from cronix_operator.core.rotation import Rotation, preferred
from cronix_operator.core.settle import Answer, accept, asks, rotation_after, settle
from cronix_operator.core.touchup import Seen, after_repair, only, repair
from cronix_operator.probe import Chance, KeyPort, SourcePort, look


class InputsPort(KeyPort, Protocol):
    async def endpoint(self, app: App) -> Endpoint | None: ...
    async def config_map_document(self, app: App, source: ConfigMapSource) -> bytes: ...


class ClusterPort(Protocol):
    async def observe(self, app: App) -> list[KubeObject]: ...
    async def execute(self, app: App, plan: Plan, redecide: Redecide) -> list[Done]: ...


class PacePort(Protocol):
    def take(self, key: Hashable, wanted: int, now: float) -> tuple[int, float]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside that a walk needs."""

    inputs: InputsPort
    source: SourcePort
    cluster: ClusterPort
    limits: Limits
    time_zones: Collection[str]
    chance: Chance
    pace: PacePort


async def ask(app: App, memory: Memory, now: Now, ports: Ports) -> Answer:
    """Ask the source if it is due. A failure is a value here: with a last good manifest the walk goes on without it."""
    if not asks(app, memory, now):
        return Answer()
    endpoint: Endpoint | None = None
    try:
        endpoint = await ports.inputs.endpoint(app)
        if endpoint is None:
            document = await _tenants_own(app, ports)
            return Answer(accept(app, None, document, ports.limits.max_cron_jobs_per_app), rotation=Rotation())
    except ReconcileError as exc:
        return Answer(fault=exc, restored=await _restored(app, memory, endpoint, ports))
    answer = await look(app, memory, endpoint, now, ports)
    if answer.fault is None:
        return answer
    return dataclasses.replace(answer, restored=await _restored(app, memory, endpoint, ports))


async def _restored(app: App, memory: Memory, endpoint: Endpoint | None, ports: Ports) -> Good | None:
    """After a restart with the source away: the manifest that the CronJobs in the cluster came from."""
    if (
        memory.good is not None
        or memory.changed is None
        or (endpoint is None and isinstance(app.source, ServiceSource))
    ):
        return None
    digest, changed_at = memory.changed
    try:
        observed = await ports.cluster.observe(app)
    except ReconcileError:
        return None  # the API server is away as well; the walk itself will say so
    return restore(app, digest, changed_at, endpoint, observed)


async def _tenants_own(app: App, ports: Ports) -> object:
    if isinstance(app.source, ConfigMapSource):
        return await ports.inputs.config_map_document(app, app.source)
    return app.source.document if isinstance(app.source, InlineSource) else None


async def reconcile(app: App, memory: Memory, answer: Answer, now: Now, ports: Ports) -> tuple[Outcome, Memory]:
    """One walk for one app, with the source's answer in hand; returns what came of it and what to remember."""
    settled = settle(app, memory, answer, now)
    keys = preferred(rotation_after(memory, answer))
    desired = render(app, settled.good.manifest, settled.good.endpoint, ports.limits, ports.time_zones, keys)
    observed = await ports.cluster.observe(app)
    absent = absent_names(app, desired, observed)
    # Not by the source alone: after a switch to a broken inline manifest the last good one is still the app's word.
    own_word = isinstance(app.source, InlineSource | ConfigMapSource) and settled.good.endpoint is None
    # The tenant's own word needs no second look, so a walk that repeats one cut short may go by the last reading.
    looked = settled.fresh or own_word
    absences = note_absent(absent, memory.absences, now.monotonic) if looked else memory.absences
    absences = {name: absence for name, absence in absences.items() if name in absent}
    verdict = judge(
        absences,
        owned=len(owned_by(app, observed)),
        own_word=own_word,
        max_delete_percent=app.max_delete_percent,
        approval=settled.good.digest,
        approved=app.approve_prune,
    )
    ground = Ground(memory.pairs, memory.repairs, now.utc, now.monotonic)
    plan = rollout.marked(diff(app, desired, observed, verdict, ground), memory.pairs)
    plan = rollout.held_back(plan, *ports.pace.take(app.key, rollout.rolls_in(plan), now.monotonic))
    again = functools.partial(rollout.decide_again, app, ground=ground, rolled=rollout.rolled_names(plan))
    results = await ports.cluster.execute(app, plan, again)
    outcome = conclude(app, memory, settled, desired, verdict, plan, results)
    after = remember(dataclasses.replace(memory, absences=absences), settled, plan, results, now)
    return outcome, after


async def mend(app: App, memory: Memory, what: Seen, now: Now, ports: Ports) -> tuple[list[Done], Memory] | None:
    """The corridor for one CronJob that somebody else changed: render, diff, execute. None: it takes a whole walk."""
    part = only(app, memory, what.name)
    if part is None or memory.good is None:
        return None
    keys = preferred(memory.rotation)
    desired = render(app, part, memory.good.endpoint, ports.limits, ports.time_zones, keys)
    ground = Ground(memory.pairs, memory.repairs, now.utc, now.monotonic)
    step = repair(app, desired, what, ground)
    if step is None:
        return None
    results = await ports.cluster.execute(app, step, functools.partial(decide, app, ground=ground))
    after = after_repair(memory, results, now)
    return None if after is None else (results, after)
