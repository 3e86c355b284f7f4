"""Objects of the cluster as the API server has them; each refusal is told with what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from cronix_cli.api import Api, Reply
from cronix_cli.session import Session
from cronix_cli.target import Target
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.app import GROUP, PLURAL, VERSION
from cronix_operator.core.errors import Waiting
from cronix_operator.core.naming import MANAGED_BY, MANAGER
from cronix_protocol.faults import closest

T = TypeVar("T")
Object: TypeAlias = dict[str, Any]
APPS = f"/apis/{GROUP}/{VERSION}"
OURS = f"{MANAGED_BY}={MANAGER}"
PAGE_SIZE = 500


class Cluster:
    """One cluster, seen with the person's own rights."""

    def __init__(self, api: Api, namespace: str | None, *, everywhere: bool = False) -> None:
        self.api = api
        self.namespace = namespace or api.namespace
        self.everywhere = everywhere

    @property
    def scope(self) -> str:
        """`in namespace "shop"`, or `in the cluster`, for sentences."""
        return "in the cluster" if self.everywhere else f'in namespace "{self.namespace}"'

    async def items(self, base: str, plural: str, selector: str = "", *, namespace: str | None = None) -> list[Object]:
        """Every object of a kind in the namespace (or in all), in pages; `selector` by labels."""
        place = namespace or ("" if self.everywhere else self.namespace)
        path = f"{base}/namespaces/{place}/{plural}" if place else f"{base}/{plural}"
        found: list[Object] = []
        token = ""
        while True:
            query: dict[str, str | int] = {"limit": PAGE_SIZE}
            query |= {"labelSelector": selector} if selector else {}
            query |= {"continue": token} if token else {}
            reply = await self.api.request("GET", path, query=query)
            if not reply.ok:
                raise refusal(reply, "list", plural, f'in namespace "{place}"' if place else "in all namespaces")
            found += reply.body.get("items") or []
            token = (reply.body.get("metadata") or {}).get("continue") or ""
            if not token:
                return found

    async def apps(self, selector: str | None = None) -> list[Object]:
        """Every CronixApp in sight, by namespace and name."""
        found = await self.items(APPS, PLURAL, selector or "")
        return sorted(found, key=lambda app: (app["metadata"]["namespace"], app["metadata"]["name"]))

    async def app(self, name: str) -> Object:
        """One CronixApp of the namespace; Trouble that says what there is instead."""
        reply = await self.api.request("GET", f"{APPS}/namespaces/{self.namespace}/{PLURAL}/{name}")
        if reply.ok:
            return reply.body
        if reply.status != 404:
            raise refusal(reply, "get", PLURAL, f'in namespace "{self.namespace}"')
        raise await self._no_such_app(name)

    async def chosen(self, target: Target | None, selector: str | None) -> list[Object]:
        """The CronixApps that a command is about: the one named, or all in sight."""
        if target is None:
            return await self.apps(selector)
        if not self.everywhere:
            return [await self.app(target.app)]
        found = [app for app in await self.apps(selector) if app["metadata"]["name"] == target.app]
        if not found:
            raise Trouble(Exit.NOT_FOUND, f'no namespace has a CronixApp "{target.app}"', "kubectl cronix status -A")
        return found

    async def cron_jobs(self, namespace: str | None = None) -> list[Object]:
        """The operator's CronJobs in sight."""
        return await self.items("/apis/batch/v1", "cronjobs", OURS, namespace=namespace)

    async def jobs(self, namespace: str | None = None) -> list[Object]:
        """The Jobs that came from the operator's CronJobs, by hand or by a slot."""
        return await self.items("/apis/batch/v1", "jobs", OURS, namespace=namespace)

    async def pods(self, namespace: str | None = None) -> list[Object]:
        """The signers' pods."""
        return await self.items("/api/v1", "pods", OURS, namespace=namespace)

    async def may(self, verb: str, group: str, resource: str, namespace: str, sub: str = "") -> bool:
        """Whether the person has this right (SelfSubjectAccessReview)."""
        asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        asked |= {"subresource": sub} if sub else {}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        reply = await self.api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool((reply.body.get("status") or {}).get("allowed")) if reply.ok else True  # then the request will tell

    async def need(self, namespace: str, *rights: tuple[str, str, str]) -> None:
        """Trouble that names the first of these rights (verb, group, resource) that the person has not got."""
        held = await asyncio.gather(*(self.may(*right, namespace) for right in rights))
        for (verb, group, resource), has in zip(rights, held, strict=True):
            if not has:
                name = f"{resource}.{group}" if group == GROUP else resource
                raise Trouble(
                    Exit.NO_RIGHT,
                    f'you may not {verb} {resource} in namespace "{namespace}"; nothing was changed',
                    f"kubectl auth can-i {verb} {name} -n {namespace}",
                )

    async def _no_such_app(self, name: str) -> Trouble:
        names = [app["metadata"]["name"] for app in await self.apps()]  # a 404 for want of the CRD is told by this
        text = f'no CronixApp "{name}" {self.scope}'
        if near := closest(name, names):
            return Trouble(Exit.NOT_FOUND, text, f"the name is perhaps: {near}")
        reply = await self.api.request("GET", f"{APPS}/{PLURAL}", query={"limit": PAGE_SIZE})
        elsewhere = [app["metadata"] for app in (reply.body.get("items") or [] if reply.ok else [])]
        for meta in elsewhere:
            if meta["name"] == name:
                return Trouble(Exit.NOT_FOUND, text, f"it is in another namespace: -n {meta['namespace']}")
        there = f"there are: {', '.join(sorted(names)[:8])}" if names else "kubectl cronix status -A"
        return Trouble(Exit.NOT_FOUND, text, there)


def refusal(reply: Reply, verb: str, plural: str, where: str) -> Trouble:
    """What an answer that is no success means, and what to type next."""
    resource = f"{plural}.{GROUP}" if plural == PLURAL else plural
    if reply.status == 403:
        place = where.partition('"')[2].rstrip('"')
        scope = f" -n {place}" if place else " -A"
        return Trouble(
            Exit.NO_RIGHT, f"you may not {verb} {plural} {where}", f"kubectl auth can-i {verb} {resource}{scope}"
        )
    if reply.status == 401:
        return Trouble(Exit.NO_RIGHT, "the API server does not know who you are", "kubectl auth whoami")
    if reply.status == 404 and plural == PLURAL:
        text = "this cluster has no CronixApps: the CRD is not installed"
        return Trouble(Exit.UNAVAILABLE, text, "kubectl cronix doctor")
    return Trouble(Exit.UNAVAILABLE, f"{verb} {plural} {where}: {reply.message}", "kubectl cronix doctor")


def on_cluster(session: Session, work: Callable[[Cluster], Coroutine[Any, Any, T]]) -> T:
    """Connect, do the work, say what went wrong."""
    if session.all_namespaces and session.namespace:
        raise Trouble(Exit.USAGE, "-A and -n do not go together: -A is all namespaces", "leave one of them out")

    async def inside() -> T:
        async with session.connect(session.kubeconfig, session.context) as api:
            return await work(Cluster(api, session.namespace, everywhere=session.all_namespaces))

    try:
        return asyncio.run(inside())
    except Waiting as exc:
        if exc.reason != "ApiUnavailable":
            raise
        hint = "kubectl config get-contexts" if exc.message.startswith("kubeconfig") else "kubectl cluster-info"
        raise Trouble(Exit.UNAVAILABLE, exc.message, hint) from exc
