"""A key is replaced while a job fires every minute, in every order of the steps: no run is lost, status tells all.

After each step a run is made at once, so that it meets the step before the operator does; the scheduled ones go on
beside them. The app on strings verifies with the keys that the test gives it; the example app reads the same Secret as
the signer, through its kubelet, up to a minute late.
"""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

from e2e.e2e_helpers import Place, Puppet, cronix_app, job, manifest, wait_until

EXAMPLE = Path(__file__).parents[2] / "examples/hello"
OLD, NEW = f"old-{secrets.token_hex(16)}", f"new-{secrets.token_hex(16)}"
RUN_SECONDS = 150
LOOK_SECONDS = 120
SLOT_SECONDS = 150
CRON_JOB = "cronix-shop-count-0"


class Rotation:
    """An app with a minutely job, its Secret and its CronixApp; starts with the old key on both sides."""

    def __init__(self, place: Place, puppet: Puppet) -> None:
        self.place = place
        self.puppet = puppet
        self.runs = 0
        self.app(OLD)
        self.secret(current=OLD)
        puppet.serve(manifest("shop", job("count")))
        # The operator looks when it is asked, so that the run after each step is always ahead of it.
        place.apply(cronix_app("shop", {"service": {"name": "puppet"}, "interval": "1h"}))
        place.wait_ready("shop")
        self.expect({"current": ("accepted", True)}, None)

    def app(self, *keys: str) -> None:
        """The app verifies with these keys from now on."""
        self.puppet.manage(keys=keys)

    def secret(self, **keys: str) -> None:
        """The Secret holds these keys from now on, for every pod that starts."""
        self.place.secret("puppet-cron", **keys)

    def run_now(self) -> list[bool]:
        """A run that starts now succeeds; whether the app verified each of its requests."""
        self.runs += 1
        run_id = run_now(self.place, CRON_JOB, f"by-hand-{self.runs}")
        return [t["ok"] for t in self.puppet.triggers("count") if t["headers"]["X-Cron-Run-Id"] == run_id]

    def expect(self, keys: dict[str, tuple[str, bool]], rotation: str | None) -> None:
        """The operator, asked to look now, tells these states and signing keys, and how far the rotation is."""
        self.place.reconcile_now("shop")
        wait_until(lambda: self.rows() == keys and self.reason() == rotation, LOOK_SECONDS, f"{keys}, {rotation}")

    def rows(self) -> dict[str, tuple[str, bool]]:
        """status.keys as name → (state, signs)."""
        return {row["name"]: (row["state"], row["signs"]) for row in self.place.get("cxa", "shop")["status"]["keys"]}

    def reason(self) -> str | None:
        return self.place.condition("shop", "KeyRotation").get("reason")

    def mounted(self) -> list[str]:
        """The order of the keys in the CronJob."""
        pod = self.place.get("cronjob", CRON_JOB)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        sources = next(volume for volume in pod["volumes"] if volume["name"] == "keys")["projected"]["sources"]
        return [source["secret"]["items"][0]["key"] for source in sources]

    def refused_attempts(self) -> int:
        return sum(not trigger["ok"] for trigger in self.puppet.triggers("count"))

    def no_run_was_lost(self) -> None:
        """Every run, a scheduled one at least among them, was verified in the end; Kubernetes counts none as failed."""
        wait_until(self._slots, SLOT_SECONDS, "a scheduled run has ended")
        wait_until(self._all_ended, RUN_SECONDS, "quiet")
        seen = [(trigger["headers"]["X-Cron-Run-Id"], trigger["ok"]) for trigger in self.puppet.triggers("count")]
        verified = {run_id for run_id, ok in seen if ok}
        assert {run_id for run_id, _ in seen} == verified
        assert len(verified) >= self.runs + 1
        nothing_failed(self.place)

    def _slots(self) -> list[Any]:
        return [j for j in self.place.items("jobs") if j["metadata"]["name"].startswith(CRON_JOB) and _has_ended(j)]

    def _all_ended(self) -> bool:
        return all(map(_has_ended, self.place.items("jobs")))


def _has_ended(run: dict[str, Any]) -> bool:
    """A Job of this moment is not even called active yet."""
    return any(c["type"] in {"Complete", "Failed"} for c in run["status"].get("conditions", []))


def run_now(place: Place, cron_job: str, name: str) -> str:
    """Make a Job of a CronJob, by hand, and wait until it has succeeded; the id of the run."""
    place.kubectl("create", "job", name, f"--from=cronjob/{cron_job}")

    def ended() -> dict[str, Any] | None:
        status: dict[str, Any] = place.get("job", name)["status"]
        return status if status.get("succeeded") or status.get("failed") else None

    status = wait_until(ended, RUN_SECONDS, f"job {name} has ended")
    log = place.kubectl("logs", f"job/{name}")
    assert status.get("succeeded"), log
    return str(json.loads(log.splitlines()[-1])["run_id"])


def nothing_failed(place: Place) -> None:
    assert [run["metadata"]["name"] for run in place.items("jobs") if run["status"].get("failed")] == []


def test_the_app_first(place: Place, puppet: Puppet) -> None:
    """App knows both; Secret gets both; app forgets the old one; Secret too. The new key signs at once, unrefused."""
    world = Rotation(place, puppet)
    world.app(OLD, NEW)
    world.run_now()
    world.secret(current=NEW, previous=OLD)
    world.run_now()
    world.expect({"current": ("accepted", True), "previous": ("accepted", False)}, "OldKeyAccepted")
    world.app(NEW)
    world.run_now()
    world.expect({"current": ("accepted", True), "previous": ("refused", False)}, "OldKeyUnused")
    world.secret(current=NEW)
    world.run_now()
    world.expect({"current": ("accepted", True)}, None)
    world.no_run_was_lost()
    assert world.refused_attempts() == 0
    assert world.mounted() == ["current", "previous"]


def test_the_secret_first(place: Place, puppet: Puppet) -> None:
    """The run before the operator's look is refused once and goes through with the old key; then the old one signs.

    When the app has the new key it is promoted after a second look, and that is told.
    """
    world = Rotation(place, puppet)
    world.secret(current=NEW, previous=OLD)
    assert world.run_now() == [False, True], "refused with the new key, and the same attempt made with the old one"
    world.expect({"current": ("refused", False), "previous": ("accepted", True)}, "KeyAwaited")
    assert world.mounted() == ["previous", "current"]
    assert world.run_now() == [True], "the operator has put the key that the app knows first"
    assert "does not accept" in place.condition("shop", "KeyRotation")["message"]

    world.app(OLD, NEW)
    world.expect({"current": ("accepted", False), "previous": ("accepted", True)}, "KeyAwaited")
    done = {"current": ("accepted", True), "previous": ("accepted", False)}
    wait_until(lambda: world.rows() == done, 150, "promoted by itself after the second look")
    assert world.mounted() == ["current", "previous"]
    wait_until(lambda: any('"current" from now on' in m for m in place.events("KeyPromoted")), 60, "an Event")
    world.run_now()
    world.app(NEW)
    world.run_now()
    world.secret(current=NEW)
    world.run_now()
    world.expect({"current": ("accepted", True)}, None)
    world.no_run_was_lost()


def test_both_at_once_through_one_secret(place: Place, images: dict[str, str]) -> None:
    """App and signer mount one Secret: new pods see a change at once, the app when its kubelet looks again."""
    place.secret("hello-cron", current=OLD)
    objects = (
        (EXAMPLE / "kubernetes.yaml").read_text().replace("cronix.local/cronix-example:dev", images["cronix-example"])
    )
    place.kubectl("apply", "-f", "-", stdin=objects)
    place.kubectl("apply", "-f", str(EXAMPLE / "cronixapp.yaml"))
    place.wait_ready("hello", seconds=150)

    place.secret("hello-cron", current=NEW, previous=OLD)
    run_now(place, "cronix-hello-tick-0", "at-once")
    place.reconcile_now("hello")
    run_now(place, "cronix-hello-tick-0", "looked-at")
    wait_until(lambda: _both_accepted(place), 300, "the app has both, and the new one signs")
    run_now(place, "cronix-hello-tick-0", "with-both")
    place.secret("hello-cron", current=NEW)
    run_now(place, "cronix-hello-tick-0", "with-the-new-one")
    nothing_failed(place)


def _both_accepted(place: Place) -> bool:
    """Ask for a look, and see five seconds later."""
    place.reconcile_now("hello")
    time.sleep(5)
    return bool(place.condition("hello", "KeyRotation").get("reason") == "OldKeyAccepted")


def test_a_rollback(place: Place, puppet: Puppet) -> None:
    """The new key signs; the app is rolled back to the old one, then the Secret. At last no key fits: told at once."""
    world = Rotation(place, puppet)
    world.app(OLD, NEW)
    world.secret(current=NEW, previous=OLD)
    world.expect({"current": ("accepted", True), "previous": ("accepted", False)}, "OldKeyAccepted")
    world.app(OLD)
    assert world.run_now() == [False, True]
    world.expect({"current": ("refused", False), "previous": ("accepted", True)}, "KeyAwaited")
    assert world.run_now() == [True]
    world.secret(current=OLD)
    world.run_now()
    world.expect({"current": ("accepted", True)}, None)
    world.no_run_was_lost()

    world.app(NEW)
    place.reconcile_now("shop")
    told = place.wait_condition("shop", "True", "NoKeyAccepted", kind="NoKeyAccepted")
    assert '"current"' in told
    assert place.condition("shop")["status"] == "True", "the last good manifest stays in force"
    assert world.rows() == {"current": ("refused", True)}
    assert place.names("cronjobs") == {CRON_JOB}


def test_an_app_that_lets_everybody_in_is_reported(place: Place, puppet: Puppet) -> None:
    """A random key gets the manifest: SignatureNotEnforced, with what to do, and no state that would be a guess."""
    puppet.manage(verifies=False)
    puppet.serve(manifest("shop", job("yearly", "0 0 1 1 *")))
    place.apply(cronix_app("shop"))
    told = place.wait_condition("shop", "True", "SignatureNotEnforced", kind="SignatureNotEnforced")
    assert "cronix.dev/probe-signature=off" in told
    status = place.get("cxa", "shop")["status"]
    assert status["signature"]["enforced"] is False
    assert status["keys"] == [{"name": "current", "state": "unknown", "signs": True}]
    assert place.condition("shop")["status"] == "True"

    puppet.manage(verifies=True)
    place.kubectl("annotate", "cxa", "shop", "cronix.dev/probe-signature=fixed")
    wait_until(lambda: place.get("cxa", "shop")["status"]["signature"]["enforced"] is True, 120, "it verifies now")
    assert place.condition("shop", "SignatureNotEnforced") == {}
    assert place.get("cxa", "shop")["status"]["lastHandledProbeSignature"] == "fixed"
