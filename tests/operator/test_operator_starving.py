"""What one app waits for no other waits for: endpoints that hang, by the hundred."""

from __future__ import annotations

import asyncio
import copy

from cronix_operator.core.model import App, Endpoint, Fetched, KeyMaterial
from operator_fakes.builders import NAMESPACE, served
from operator_fakes.world import Site, World, in_loop

NAME = "cronix-billing-sync-0"
DEAD = 100


class HangingSite(Site):
    """Answers for `billing`, and never for any other."""

    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched:
        if app.name != "billing":
            await asyncio.Event().wait()
        return await super().fetch(app, endpoint, material, timestamp, etag)


@in_loop
async def test_a_hundred_endpoints_that_hang_do_not_keep_drift_of_another_app_waiting() -> None:
    """T8, promise 7: with one walk at a time allowed, and more hanging fetches than may be under way at once."""
    world = World()
    world.site = HangingSite()
    world.restart()
    world.site.answer = served("sync")
    world.apply()
    await world.walk()
    for n in range(DEAD):
        world.apply(f"dead{n}", source={"service": {"name": "billing"}})
        body = copy.deepcopy(world.api.objects["cronixapps", NAMESPACE, f"dead{n}"])
        body["metadata"]["uid"] = f"uid-{n}"
        world.controller.saw_app(body, deleted=False)
    world.controller.start()
    await asyncio.sleep(0.1)

    world.api.touch("cronjobs", NAMESPACE, NAME, lambda b: b["spec"].update(suspend=True))
    live = world.api.objects["cronjobs", NAMESPACE, NAME]
    world.controller.saw_cron_job(copy.deepcopy(live), deleted=False)
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if not world.api.objects["cronjobs", NAMESPACE, NAME]["spec"]["suspend"]:
            break
    await world.controller.stop()
    assert not world.api.objects["cronjobs", NAMESPACE, NAME]["spec"]["suspend"]
