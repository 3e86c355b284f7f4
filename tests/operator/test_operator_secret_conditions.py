"""A job that has no key to sign with is told before its first run fails (condition NoSuchKey)."""

from __future__ import annotations

import base64

from operator_fakes.builders import job, served
from operator_fakes.world import KEY, World, in_loop

ENCODED = base64.b64encode(KEY.encode()).decode()


def signed_by(*names: str) -> bytes:
    return served(job("sync", auth={"secret_refs": list(names)}), job("settle"))


@in_loop
async def test_a_key_that_the_secret_has_not_is_told_until_it_has() -> None:
    """Ready stays True: the CronJobs are in step, they only cannot fire."""
    world = World()
    world.site.answer = signed_by("curent")
    world.apply()
    await world.walk()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("NoSuchKey")["message"] == (
        'job "sync" has no key to sign with, its runs end unsent (NoKey): there is no usable Secret "keys" key '
        '"curent"; add it, or correct auth.secret_refs in the manifest'
    )

    world.api.objects["secrets", "shop", "keys"]["data"]["curent"] = ENCODED
    await world.until_due()
    assert world.condition("NoSuchKey") == {}


@in_loop
async def test_one_key_of_several_is_enough() -> None:
    """The next key of a rotation need not be there yet, the last one not any more."""
    world = World()
    world.site.answer = signed_by("next", "current", "previous")
    world.apply()
    await world.walk()
    assert world.condition("NoSuchKey") == {}


@in_loop
async def test_a_secret_whose_only_key_has_another_name_fetches_but_cannot_fire() -> None:
    """Where a job names none it gets `current` and `previous`; the fetch takes any key, so all looks well."""
    world = World()
    world.site.answer = served(*(job(f"j{n}") for n in range(5)))
    world.api.objects["secrets", "shop", "keys"]["data"] = {"billing": ENCODED}
    world.apply()
    await world.walk()
    message = world.condition("NoSuchKey")["message"]
    assert message.startswith('job "j0", "j1", "j2" and 2 more has no key')
    assert 'Secret "keys" key "current" or Secret "keys" key "previous"' in message
