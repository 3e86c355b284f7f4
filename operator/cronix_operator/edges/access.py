"""Asks the API server what the operator may do: a SelfSubjectAccessReview, which everybody may make, for each right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cronix_operator.core.app import GROUP, PLURAL, VERSION
from cronix_operator.core.errors import Waiting
from cronix_operator.core.rights import Right
from cronix_operator.edges.api import ApiServer

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
AT_ONCE = 4  # a look that comes back every minute leaves the API server to those with work to do


class AccessReviews:
    """The rights of whoever the API connection belongs to."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def missing(self, rights: Iterable[Right]) -> tuple[Right, ...]:
        """Those of `rights` that are not granted, in their order; Waiting when the API server does not say."""
        seats = asyncio.Semaphore(AT_ONCE)

        async def ask(right: Right) -> bool:
            async with seats:
                return await self._allowed(right)

        asked = tuple(rights)
        answers = await asyncio.gather(*(ask(right) for right in asked))
        return tuple(right for right, allowed in zip(asked, answers, strict=True) if not allowed)

    async def crd_served(self) -> bool:
        """Whether the API server serves CronixApps in the version that this operator speaks."""
        reply = await self._api.request("GET", f"/apis/{GROUP}/{VERSION}")
        if reply.status == 404:
            return False
        if not reply.ok:
            raise Waiting("ApiUnavailable", f"looking for the CRD: {reply.message}")
        return any(resource.get("name") == PLURAL for resource in reply.body.get("resources") or [])

    async def _allowed(self, right: Right) -> bool:
        asked = {
            "namespace": right.namespace,
            "group": right.group,
            "resource": right.resource,
            "subresource": right.subresource,
            "verb": right.verb,
            "name": right.name,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {field: value for field, value in asked.items() if value}},
        }
        reply = await self._api.request("POST", REVIEWS, body=body)
        if not reply.ok:
            raise Waiting("ApiUnavailable", f"asking for the operator's rights: {reply.message}")
        return bool((reply.body.get("status") or {}).get("allowed"))
