"""No edit and no un-suspend ever fires a slot that has passed; with the twin that shows it would have."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from e2e.e2e_helpers import Place, Puppet, cronix_app, job, manifest, wait_until

NAME = "cronix-shop-slow-0"


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # the test asks which slot has just passed


def _daily_at(slot: datetime) -> str:
    return f"{slot.minute} {slot.hour} * * *"


def _slow(slot: datetime) -> dict[str, Any]:
    return job("slow", _daily_at(slot), policy={"timeout_seconds": 120, "retries": {"max_attempts": 1}})


def _job_count(place: Place, cron_job: str) -> int:
    return sum(name.startswith(f"{cron_job}-") for name in place.names("jobs"))


def test_an_edit_to_a_slot_just_past_fires_nothing_when_the_run_in_flight_ends(place: Place, puppet: Puppet) -> None:
    """Promise 4, K11: the controller finds a past slot not at the edit but when the run in flight has ended.

    The twin is a copy that nobody fences: edited in the same way at the same time, it does fire the past slot, so a
    quiet CronJob of ours means something.
    """
    first = (_now() + timedelta(seconds=75)).replace(second=0, microsecond=0)
    second = first + timedelta(minutes=1)
    puppet.serve(manifest("shop", _slow(first)))
    puppet.manage(trigger_seconds=70)
    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    spec = place.get("cronjob", NAME)["spec"]
    place.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "twin"}, "spec": spec})

    wait_until(lambda: _now() > second + timedelta(seconds=2), 180, "the second slot has passed")
    assert (_job_count(place, NAME), _job_count(place, "twin")) == (1, 1), "both runs are in flight"
    puppet.serve(manifest("shop", _slow(second)))
    place.reconcile_now("shop")
    patch = json.dumps({"spec": {"schedule": _daily_at(second)}})
    place.kubectl("patch", "cronjob", "twin", "--type=merge", "-p", patch)
    wait_until(lambda: place.get("cronjob", NAME)["spec"]["schedule"] == _daily_at(second), 15, "the edit")

    wait_until(lambda: _job_count(place, "twin") == 2, 60, "the twin, unfenced, fires the slot that has passed")
    wait_until(lambda: not place.get("cronjob", NAME)["status"].get("active"), 60, "our run has ended")
    time.sleep(5)  # the twin took less than that after its own run had ended
    assert _job_count(place, NAME) == 1


def test_resuming_an_app_fires_no_slot_of_the_time_it_was_suspended(place: Place, puppet: Puppet) -> None:
    """Un-suspend inside startingDeadlineSeconds: the twin fires the missed slot at once, ours waits for the next."""
    slot = (_now() + timedelta(seconds=65)).replace(second=0, microsecond=0)
    puppet.serve(manifest("shop", _slow(slot)))
    place.apply(cronix_app("shop", suspend=True))
    place.wait_condition("shop", "True", "Suspended")
    spec = place.get("cronjob", NAME)["spec"]
    assert spec["suspend"] is True
    place.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "twin"}, "spec": spec})

    wait_until(lambda: _now() > slot + timedelta(seconds=2), 120, "a slot passes while suspended")
    place.kubectl("patch", "cronjob", "twin", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    place.apply(cronix_app("shop"))
    wait_until(lambda: not place.get("cronjob", NAME)["spec"]["suspend"], 15, "resumed")
    wait_until(lambda: _job_count(place, "twin") == 1, 30, "the twin fires the missed slot")
    time.sleep(5)
    assert _job_count(place, NAME) == 0
