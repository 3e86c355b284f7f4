"""One poisonous CronixApp or manifest never stops the others (promise 7, attack T8)."""

from __future__ import annotations

import json

from e2e.e2e_helpers import Place, Puppet, cronix_app, job, manifest, wait_until

DEPTH = 3000


def _deep() -> str:
    """A CronixApp whose inline manifest is 3,000 levels deep, as text: Python's own encoder refuses to go there."""
    body = cronix_app("deep", {"inline": {"hole": "HERE"}})
    return json.dumps(body).replace('"HERE"', '{"a":' * DEPTH + "1" + "}" * DEPTH)


def test_a_cronix_app_nested_beyond_reason_does_not_stop_its_neighbour(place: Place, puppet: Puppet) -> None:
    """The watch itself must survive it: what the JSON parser raises there would end the operator, again and again."""
    puppet.serve(manifest("shop", job("keep", "0 3 * * *")))
    place.kubectl("create", "-f", "-", stdin=_deep())
    # Only the conditions are read back: this process could not decode the object either.
    told = ("get", "cxa", "deep", "-o", "jsonpath={.status.conditions}")
    wait_until(lambda: "spec.source.inline is not valid" in place.kubectl(*told), 120, "the fault is told")

    place.apply(cronix_app("shop"))
    place.wait_ready("shop")
    place.kubectl("patch", "cronjob", "cronix-shop-keep-0", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_until(lambda: not place.get("cronjob", "cronix-shop-keep-0")["spec"]["suspend"], 60, "drift is repaired")


def test_one_bad_job_does_not_stop_the_others(place: Place, puppet: Puppet) -> None:
    """What Kubernetes would refuse fails that job only, with the reason in status; the rest is in step."""
    puppet.serve(
        manifest(
            "shop",
            job("good", "0 3 * * *"),
            job("zone", "0 3 * * *", timezone="Mars/Olympus"),
            job("headers", "0 3 * * *", request={"url": "http://puppet:8080/x", "headers": {"X-Cron-Run-Id": "mine"}}),
        )
    )
    place.apply(cronix_app("shop"))
    place.wait_condition("shop", "False", "JobsInvalid")
    invalid = {row["name"]: row["reason"] for row in place.get("cxa", "shop")["status"]["invalidJobs"]}
    assert invalid["zone"] == "UnknownTimeZone"
    assert invalid["headers"] == "ReservedHeader"
    assert "cronix-shop-good-0" in place.names("cronjobs")
    assert not {"cronix-shop-zone-0", "cronix-shop-headers-0"} & place.names("cronjobs")
