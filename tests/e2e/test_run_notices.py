"""A failure and a recovery reach the address that the CronixApp names, signed, on the real cluster."""

from __future__ import annotations

import json
from typing import Any

from e2e.e2e_helpers import Place, Puppet, cronix_app, manifest, wait_until
from e2e.run_scenes import by_hand, quick


def notices(puppet: Puppet) -> list[dict[str, Any]]:
    """What was posted and verified, oldest first."""
    return [json.loads(request["body"]) for request in puppet.requests("/notices") if request["ok"]]


def test_a_failure_and_its_recovery_are_posted_signed(place: Place, puppet: Puppet) -> None:
    """The receiver is busy at first; the notice comes again, and is told in the words of the Event."""
    puppet.manage(answers={"notices": {"status": 503}}, trigger_status=404)
    puppet.serve(manifest("shop", quick("sync")))
    place.apply(cronix_app("shop", notify={"url": "http://puppet:8080/notices"}))
    place.wait_ready("shop")
    by_hand(place, "shop", "sync", "bad")
    wait_until(lambda: notices(puppet), 60, "a first try")
    puppet.manage(answers={}, trigger_status=200)
    wait_until(lambda: len(notices(puppet)) >= 2, 60, "a second try")
    by_hand(place, "shop", "sync", "good")
    wait_until(lambda: notices(puppet)[-1]["type"] == "recovery", 60, "the recovery")
    failure, recovery = notices(puppet)[0], notices(puppet)[-1]
    assert (failure["type"], failure["reason"], recovery["reason"]) == ("failure", "AppRejected", "Recovered")
    assert (failure["namespace"], failure["name"], failure["app"]) == (place.namespace, "shop", "shop")
    # A notice may be there before its Event.
    assert wait_until(lambda: place.events("AppRejected"), 60, "the Event")[0] in failure["text"]
    assert place.events("NotifyFailed") == []


def test_a_notice_goes_nowhere_that_a_fetch_may_not(place: Place, puppet: Puppet) -> None:
    """S1, S9: another namespace's Service needs targets.allowedHosts; the Event says what to write."""
    puppet.manage(trigger_status=404)
    puppet.serve(manifest("shop", quick("sync")))
    place.apply(cronix_app("shop", notify={"url": "https://kubernetes.default.svc/notices"}))
    place.wait_ready("shop")
    by_hand(place, "shop", "sync", "bad")
    (text, *_) = wait_until(lambda: place.events("NotifyFailed"), 60, "it is told")
    assert "spec.notify.url" in text
    assert "spec.targets.allowedHosts" in text
