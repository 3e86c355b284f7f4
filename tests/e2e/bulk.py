"""Hundreds of requests to the API server at once, over the operator's own connection; kubectl takes 0.1 s for each."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cronix_operator.edges.api import ApiServer, Reply

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One request; a list as body is a JSON patch."""

    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"
    query: Mapping[str, str | int] | None = None


class Bulk:
    """Sends calls as the cluster's admin, sixteen at a time."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = str(kubeconfig)

    def send(self, calls: Iterable[Call]) -> list[Reply]:
        """All answers, in the order of the calls; a refusal is an answer."""

        async def run() -> list[Reply]:
            async with ApiServer(self._kubeconfig) as api:
                return await asyncio.gather(
                    *(
                        api.request(c.method, c.path, query=c.query, body=c.body, content_type=c.content_type)
                        for c in calls
                    )
                )

        return asyncio.run(run())

    def one(self, call: Call) -> Reply:
        """The answer to one call."""
        return self.send([call])[0]

    def items(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        """Every object of a list."""

        async def run() -> list[dict[str, Any]]:
            async with ApiServer(self._kubeconfig) as api:
                query = {"labelSelector": selector} if selector else {}
                return [item async for item in api.items(path, query)]

        return asyncio.run(run())


def accepted(replies: Sequence[Reply]) -> Sequence[Reply]:
    """The same replies, all of which must be a yes."""
    refused = [reply.message for reply in replies if not reply.ok]
    assert refused == [], refused[:3]
    return replies


def cron_jobs(namespace: str, name: str = "", part: str = "") -> str:
    """The path of a namespace's CronJobs, of one of them, or of its `status`."""
    return "/".join(filter(None, (f"/apis/batch/v1/namespaces/{namespace}/cronjobs", name, part)))


def cronix_apps(namespace: str, name: str = "", part: str = "") -> str:
    """The path of a namespace's CronixApps, of one of them, or of its `status`."""
    return "/".join(filter(None, (f"/apis/cronix.dev/v1alpha1/namespaces/{namespace}/cronixapps", name, part)))
