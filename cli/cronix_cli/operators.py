"""The operators that run in the cluster, as far as the person may see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cronix_cli.reading import OURS, Cluster, Object
from cronix_cli.trouble import Exit, Trouble
from cronix_operator.core.model import App, Limits
from cronix_operator.core.podspec import CONTAINER

SELECTOR = "app.kubernetes.io/name=cronix-operator"


@dataclasses.dataclass(frozen=True, slots=True)
class Operator:
    """One Deployment of the operator."""

    namespace: str
    name: str
    image: str
    wanted: int
    available: int
    signer_image: str
    pull_policy: str
    watched: tuple[str, ...]


async def operators(cluster: Cluster) -> list[Operator]:
    """All Deployments of the operator in the cluster; Trouble when the person may not list them."""
    path = "/apis/apps/v1/deployments"
    reply = await cluster.api.request("GET", path, query={"labelSelector": SELECTOR})
    if not reply.ok:
        raise Trouble(Exit.NO_RIGHT, "you may not list deployments", "kubectl auth can-i list deployments -A")
    return [_operator(body) for body in reply.body.get("items") or []]


def _operator(body: Object) -> Operator:
    containers = body["spec"]["template"]["spec"]["containers"]
    container = next((c for c in containers if _env(c).get("CRONIX_SIGNER_IMAGE")), containers[0])
    env = _env(container)
    return Operator(
        namespace=body["metadata"]["namespace"],
        name=body["metadata"]["name"],
        image=str(container.get("image", "")),
        wanted=int(body["spec"].get("replicas", 1)),
        available=int((body.get("status") or {}).get("availableReplicas") or 0),
        signer_image=env.get("CRONIX_SIGNER_IMAGE", ""),
        pull_policy=env.get("CRONIX_SIGNER_IMAGE_PULL_POLICY", "IfNotPresent"),
        watched=tuple(env.get("CRONIX_WATCH_NAMESPACES", "").replace(",", " ").split()),
    )


def _env(container: Mapping[str, Any]) -> dict[str, str]:
    return {entry["name"]: str(entry.get("value", "")) for entry in container.get("env") or []}


async def limits_in_force(cluster: Cluster, app: App) -> Limits:
    """The signer's image that the operator renders: from its Deployment, else as its CronJobs have it."""
    try:
        found = [
            o for o in await operators(cluster) if o.signer_image and (not o.watched or app.namespace in o.watched)
        ]
    except Trouble:
        found = []
    if found:
        return Limits(found[0].signer_image, found[0].pull_policy)
    live = await cluster.items("/apis/batch/v1", "cronjobs", OURS, namespace=app.namespace)
    for body in live:
        for container in body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]:
            if container["name"] == CONTAINER:
                return Limits(container["image"], container.get("imagePullPolicy", "IfNotPresent"))
    raise Trouble(
        Exit.NO_RIGHT,
        "which signer image the operator uses cannot be told: you may not see its Deployment, and there is no CronJob",
        "kubectl auth can-i list deployments -A",
    )
