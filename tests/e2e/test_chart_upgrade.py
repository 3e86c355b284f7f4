"""`helm upgrade`: live CronJobs are left alone, unless the signer's image is another; then they roll in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cronix_cluster.audit import AuditMark
from e2e.chart_helpers import CHART
from e2e.conftest import SYSTEM_NAMESPACE, Helm
from e2e.e2e_helpers import Kubectl, Place, cronix_app, job, manifest, wait_until

pytestmark = pytest.mark.disruptive

OPERATOR = "system:serviceaccount:cronix-system:cronix-cronix-operator"
RATE = 5
JOBS = 12


@pytest.fixture
def release(helm: Helm, images: dict[str, str], install_operator: Callable[[], None]) -> Iterator[Callable[..., None]]:
    """A function that upgrades the release to a chart with further values; at the end it is as other tests expect."""

    def upgrade(chart: Path, **values: str) -> None:
        operator, signer = (images[name].rsplit(":", 1) for name in ("cronix-operator", "cronix-signer"))
        given = {
            "image.repository": operator[0],
            "image.tag": operator[1],
            "signer.image.repository": signer[0],
            "signer.image.tag": signer[1],
            "signer.rollsPerSecond": str(RATE),
            **{name.replace("__", "."): value for name, value in values.items()},
        }
        helm(
            "upgrade", "--install", "cronix", str(chart), "--namespace", SYSTEM_NAMESPACE, "--create-namespace",
            "--take-ownership", "--wait", "--timeout", "180s",
            "--set", ",".join(f"{name}={value}" for name, value in given.items()),
        )  # fmt: skip

    yield upgrade
    install_operator()


@pytest.fixture
def previous(helm: Helm, tmp_path: Path) -> Path:
    """This chart under an earlier version, packaged as a repository would serve it."""
    helm("package", str(CHART), "--version", "0.0.9", "--destination", str(tmp_path))
    return tmp_path / "cronix-operator-0.0.9.tgz"


def app(name: str) -> dict[str, Any]:
    jobs = [job(f"job-{n}", f"{n} 0 1 1 *") for n in range(JOBS)]
    return cronix_app(name, {"inline": manifest(name, *jobs)})


def states(place: Place) -> dict[str, tuple[str, str]]:
    """uid and resourceVersion of each CronJob."""
    return {
        item["metadata"]["name"]: (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for item in place.items("cronjobs")
    }


def signers(place: Place) -> set[str]:
    found = (item["spec"]["jobTemplate"]["spec"]["template"]["spec"] for item in place.items("cronjobs"))
    return {pod["containers"][0]["image"] for pod in found}


def test_an_upgrade_leaves_cron_jobs_alone_and_a_new_signer_is_rolled_in_turns(
    release: Callable[..., None],
    previous: Path,
    kubectl: Kubectl,
    namespace: str,
    audit: Callable[[], AuditMark],
    images: dict[str, str],
) -> None:
    """Promise 4 for the platform team: one write for each CronJob, a few a second over all apps, one Event an app."""
    place = Place(kubectl, namespace)
    release(previous)
    place.secret("puppet-cron", current="k" * 32)
    place.apply(app("one"), app("two"))
    for name in ("one", "two"):
        place.wait_ready(name)
    before = states(place)
    assert len(before) == 2 * JOBS

    mark = audit()
    release(CHART)
    place.kubectl("annotate", "cxa", "one", "two", "cronix.dev/reconcile-at=now")
    for name in ("one", "two"):
        wait_until(
            lambda name=name: place.get("cxa", name)["status"].get("lastHandledReconcileAt") == "now",  # type: ignore[misc]  # mypy cannot infer a default
            120,
            "the new operator has walked",
        )
    assert states(place) == before
    assert [e for e in mark.writes(user=OPERATOR, namespace=namespace) if e.resource == "cronjobs"] == []

    mark = audit()
    repository = images["cronix-signer"].rsplit(":", 1)[0]
    release(CHART, signer__image__tag="another")
    wait_until(lambda: signers(place) == {f"{repository}:another"}, 120, "all run the new signer")
    wait_until(lambda: len(place.events("SignerRolled")) == 2, 60, "one Event an app")
    assert {name: uid for name, (uid, _) in states(place).items()} == {name: uid for name, (uid, _) in before.items()}
    assert place.events("DriftRepaired") == []
    writes = [e for e in mark.writes(user=OPERATOR, namespace=namespace) if e.resource == "cronjobs"]
    assert [(e.verb, e.status) for e in writes] == [("update", 200)] * len(before), "one write for each"
    times = sorted(datetime.fromisoformat(e.received).timestamp() for e in writes)
    # When a request came in says little about one second; the whole cannot have been faster than this.
    turns = -(-len(times) // RATE)
    assert times[-1] - times[0] > (turns - 2), "they did not all go at once"
