"""A wish about a job that does not exist is told (condition NoSuchJob), and goes when it fits."""

from __future__ import annotations

from operator_fakes.builders import served
from operator_fakes.world import World, in_loop


@in_loop
async def test_an_override_or_a_suspension_that_fits_no_job_is_told_until_it_fits() -> None:
    """Ready stays True: nothing is out of step; what was asked for is only not there."""
    world = World()
    world.site.answer = served("sync", "settle-a")
    overrides = [{"jobs": ["settle-*", "sink"], "jitterSeconds": 5}]
    world.apply(overrides=overrides, annotations={"cronix.dev/suspended-jobs": "sync, snyc"})
    await world.walk()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("NoSuchJob")["message"] == (
        'no job of the manifest is meant by spec.overrides[0].jobs: "sink", cronix.dev/suspended-jobs: "snyc"; '
        "its jobs are settle-a, sync"
    )

    world.site.answer = served("sync", "settle-a", "sink", "snyc")
    await world.until_due()
    assert world.condition("NoSuchJob") == {}


@in_loop
async def test_the_message_stays_short_however_much_is_wrong() -> None:
    world = World()
    world.site.answer = served(*(f"j{n}" for n in range(200)))
    world.apply(annotations={"cronix.dev/suspended-jobs": ",".join(f"x{n}" for n in range(2000))})
    await world.walk()
    assert len(world.condition("NoSuchJob")["message"]) < 400
    assert "and 1995 more" in world.condition("NoSuchJob")["message"]
