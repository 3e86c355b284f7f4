"""Which key signs, what is asked about it and what is told: the operator against an app that knows some of the keys."""

from __future__ import annotations

import base64

from cronix_operator.core.keys import fingerprint
from operator_fakes.builders import job, served
from operator_fakes.keyring import LISTED, NEW, OLD, THIRD, again, give, mounted, running, states, written
from operator_fakes.world import GONE, RANDOM_KEY, World, in_loop

# --- one key -----------------------------------------------------------------------------------------------------


@in_loop
async def test_one_key_costs_one_random_fetch_at_first_and_none_after() -> None:
    world = await running(OLD, keys={"current": OLD})
    assert world.site.signed == [OLD, RANDOM_KEY]
    assert states(world) == {"current": ("accepted", True)}
    assert world.status()["signature"]["enforced"] is True
    for _ in range(5):
        await again(world)
    assert world.site.signed[2:] == [OLD] * 5
    assert world.writes() == []


@in_loop
async def test_a_key_that_the_app_refuses_is_told_and_the_last_good_manifest_stays() -> None:
    """No listed key accepted: known at the next look, not from the runs that fail."""
    world = await running(OLD, keys={"current": OLD})
    world.site.accepts = {NEW}
    await again(world)
    assert world.condition("NoKeyAccepted")["status"] == "True"
    assert '"current"' in world.condition("NoKeyAccepted")["message"]
    assert world.condition("FetchFailed")["reason"] == "NoKeyAccepted"
    assert world.condition("Ready")["status"] == "True"
    assert states(world) == {"current": ("refused", True)}
    assert written(world) == {"cronjobs": 0, "cronixapps": 1}
    assert "NoKeyAccepted" in world.events.reasons()

    give(world, current=NEW)
    await again(world)
    assert world.condition("NoKeyAccepted") == {}
    assert states(world) == {"current": ("accepted", True)}


# --- the four orders of the steps ----------------------------------------------------------------------------------


@in_loop
async def test_the_app_first_then_the_secret() -> None:
    world = await running(OLD, keys={"current": OLD})
    world.site.accepts = {OLD, NEW}
    await again(world)
    give(world, current=NEW, previous=OLD)
    await again(world)
    assert states(world) == {"current": ("accepted", True), "previous": ("accepted", False)}
    assert world.condition("KeyRotation")["reason"] == "OldKeyAccepted"
    world.site.accepts = {NEW}
    await again(world, 3600)
    assert states(world) == {"current": ("accepted", True), "previous": ("refused", False)}
    assert world.condition("KeyRotation")["reason"] == "OldKeyUnused"
    give(world, current=NEW)
    await again(world)
    assert states(world) == {"current": ("accepted", True)}
    assert world.condition("KeyRotation") == {}
    assert written(world)["cronjobs"] == 0, "the first key signed all along"


@in_loop
async def test_the_secret_first_then_the_app() -> None:
    """The old key signs until the app has the new one: one write for each CronJob there, and one back."""
    world = await running(OLD, keys={"current": OLD})
    give(world, current=NEW, previous=OLD)
    await again(world)
    assert world.condition("Ready")["reason"] == "Succeeded"
    assert states(world) == {"current": ("refused", False), "previous": ("accepted", True)}
    assert world.condition("KeyRotation")["reason"] == "KeyAwaited"
    assert mounted(world) == {("previous", "current")}
    assert written(world)["cronjobs"] == 2
    world.clear_writes()

    world.site.accepts = {OLD, NEW}
    await again(world, 900)
    assert states(world)["current"] == ("accepted", False)
    assert "promoted" in world.condition("KeyRotation")["message"]
    assert await world.until_due() <= 30, "the second look does not wait for the interval"
    assert states(world) == {"current": ("accepted", True), "previous": ("accepted", False)}
    assert mounted(world) == {("current", "previous")}
    assert written(world)["cronjobs"] == 2
    promoted = [event.message for event in world.events.seen if event.reason == "KeyPromoted"]
    assert ['"previous" from now on' in promoted[0], '"current" from now on' in promoted[1]] == [True, True]


@in_loop
async def test_both_at_once_in_any_order_of_names() -> None:
    world = await running(OLD, keys={"current": OLD})
    world.site.accepts = {OLD, NEW}
    give(world, current=OLD, previous=NEW)
    await again(world)
    assert states(world) == {"current": ("accepted", True), "previous": ("accepted", False)}
    assert "can be promoted" in world.condition("KeyRotation")["message"]
    give(world, current=NEW, previous=OLD)
    await again(world)
    assert states(world) == {"current": ("accepted", True), "previous": ("accepted", False)}
    assert written(world)["cronjobs"] == 0


@in_loop
async def test_a_rollback_goes_back_to_the_old_key() -> None:
    world = await running(OLD, NEW, keys={"v2": NEW, "v1": OLD}, **LISTED)
    assert mounted(world) == {("v2", "v1")}
    world.site.accepts = {OLD}
    await again(world)
    assert world.condition("Ready")["reason"] == "Succeeded"
    assert mounted(world) == {("v1", "v2")}
    assert states(world) == {"v2": ("refused", False), "v1": ("accepted", True)}
    assert written(world)["cronjobs"] == 2
    give(world, v1=OLD)
    await again(world)
    assert states(world) == {"v2": ("missing", False), "v1": ("accepted", True)}
    assert "not in its Secret" in world.condition("KeyRotation")["message"]
    assert written(world)["cronjobs"] == 2


@in_loop
async def test_a_listed_key_that_comes_later_does_not_sign_before_the_app_accepts_it() -> None:
    """Listed first, its Secret not yet written: when it appears, pods find the other key first."""
    world = await running(OLD, keys={"v1": OLD}, **LISTED)
    assert mounted(world) == {("v1", "v2")}
    give(world, v1=OLD, v2=NEW)
    await again(world)
    assert mounted(world) == {("v1", "v2")}
    assert states(world) == {"v2": ("refused", False), "v1": ("accepted", True)}


# --- requests and writes are bounded --------------------------------------------------------------------------------


@in_loop
async def test_a_resync_asks_about_no_other_key_and_writes_nothing() -> None:
    world = await running(OLD, NEW, keys={"current": NEW, "previous": OLD})
    assert world.site.signed == [NEW, RANDOM_KEY, OLD]
    for _ in range(11):
        await again(world)
    assert world.site.signed[3:] == [NEW] * 11
    assert world.writes() == []


@in_loop
async def test_a_rotation_under_way_is_looked_at_every_third_interval() -> None:
    world = await running(OLD, keys={"current": NEW, "previous": OLD})
    world.site.signed.clear()
    for _ in range(6):
        await again(world)
    assert world.site.signed.count(NEW) == 2
    assert world.writes() == []


@in_loop
async def test_a_person_who_asks_gets_an_answer_about_every_key_at_once() -> None:
    world = await running(OLD, keys={"current": NEW, "previous": OLD})
    world.site.signed.clear()
    world.apply(annotations={"cronix.dev/reconcile-at": "now"})
    await world.walk()
    assert sorted(world.site.signed) == sorted([OLD, NEW])


@in_loop
async def test_a_restart_asks_once_and_writes_nothing_whoever_signs() -> None:
    """The order comes back from status; the app is asked anew, for the Secret may have changed meanwhile."""
    world = await running(OLD, keys={"current": NEW, "previous": OLD})
    for answer in (GONE, world.site.answer):
        world.site.answer = answer
        world.site.signed.clear()
        world.restart()
        world.watch()
        await again(world)
        assert mounted(world) == {("previous", "current")}
        assert written(world)["cronjobs"] == 0
    assert sorted(world.site.signed) == sorted([OLD, NEW])
    world.clear_writes()
    world.restart()
    world.watch()
    await again(world)
    assert world.writes() == []
    assert RANDOM_KEY not in world.site.signed


@in_loop
async def test_a_restart_while_no_key_is_accepted_moves_nobody() -> None:
    """Who signed is read back, too, where no state says it."""
    world = await running(OLD, keys={"current": NEW, "previous": OLD})
    world.site.accepts = {THIRD}
    await again(world)
    assert states(world) == {"current": ("refused", False), "previous": ("refused", True)}
    assert written(world)["cronjobs"] == 0
    world.restart()
    world.watch()
    await again(world)
    assert mounted(world) == {("previous", "current")}
    assert written(world)["cronjobs"] == 0


@in_loop
async def test_an_app_that_flaps_is_followed_ever_more_slowly() -> None:
    """It knows the new key for twenty minutes and forgets it for twenty, all day: undamped that is 142 writes."""
    world = await running(OLD, keys={"current": NEW, "previous": OLD})
    start = world.seconds
    while world.seconds < start + 24 * 3600:
        knows_it = int(world.seconds - start) // 1200 % 2
        world.site.accepts = {OLD, NEW} if knows_it else {OLD}
        await world.until_due()
    assert 4 <= written(world)["cronjobs"] <= 24


@in_loop
async def test_no_more_requests_than_keys_come_on_top_of_the_fetch() -> None:
    """Eight listed keys, none accepted but the last: eight for the fetch, one at random, and that is all."""
    names = [f"k{n}" for n in range(8)]
    keys = [{"name": n, "secretKeyRef": {"name": "keys", "key": n}} for n in names]
    world = await running("key-7-0123456789", keys={n: f"key-{n[1]}-0123456789" for n in names}, signing={"keys": keys})
    assert len(world.site.signed) == 9
    assert mounted(world) == {("k7", *names[:7])}
    world.site.signed.clear()
    await again(world)
    assert len(world.site.signed) == 1


@in_loop
async def test_keys_that_the_first_manifest_names_are_asked_about_in_the_same_walk() -> None:
    world = World()
    world.site.answer = served(job("sync", auth={"secret_refs": ["b", "a"]}))
    world.site.accepts = {OLD, THIRD}
    give(world, current=THIRD, b=NEW, a=OLD)
    world.apply()
    await world.walk()
    assert states(world) == {"b": ("refused", False), "a": ("accepted", True)}
    assert mounted(world) == {("a", "b")}
    assert written(world)["cronjobs"] == 1


@in_loop
async def test_nothing_made_of_a_key_is_in_status_or_in_an_event() -> None:
    """C5: not the key, and no hash of it that could be tried against guesses."""
    world = await running(OLD, keys={"current": NEW, "previous": OLD})
    text = f"{world.status()} {world.events.seen}"
    for key in (OLD, NEW):
        made = fingerprint(b"salt", key)
        for form in (key, made.hex(), base64.b64encode(made).decode(), repr(made)):
            assert form not in text
