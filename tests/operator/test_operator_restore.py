"""A restart while the app is away: the last good manifest is read back from the CronJobs that were made of it."""

from __future__ import annotations

from typing import Any

from operator_fakes.builders import NAMESPACE, served
from operator_fakes.world import GONE, World, in_loop

NAME = "cronix-billing-sync-0"


async def _restarted_without_the_app() -> World:
    world = World()
    world.site.answer = served("sync", "report")
    world.apply()
    await world.walk()
    world.site.answer = GONE
    world.restart()
    world.watch()
    return world


def _suspend(body: dict[str, Any]) -> None:
    body["spec"]["suspend"] = True


@in_loop
async def test_drift_is_repaired_after_a_restart_with_the_app_away() -> None:
    """Promises 3 and 5: what is repaired does not depend on which process wrote it, nor on the app being up."""
    world = await _restarted_without_the_app()
    await world.walk()
    assert (world.condition("Ready")["status"], world.condition("Ready")["reason"]) == ("True", "FetchFailed")
    world.api.touch("cronjobs", NAMESPACE, NAME, _suspend)
    await world.walk()
    assert world.api.objects["cronjobs", NAMESPACE, NAME]["spec"]["suspend"] is False


@in_loop
async def test_a_cron_job_edited_meanwhile_is_no_manifest() -> None:
    """A job file that somebody wrote must not pass for the app's word: the digest in status does not fit."""
    world = await _restarted_without_the_app()

    def edit(body: dict[str, Any]) -> None:
        env = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"]
        env[0]["value"] = env[0]["value"].replace("/sync", "/elsewhere")

    world.api.touch("cronjobs", NAMESPACE, NAME, edit)
    world.clear_writes()
    await world.walk()
    assert world.condition("Ready")["status"] == "False"
    assert world.writes("cronjobs") == []


@in_loop
async def test_a_missing_cron_job_is_not_taken_for_a_shorter_manifest() -> None:
    """Promise 2: half of the CronJobs are not the manifest; nothing is removed, nothing invented."""
    world = await _restarted_without_the_app()
    del world.api.objects["cronjobs", NAMESPACE, NAME]
    world.clear_writes()
    await world.walk()
    assert world.condition("Ready")["status"] == "False"
    assert world.writes("cronjobs") == []
