"""Owner references that somebody took away or falsified, and deletions that Kubernetes is not through with yet."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from operator_fakes.builders import NAMESPACE, OTHER_UID, served
from operator_fakes.world import World, in_loop

NAME = "cronix-billing-sync-0"
KEY = ("cronjobs", NAMESPACE, NAME)


async def standing() -> World:
    world = World()
    world.site.answer = served("sync")
    world.apply()
    await world.walk()
    world.controller._queue.forget((NAMESPACE, "billing"))
    return world


def edited(world: World, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Somebody edits the CronJob's metadata, and the watch tells the controller."""
    world.api.touch(*KEY, lambda body: change(body["metadata"]))
    live = world.api.objects[KEY]
    world.controller.saw_cron_job(copy.deepcopy(live), deleted=False)
    return live


def is_due(world: World) -> bool:
    """A walk or a touch-up is due."""
    queues = (world.controller._queue, world.controller._touch_ups._queue)
    return any((NAMESPACE, "billing") in queue._due for queue in queues)


def falsified(**owner: Any) -> Callable[[dict[str, Any]], object]:
    nobody = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": OTHER_UID, **owner}
    return lambda meta: meta.update(ownerReferences=[nobody])


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.pop("ownerReferences"),
        falsified(controller=True),
        falsified(apiVersion="cronix.dev/v1alpha1", kind="CronixApp", controller=True),
        lambda meta: meta.update(labels={}, annotations={}, ownerReferences=[]),
    ],
)
def test_whatever_is_done_to_the_owner_its_app_looks_at_it(change: Callable[[dict[str, Any]], object]) -> None:
    """T3, K3: the reference is only one of the marks; the last write and the owner's uid name the app as well."""

    async def run() -> None:
        world = await standing()
        edited(world, change)
        assert is_due(world)

    in_loop(run)()


@in_loop
async def test_a_falsified_owner_is_a_conflict_until_garbage_collection_took_the_object_then_it_is_made_anew() -> None:
    """No operator is faster than the collector; what it must not do is forget whose the object was."""
    world = await standing()
    live = edited(world, falsified(controller=True))
    await world.walk()
    assert world.status()["invalidJobs"][0]["reason"] == "NameConflict"
    for queue in (world.controller._queue, world.controller._touch_ups._queue):
        queue.forget((NAMESPACE, "billing"))

    del world.api.objects[KEY]
    world.controller.saw_cron_job(live, deleted=True)
    assert is_due(world)
    await world.walk()
    assert NAME in world.names()
    assert any("deleted by someone else" in event.message for event in world.events.seen)


@in_loop
async def test_an_owner_taken_away_is_told_as_drift() -> None:
    world = await standing()
    edited(world, lambda meta: meta.pop("ownerReferences"))
    await world.walk()
    assert any("metadata.ownerReferences was changed" in event.message for event in world.events.seen)


@pytest.mark.parametrize("finalizer", ["orphan", "foregroundDeletion"])
def test_a_deletion_that_kubernetes_is_not_through_with_is_left_to_it(finalizer: str) -> None:
    """`kubectl delete --cascade=orphan`: with the finalizer taken away, the Jobs that were to stay would go."""

    async def run() -> None:
        world = await standing()
        edited(world, lambda meta: meta.update(deletionTimestamp="2026-11-22T12:00:31Z", finalizers=[finalizer]))
        world.clear_writes()
        await world.walk()
        assert world.writes("cronjobs") == []

    in_loop(run)()


@in_loop
async def test_a_foreign_finalizer_that_holds_up_a_deletion_is_removed_and_only_that() -> None:
    world = await standing()
    held = ["orphan", "example.com/hold"]
    edited(world, lambda meta: meta.update(deletionTimestamp="2026-11-22T12:00:31Z", finalizers=held))
    await world.walk()
    assert world.api.objects[KEY]["metadata"]["finalizers"] == ["orphan"]
