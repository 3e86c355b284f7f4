"""Changes to a CronixApp that a person asks for: a merge patch with the version it was read at, tried again on 409."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cronix_cli.reading import APPS, Cluster, Object, refusal
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.app import GROUP, PLURAL

TRIES = 5
RIGHT = ("patch", GROUP, PLURAL)


async def change(cluster: Cluster, name: str, patch_for: Callable[[Object], dict[str, Any] | None]) -> Object:
    """The CronixApp after the patch that `patch_for` makes from it (None: nothing to change)."""
    for _ in range(TRIES):
        app = await cluster.app(name)
        patch = patch_for(app)
        if patch is None:
            return app
        meta = app["metadata"]
        fenced = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": meta["resourceVersion"]}}
        reply = await cluster.api.request(
            "PATCH",
            f"{APPS}/namespaces/{meta['namespace']}/{PLURAL}/{name}",
            query={"fieldManager": "kubectl-cronix", "fieldValidation": "Strict"},
            body=fenced,
            content_type="application/merge-patch+json",
        )
        if reply.ok:
            return reply.body
        if reply.status != 409:
            raise refusal(reply, "patch", PLURAL, f'in namespace "{meta["namespace"]}"')
    raise Trouble(
        Exit.NOT_NOW, f"CronixApp {name} changes faster than it can be patched", "who writes it all the time?"
    )
