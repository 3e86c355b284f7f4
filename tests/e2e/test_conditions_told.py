"""What a new user gets wrong that the API server cannot see, and what the CronixApp's condition then says.

The table is conditions_told.yaml; all its CronixApps stand side by side in one namespace, with one app to fetch from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from e2e.doors_helpers import WEAK_KEY, Doors, cronix_app, doors_open, go
from e2e.e2e_helpers import changed, wait_until

if TYPE_CHECKING:
    from e2e.conftest import Kubectl

# What this file sets up once must be set up once: its tests stay on one of the parallel workers.
pytestmark = pytest.mark.sets_up_once

SITUATIONS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("conditions_told.yaml").read_text("utf-8"))
NAMES = {case["situation"]: f"case{number}" for number, case in enumerate(SITUATIONS)}
LONG = "x" * 70_000


def filled(value: Any, app: str, namespace: str) -> Any:
    """`value` with the placeholders of the table filled in."""
    words = {"APP": app, "NAMESPACE": namespace, "LONG": LONG}
    return json.loads(re.sub("|".join(words), lambda found: words[found[0]], json.dumps(value)))


def _manifest(app: str, serve: dict[str, Any]) -> dict[str, Any]:
    jobs = [go("http://doors:8080/run/go", **serve.get("job", {}))]
    return {"version": 1, "app": app, "jobs": jobs, **serve.get("manifest", {})}


def _answer(app: str, serve: dict[str, Any]) -> dict[str, Any]:
    answer = {part: value for part, value in serve.items() if part not in {"job", "manifest"}}
    return {"body": json.dumps(_manifest(app, serve)), **answer}


def _written(app: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The CronixApp that works, with the table's changes."""
    source = {"service": {"name": "doors", "port": 8080, "path": f"/manifest/{app}"}}
    return changed(cronix_app(app, source), changes)


@pytest.fixture(scope="module")
def doors(kubectl: Kubectl, operator: None, images: dict[str, str]) -> Iterator[Doors]:
    """Every CronixApp of the table, and what they refer to."""
    with doors_open(kubectl, images["cronix-example"]) as doors:
        place = doors.place
        place.secret("bare")
        place.secret("blank", current="\n")
        place.secret("weak", current=WEAK_KEY)
        place.secret("other", current="0123456789abcdef" * 4)
        place.secret("ca", **{"ca.crt": doors.ca})
        ports = [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]
        service = {"apiVersion": "v1", "kind": "Service"}
        place.apply(
            {**service, "metadata": {"name": "several"}, "spec": {"ports": ports, "selector": {"app": "nobody"}}},
            {
                **service,
                "metadata": {"name": "away"},
                "spec": {"type": "ExternalName", "externalName": "billing.example.com"},
            },
        )
        place.kubectl("create", "cronjob", "cronix-taken-go-0", "--image=none", "--schedule=0 0 1 1 *")
        cases = [(NAMES[case["situation"]], case) for case in SITUATIONS]
        served = {app: filled(case.get("serve", {}), app, place.namespace) for app, case in cases}
        doors.answer({f"/manifest/{app}": _answer(app, serve) for app, serve in served.items()})
        place.apply(*(_written(app, filled(case.get("write", {}), app, place.namespace)) for app, case in cases))
        yield doors


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: str(case["situation"]).replace(" ", "-"))
def test_what_a_new_user_gets_wrong_is_told_with_what_to_write(doors: Doors, case: dict[str, Any]) -> None:
    app = NAMES[case["situation"]]
    says = filled(case["says"], app, doors.place.namespace)
    wanted = re.compile(".+".join(map(re.escape, says.split("…"))))

    def told() -> bool:
        """On a machine under load a fetch may get no answer in time at first, which is told in other words."""
        message = doors.place.wait_condition(app, case.get("ready", "False"), case["reason"])
        assert wanted.fullmatch(message), f"\nit says: {message}\nwanted:  {says}"
        return True

    wait_until(told, 60, says)
    if "also" in case:
        beside = doors.place.condition(app, case["also"])
        assert (beside["status"], beside["message"]) == ("True", case.get("tells", beside["message"]))
    if "invalid" in case:
        (row,) = doors.place.get("cxa", app)["status"]["invalidJobs"]
        assert (row["name"], row["reason"]) == ("go", case["invalid"])


def test_none_of_them_disturbs_a_neighbour(doors: Doors) -> None:
    """Promise 7: in the midst of all these a CronixApp that is right is in step."""
    doors.serve("right", go("http://doors:8080/run/right"))
    doors.place.apply(_written("right", {}))
    doors.place.wait_ready("right")


def test_there_are_at_least_twenty() -> None:
    assert len(NAMES) == len(SITUATIONS) >= 20
