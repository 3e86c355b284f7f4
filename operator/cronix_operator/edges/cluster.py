"""CronJobs and CronixApp status: observe what is there, execute what was planned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from cronix_operator.core import naming
from cronix_operator.core.app import GROUP, PLURAL, VERSION
from cronix_operator.core.errors import Outdated, Waiting
from cronix_operator.core.model import App, Change, Done, Hold, JobFault, KubeObject, Plan
from cronix_operator.core.moments import timestamp
from cronix_operator.core.plan import Redecide, job_of, merged_body, removal
from cronix_operator.core.render import spec_hash
from cronix_operator.core.server_refusals import explain
from cronix_operator.edges.api import STRICT, ApiServer, Reply, fenced

MERGE_PATCH = "application/merge-patch+json"
CONFLICT_RETRIES = 5
MAX_ENDING = 1000


class KubernetesCluster:
    """The CronJobs of one cluster. Writes carry uid and resourceVersion, so a stale view can never win."""

    def __init__(self, api: ApiServer, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._clock = clock
        # By UID of a CronixApp whose namespace is being deleted: the refusal of a CronJob, which is that of all others.
        self._ending: dict[str, Reply] = {}

    async def observe(self, app: App) -> list[KubeObject]:
        """Every CronJob of the namespace that is labelled with this CronixApp's uid or with its app id, by name.

        By uid to find what an earlier `spec.app` left behind; by app id to see a name that another CronixApp holds
        before trying to create it. Whose they are, the core decides. The second question leaves out what the first
        one answers: it costs a list that is nearly always empty.
        """
        ours, app_id = f"{naming.OWNER_UID}={app.uid}", f"{naming.APP}={naming.label_value(app.app)}"
        others = f"{naming.MANAGED_BY}={naming.MANAGER},{app_id},{naming.OWNER_UID}!={app.uid}"
        found = await asyncio.gather(*(self._list(app.namespace, selector) for selector in (ours, others)))
        return list({live["metadata"]["name"]: live for part in found for live in part}.values())

    async def _list(self, namespace: str, selector: str) -> list[KubeObject]:
        return [item async for item in self._api.items(_path(namespace), {"labelSelector": selector})]

    async def execute(self, app: App, plan: Plan, redecide: Redecide) -> list[Done]:
        """Creates and updates, then removals; each succeeds or fails alone, in the plan's order.

        If the process dies between two of them the next walk finds the rest still to do: names are deterministic and
        every write is idempotent. Nothing is created or removed for a CronixApp that is gone (Waiting) or was edited
        since it was read (Outdated).
        """
        if any(change.verb != "update" for change in plan.changes):
            await self._must_be_as_read(app)
        writes = [change for change in plan.changes if change.verb in {"create", "update"}]
        removals = [change for change in plan.changes if change.verb in {"delete", "suspend"}]
        done = list(await asyncio.gather(*(_alone(change, self._write(app, change, redecide)) for change in writes)))
        return done + list(await asyncio.gather(*(_alone(change, self._remove(app, change)) for change in removals)))

    async def patch_status(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Write CronixApp.status by merge patch; False when the CronixApp is gone."""
        path = f"{_apps(namespace)}/{name}/status"
        reply = await self._api.request("PATCH", path, body=patch, content_type=MERGE_PATCH)
        if reply.status == 404:
            return False
        if not reply.ok:
            raise Waiting("StatusRefused", f"writing status: {reply.message}")
        return True

    async def _must_be_as_read(self, app: App) -> None:
        """Its deletion may have fallen into a gap of the watch, and garbage collection just have taken the CronJobs.

        Or its edit comes by a slower watch than what another operator has made and deleted for it. An update can be
        put right later; a CronJob made or deleted by mistake takes the Jobs of it along.
        """
        live = await self._read("CronixApp", f"{_apps(app.namespace)}/{app.name}", app.name)
        if live is None or live["metadata"]["uid"] != app.uid:
            raise Waiting("ApiUnavailable", f'CronixApp "{app.name}" is gone')
        if live["metadata"]["generation"] != app.generation:
            raise Outdated(live)

    async def _write(self, app: App, change: Change, redecide: Redecide) -> Done:
        for _ in range(CONFLICT_RETRIES):
            want = change.desired
            assert want is not None  # noqa: S101  # creates and updates always carry one
            if change.verb == "create":
                reply = await self._create(app, want.body)
            else:
                reply = await self._update(app, change)
            if reply.ok:
                return _written(change, reply)
            if reply.status not in {404, 409} or reply.reason == "NamespaceNotFound":
                return Done(change, fault=_refused(change, reply))
            # Somebody was faster (for a minutely job the controller's own status writes are enough), or the object went
            # away: look again and decide again, at once.
            fresh = await self._get(app.namespace, change.name)
            decision = redecide(want, fresh)
            if decision is None:
                return Done(change, live=fresh, overtaken=True)
            if isinstance(decision, JobFault):
                return Done(change, fault=decision)
            if isinstance(decision, Hold):
                return Done(change, fault=JobFault(want.job, want.index, decision.reason, decision.message))
            change = decision
        return Done(change, fault=_refused(change, reply))

    async def _create(self, app: App, body: Mapping[str, Any]) -> Reply:
        known = self._ending.get(app.uid)
        if known is not None:
            return known
        reply = await self._api.request("POST", _path(app.namespace), query=STRICT, body=body)
        if _namespace_ends(reply):
            if len(self._ending) >= MAX_ENDING:
                self._ending.clear()  # they are asked again, once each
            self._ending[app.uid] = reply
        return reply

    async def _update(self, app: App, change: Change) -> Reply:
        want, live = change.desired, change.live
        assert want is not None  # noqa: S101  # see _write
        assert live is not None  # noqa: S101  # an update is decided on a live object
        if change.fence_slot:
            # Two writes on one object reach the CronJob controller in this order. If the process dies in between, the
            # old schedule goes on and merely forgets a slot that lies in the past.
            now = timestamp(self._clock())
            path = f"{_path(app.namespace)}/{change.name}/status"
            patch = {"status": {"lastScheduleTime": now}}
            reply = await self._api.request("PATCH", path, body=patch, content_type=MERGE_PATCH)
            if not reply.ok:
                return reply
            live = reply.body
        return await self._api.request(
            "PUT", f"{_path(app.namespace)}/{change.name}", query=STRICT, body=merged_body(want, live)
        )

    async def _remove(self, app: App, change: Change) -> Done:
        for _ in range(CONFLICT_RETRIES):
            reply = await self._remove_once(app, change)
            if reply.ok or reply.status == 404:
                return Done(change)
            if reply.status != 409:
                break
            # A run began or ended since we looked: decide again on what is there now.
            live = await self._get(app.namespace, change.name)
            step = None if live is None else removal(live, change.name)
            if not isinstance(step, Change):
                return Done(change)  # gone, or a run is active: the next walk goes on with it
            change = step
        assert change.live is not None  # noqa: S101  # removals are decided on a live object
        text = f'removing "{change.name}": {reply.message}'
        return Done(change, fault=JobFault(job_of(change.live), None, "ApplyFailed", text))

    async def _remove_once(self, app: App, change: Change) -> Reply:
        live = change.live
        assert live is not None  # noqa: S101  # see _remove
        path = f"{_path(app.namespace)}/{change.name}"
        if change.verb == "suspend":
            body = {**live, "apiVersion": "batch/v1", "kind": "CronJob", "spec": {**live["spec"], "suspend": True}}
            return await self._api.request("PUT", path, query=STRICT, body=body)
        return await self._api.request("DELETE", path, body=fenced(live, propagationPolicy="Background"))

    async def _get(self, namespace: str, name: str) -> KubeObject | None:
        return await self._read("CronJob", f"{_path(namespace)}/{name}", name)

    async def _read(self, kind: str, path: str, name: str) -> KubeObject | None:
        reply = await self._api.request("GET", path)
        if reply.status == 404:
            return None
        if not reply.ok:
            raise Waiting("ApiUnavailable", f'reading {kind} "{name}": {reply.message}')
        return reply.body


async def _alone(change: Change, step: Awaitable[Done]) -> Done:
    """One change's outcome; no answer from the API server is this change's fault, not its neighbours'."""
    try:
        return await step
    except Waiting as exc:
        job = change.desired.job if change.desired else job_of(change.live or {"metadata": {}})
        return Done(change, fault=JobFault(job, None, exc.reason, exc.message))


def _path(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs"


def _apps(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"


def _namespace_ends(reply: Reply) -> bool:
    """Whether this is the refusal of a namespace that is being deleted, which is never taken back."""
    causes = (reply.body.get("details") or {}).get("causes") or [] if reply.status == 403 else []
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def _written(change: Change, reply: Reply) -> Done:
    before = spec_hash(change.live["spec"]) if change.live else None
    # A repair of the spec that changed nothing is no drift: a webhook or a newer server writes this field. Recorded as
    # the pair of this write, told once.
    of_spec = any(field.startswith("spec.") for field in change.fields)
    mutated = change.reason == "Drifted" and of_spec and before == spec_hash(reply.body["spec"])
    return Done(change, live=reply.body, mutated=mutated)


def _refused(change: Change, reply: Reply) -> JobFault:
    want = change.desired
    assert want is not None  # noqa: S101  # see _write
    return JobFault(want.job, want.index, "ApplyFailed", explain(reply.message))
