"""`spec.connection`: each field opens a door that is shut without it, to the operator's fetch and to the signer's fire.

One namespace, one app, all cases set up at once: each test reads what became of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from e2e.doors_helpers import GATES, Doors, cronix_app, doors_open, go

if TYPE_CHECKING:
    from e2e.conftest import Kubectl

# What this file sets up once must be set up once: its tests stay on one of the parallel workers.
pytestmark = pytest.mark.sets_up_once

CA_SECRET = {"caSecretKeyRef": {"name": "ca-in-secret", "key": "root.pem"}}
CLIENT = {"clientCertSecretRef": {"name": "client"}}


@dataclasses.dataclass(frozen=True)
class Case:
    """`key` is the connection that opens the door at `port`; `without` one that does not, and what is then said."""

    port: int
    key: dict[str, Any]
    fetch_says: str
    signer_says: str
    without: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def scheme(self) -> str:
        return "https" if self.port > 8400 else "http"


CASES = {
    "header": Case(
        8081, {"headers": [{"name": "X-Gate", "value": GATES[8081][1]}]}, "answered 403: the gate wants X-Gate", "403"
    ),
    "secretheader": Case(
        8082,
        {"headers": [{"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "token", "key": "bearer"}}}]},
        "answered 403: the gate wants Authorization",
        "403",
    ),
    "casecret": Case(
        8443, {"tls": CA_SECRET}, "unable to get local issuer certificate", "unable to get local issuer certificate"
    ),
    "caconfigmap": Case(
        8443,
        {"tls": {"caConfigMapKeyRef": {"name": "ca-in-configmap"}}},
        "unable to get local issuer certificate",
        "unable to get local issuer certificate",
    ),
    "client": Case(
        8444, {"tls": CA_SECRET | CLIENT}, "ALERT_HANDSHAKE_FAILURE", "ALERT_HANDSHAKE_FAILURE", {"tls": CA_SECRET}
    ),
}


@pytest.fixture(scope="module")
def doors(kubectl: Kubectl, operator: None, images: dict[str, str]) -> Iterator[Doors]:
    """All CronixApps of all cases, and a run of each one that has CronJobs."""
    with doors_open(kubectl, images["cronix-example"]) as doors:
        place = doors.place
        place.secret("token", bearer=GATES[8082][1] + "\n")
        place.secret("ca-in-secret", **{"root.pem": doors.ca})
        place.secret("client", **doors.client)
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca-in-configmap"}}
        place.apply({**config_map, "data": {"ca.crt": f"# our own CA\n{doors.ca}"}})
        for name, case in CASES.items():
            _set_up(doors, name, case)
        for name in CASES:
            for app in (name, f"{name}fire"):
                place.wait_ready(app)
                doors.fire(app)
        yield doors


def _set_up(doors: Doors, name: str, case: Case) -> None:
    """`<name>`: fetch and fire with the field. `<name>shut`: fetch without. `<name>fire`: no fetch, fire without."""
    origin = f"{case.scheme}://{doors.host}:{case.port}"
    for app in (name, f"{name}shut"):
        doors.serve(app, go(f"{origin}/run/{app}"))
    service = {"name": "doors", "port": case.port, "scheme": case.scheme}
    inline = {"version": 1, "app": f"{name}fire", "jobs": [go(f"{origin}/run/{name}fire")]}
    doors.place.apply(
        cronix_app(name, {"service": {**service, "path": f"/manifest/{name}"}}, connection=case.key),
        cronix_app(f"{name}shut", {"service": {**service, "path": f"/manifest/{name}shut"}}, connection=case.without),
        cronix_app(f"{name}fire", {"inline": inline}, connection=case.without),
    )


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES)
def test_the_fetch_fails_without_the_field_and_says_why(doors: Doors, name: str, case: Case) -> None:
    doors.place.wait_condition(f"{name}shut", "False", "FetchFailed", says=case.fetch_says)
    assert all(request["status"] == 403 for request in doors.requests(f"/manifest/{name}shut"))


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES)
def test_the_fire_fails_without_the_field_and_says_why(doors: Doors, name: str, case: Case) -> None:
    """The real kubelet, the real signer; the manifest is inline, so that only the fire depends on the connection."""
    ended, log = doors.ended(f"{name}fire")
    assert ended == "Failed"
    assert case.signer_says in log
    assert all(request["status"] == 403 for request in doors.requests(f"/run/{name}fire"))


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES)
def test_fetch_and_fire_get_through_with_the_field(doors: Doors, name: str, case: Case) -> None:
    """And the door that was used is the right one: the fetch and the run came in by it, both signed."""
    fetches = doors.requests(f"/manifest/{name}")
    assert {fetch["port"] for fetch in fetches} == {case.port}
    # What is not signed with our key is the random key, which must not get in.
    assert {(fetch["ok"], fetch["status"]) for fetch in fetches} - {(False, 401)} == {(True, 200)}
    assert doors.ended(name)[0] == "Complete"
    (run,) = doors.requests(f"/run/{name}")
    assert (run["port"], run["ok"], run["status"]) == (case.port, True, 200)


def test_a_header_from_a_secret_is_nowhere_but_in_its_secret(doors: Doors) -> None:
    """C5: in no other object of the namespace, nor in the operator's or the signer's log; and both did send it."""
    token = GATES[8082][1].split()[1]
    texts = {
        "objects": doors.place.kubectl("get", "cronixapps,cronjobs,jobs,pods,events,configmaps", "-o", "yaml"),
        "operator": doors.place.kubectl(
            "-n", "cronix-system", "logs", "-l", "app.kubernetes.io/name=cronix-operator", "--tail=-1"
        ),
        "signer": doors.ended("secretheader")[1],
    }
    assert [where for where, text in texts.items() if token in text or not text] == []
