"""An object that was stored before a default existed reads like one made today (attack K10)."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from crd.crd_helpers import load_crd, root_schema
from cronix_operator.core.app import parse_app
from operator_fakes.builders import one

META = {"namespace": "shop", "name": "billing", "uid": "u", "generation": 1}
OLDEST = {"source": {"service": {"name": "billing"}}, "signing": {"secretRef": {"name": "keys"}}}


def defaulted(value: Any, schema: dict[str, Any]) -> Any:
    """What the API server fills in."""
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        missing = {k: copy.deepcopy(f["default"]) for k, f in fields.items() if k not in value and "default" in f}
        return {k: defaulted(v, fields.get(k, {})) for k, v in {**value, **missing}.items()}
    return [defaulted(v, schema["items"]) for v in value] if isinstance(value, list) and "items" in schema else value


def test_an_object_without_any_default_means_what_the_server_would_have_filled_in() -> None:
    """K10: the operator's own defaults are the CRD's, so a CronixApp of any age renders the same CronJobs."""
    today = defaulted(OLDEST, root_schema()["properties"]["spec"])
    assert today != OLDEST
    old, new = (parse_app({"metadata": META, "spec": spec}) for spec in (OLDEST, today))
    assert one(old).body == one(new).body
    assert dataclasses.replace(old, job_defaults=new.job_defaults) == new


def test_there_is_one_version_and_it_is_the_stored_one() -> None:
    """K10: nothing to convert, so no webhook that could be down."""
    crd = load_crd()["spec"]
    assert [(v["name"], v["served"], v["storage"]) for v in crd["versions"]] == [("v1alpha1", True, True)]
    assert crd.get("conversion", {}).get("strategy", "None") == "None"
