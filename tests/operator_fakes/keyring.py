"""An operator whose app knows some of the keys in its Secret; what signs, what status says, what was written."""

from __future__ import annotations

import base64
import json
from typing import Any

from operator_fakes.builders import NAMESPACE, served
from operator_fakes.world import World

OLD, NEW, THIRD = ("old-key-0123456789abcdef", "new-key-0123456789abcdef", "third-key-0123456789abcdef")
LISTED = {"signing": {"keys": [{"name": n, "secretKeyRef": {"name": "keys", "key": n}} for n in ("v2", "v1")]}}


def give(world: World, **keys: str) -> None:
    """Write the Secret."""
    data = {name: base64.b64encode(text.encode()).decode() for name, text in keys.items()}
    world.api.touch("secrets", NAMESPACE, "keys", lambda body: body.update(data=data))


async def running(*accepts: str, keys: dict[str, str], **spec: Any) -> World:
    """A world whose app accepts these keys, after the first walk, with the writes forgotten."""
    world = World()
    world.site.answer = served("sync", "report")
    world.site.accepts = set(accepts)
    give(world, **keys)
    world.apply(**spec)
    await world.walk()
    world.clear_writes()
    return world


async def again(world: World, seconds: float = 300) -> None:
    """A fetch, after a while."""
    world.wait(seconds)
    await world.walk()


def mounted(world: World) -> set[tuple[str, ...]]:
    """The order of the keys in each CronJob's volume; one element when they agree."""
    orders = set()
    for live in world.api.cron_jobs().values():
        template = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        keys = next(v for v in template["volumes"] if v["name"] == "keys")["projected"]["sources"]
        job_file = json.loads(template["containers"][0]["env"][0]["value"])
        order = tuple(source["secret"]["items"][0]["path"] for source in keys)
        assert [ref.rpartition("/")[2] for ref in job_file["secret_refs"]] == list(order), "the job file agrees"
        orders.add(order)
    return orders


def states(world: World) -> dict[str, tuple[str, bool]]:
    """status.keys as name → (state, signs)."""
    return {row["name"]: (row["state"], row["signs"]) for row in world.status()["keys"]}


def written(world: World) -> dict[str, int]:
    """How many writes of which kind, without Events."""
    return {plural: len(world.writes(plural)) for plural in ("cronjobs", "cronixapps")}
