"""No edit and no un-suspend ever fires a slot that has passed; with the twin that shows it would have."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from e2e.e2e_helpers import PATIENCE_SECONDS, Place, Puppet, cronix_app, job, manifest, wait_until

NAME = "cronix-shop-slow-0"


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # the test asks which slot has just passed


def _slot_ahead() -> datetime:
    """A full minute that leaves time to have everything ready for it."""
    return (_now() + timedelta(seconds=120)).replace(second=0, microsecond=0)


def _daily_at(slot: datetime) -> str:
    return f"{slot.minute} {slot.hour} * * *"


def _slow(slot: datetime) -> dict[str, Any]:
    return _job(_daily_at(slot))


def _job(schedule: str) -> dict[str, Any]:
    return job("slow", schedule, policy={"timeout_seconds": 300, "retries": {"max_attempts": 1}})


def _set_up(place: Place, puppet: Puppet, *, suspend: bool = False) -> datetime:
    """App and twin, ready and waiting for a slot that is still to come; the slot."""
    puppet.serve(manifest("shop", _job("0 3 1 1 *")))
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    slot = _slot_ahead()
    puppet.serve(manifest("shop", _slow(slot)))
    place.reconcile_now("shop")
    wait_until(lambda: place.get("cronjob", NAME)["spec"]["schedule"] == _daily_at(slot), 40, "in time for the slot")
    place.apply(cronix_app("shop", suspend=suspend))  # a suspended app's manifest is not read
    spec = wait_until(lambda: _spec_if(place, suspend), 40, "in time for the slot")
    place.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "twin"}, "spec": spec})
    assert _now() < slot, "this machine was too slow for the test to mean anything"
    return slot


def _spec_if(place: Place, suspend: bool) -> dict[str, Any] | None:
    spec: dict[str, Any] = place.get("cronjob", NAME)["spec"]
    return spec if spec["suspend"] is suspend else None


def _job_count(place: Place, cron_job: str) -> int:
    return sum(name.startswith(f"{cron_job}-") for name in place.names("jobs"))


def test_an_edit_to_a_slot_just_past_fires_nothing_when_the_run_in_flight_ends(place: Place, puppet: Puppet) -> None:
    """Promise 4, K11: the controller finds a past slot not at the edit but when the run in flight has ended.

    The twin is a copy that nobody fences: edited in the same way at the same time, it does fire the past slot, so a
    quiet CronJob of ours means something.
    """
    puppet.manage(held=["slow"])
    first = _set_up(place, puppet)
    second = first + timedelta(minutes=1)

    wait_until(lambda: _now() > second + timedelta(seconds=2), 180, "the second slot has passed")
    assert (_job_count(place, NAME), _job_count(place, "twin")) == (1, 1), "both runs are in flight"
    wait_until(lambda: len(puppet.triggers("slow")) == 2, PATIENCE_SECONDS, "both have called the app")
    puppet.serve(manifest("shop", _slow(second)))
    place.reconcile_now("shop")
    patch = json.dumps({"spec": {"schedule": _daily_at(second)}})
    place.kubectl("patch", "cronjob", "twin", "--type=merge", "-p", patch)
    wait_until(lambda: place.get("cronjob", NAME)["spec"]["schedule"] == _daily_at(second), 60, "the edit")
    puppet.manage(held=[])

    wait_until(
        lambda: _job_count(place, "twin") == 2, PATIENCE_SECONDS, "the twin, unfenced, fires the slot that has passed"
    )
    wait_until(lambda: not place.get("cronjob", NAME)["status"].get("active"), PATIENCE_SECONDS, "our run has ended")
    time.sleep(5)  # the twin took less than that after its own run had ended
    assert _job_count(place, NAME) == 1


def test_resuming_an_app_fires_no_slot_of_the_time_it_was_suspended(place: Place, puppet: Puppet) -> None:
    """Un-suspend inside startingDeadlineSeconds: the twin fires the missed slot at once, ours waits for the next."""
    slot = _set_up(place, puppet, suspend=True)

    wait_until(lambda: _now() > slot + timedelta(seconds=2), 120, "a slot passes while suspended")
    place.kubectl("patch", "cronjob", "twin", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    place.apply(cronix_app("shop"))
    wait_until(lambda: not place.get("cronjob", NAME)["spec"]["suspend"], 60, "resumed")
    wait_until(lambda: _job_count(place, "twin") == 1, PATIENCE_SECONDS, "the twin fires the missed slot")
    time.sleep(5)
    assert _job_count(place, NAME) == 0
