"""Drift, path by path: everything the API server lets anybody change on a CronJob of ours is put back and told."""

from __future__ import annotations

import dataclasses
import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.bulk import JSON_PATCH, MERGE_PATCH, Bulk, Call, accepted, cron_jobs, cronix_apps
from e2e.e2e_helpers import Place, cronix_app, job, manifest, wait_until
from e2e.json_paths import Tampering, tamperings

pytestmark = pytest.mark.sets_up_once

JOBS_PER_APP = 10  # one walk tells at most ten Events
FEWEST_PATHS = 250  # so that a schema which could not be read does not pass for a proof
CONVERGE_SECONDS = 180
SPEC = "io.k8s.api.batch.v1.CronJobSpec"
OURS = "cronix.dev/"
DELETIONS = ("Background", "Foreground", "Orphan")
WIPED = ("metadata.ownerReferences", "metadata.labels", "metadata.annotations")
TOOL = {"labels": {"example.com/team": "kept"}, "annotations": {"example.com/tool": "kept"}}
# Everything that a CronixApp may put into a pod, so that each kind of field has a live value to be changed.
POD = {
    "labels": {"team": "shop"},
    "annotations": {"example.com/note": "x"},
    "nodeSelector": {"example.com/node": "none"},
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
    "imagePullSecrets": [{"name": "pull"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}
    ]}},
}  # fmt: skip
SPEC_OF_THE_APPS = {
    "signing": {"keys": [{"name": n, "secretKeyRef": {"name": "keys", "key": n}} for n in ("new", "old")]},
    "connection": {"headers": [{"name": "X-Gate", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "token"}}}]},
    "jobDefaults": {"ttlSecondsAfterFinished": 600, "pod": POD},
}


@dataclasses.dataclass(slots=True)
class Fleet:
    """Many apps with ten yearly jobs each; `good` is every CronJob as the operator made it, by name."""

    place: Place
    bulk: Bulk
    good: dict[str, dict[str, Any]]

    def live(self) -> dict[str, dict[str, Any]]:
        return {item["metadata"]["name"]: item for item in self.bulk.items(cron_jobs(self.place.namespace))}

    def astray(self) -> list[str]:
        """Names of the CronJobs that are not as they were made; the time this takes is the time to converge."""
        live = self.live()
        return [name for name, body in self.good.items() if name not in live or not _same(live[name], body)]

    def wait_repaired(self) -> float:
        started = time.monotonic()
        try:
            wait_until(lambda: not self.astray(), CONVERGE_SECONDS, "every CronJob is as it was")
        except AssertionError as exc:
            raise AssertionError(f"{exc}; not repaired: {self.astray()}") from exc
        return time.monotonic() - started


def _launch(place: Place, bulk: Bulk, count: int) -> Fleet:
    """`count` CronJobs or a few more, in apps of ten."""
    jobs = [job(f"j{n}", f"{n} 3 1 1 *") for n in range(JOBS_PER_APP)]
    names = [f"a{n}" for n in range(-(-count // JOBS_PER_APP))]
    bodies = [cronix_app(name, {"inline": manifest(name, *jobs)}, **SPEC_OF_THE_APPS) for name in names]
    accepted(bulk.send(Call("POST", cronix_apps(place.namespace), body) for body in bodies))
    fleet = Fleet(place, bulk, {})
    wait_until(lambda: len(fleet.live()) == len(names) * JOBS_PER_APP, 240, "every CronJob is made")
    tools = [Call("PATCH", cron_jobs(place.namespace, n), {"metadata": TOOL}, MERGE_PATCH) for n in fleet.live()]
    accepted(bulk.send(tools))
    fleet.good = fleet.live()
    return fleet


def _kept(meta: Mapping[str, Any]) -> tuple[Any, ...]:
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k not in TOOL["labels"]}
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith(OURS)}
    owners = meta.get("ownerReferences")
    return labels, annotations, owners, meta.get("finalizers"), meta.get("deletionTimestamp")


def _same(live: Mapping[str, Any], good: Mapping[str, Any]) -> bool:
    return live["spec"] == good["spec"] and _kept(live["metadata"]) == _kept(good["metadata"])


def _of_spec(fleet: Fleet) -> list[Tampering]:
    """Those of all conceivable changes of the spec that the API server takes and that change something."""
    schemas = fleet.bulk.one(Call("GET", "/openapi/v3/apis/batch/v1")).body["components"]["schemas"]
    name, live = next(iter(fleet.good.items()))
    found = list(tamperings(live["spec"], schemas[SPEC], schemas, "spec", "/spec"))
    path = cron_jobs(fleet.place.namespace, name)
    tried = fleet.bulk.send(Call("PATCH", path, t.patch, JSON_PATCH, {"dryRun": "All"}) for t in found)
    return [t for t, reply in zip(found, tried, strict=True) if reply.ok and reply.body["spec"] != live["spec"]]


def _of_metadata(fleet: Fleet) -> Iterator[Tampering]:
    """Every label, annotation, owner and finalizer: edited, removed, added to, falsified."""
    meta = next(iter(fleet.good.values()))["metadata"]
    for part in ("labels", "annotations"):
        yield Tampering("remove", f"metadata.{part}", [{"op": "remove", "path": f"/metadata/{part}"}])
        for key in [key for key in meta[part] if "example.com" not in key]:
            pointer, path = f"/metadata/{part}/{key.replace('/', '~1')}", f"metadata.{part}[{key}]"
            yield Tampering("remove", path, [{"op": "remove", "path": pointer}])
            yield Tampering("edit", path, [{"op": "replace", "path": pointer, "value": "other"}])
        added = {"op": "add", "path": f"/metadata/{part}/cronix.dev~1added", "value": "x"}
        yield Tampering("add", f"metadata.{part}[cronix.dev/added]", [added])
    owners = "/metadata/ownerReferences"
    nobody = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-0000-4000-8000-000000000000"}
    root_ca = fleet.place.get("configmap", "kube-root-ca.crt")["metadata"]
    neighbour = {**nobody, "name": root_ca["name"], "uid": root_ca["uid"]}
    yield Tampering("remove", "metadata.ownerReferences", [{"op": "remove", "path": owners}])
    yield Tampering("add", "metadata.ownerReferences", [{"op": "add", "path": f"{owners}/-", "value": neighbour}])
    for field, value in {**nobody, "apiVersion": "cronix.dev/v9", "controller": False}.items():
        edit = {"op": "replace", "path": f"{owners}/0/{field}", "value": value}
        yield Tampering("edit", "metadata.ownerReferences", [edit])
    for fake in (nobody, {**nobody, "controller": True}):
        yield Tampering("falsify", "metadata.ownerReferences", [{"op": "replace", "path": owners, "value": [fake]}])
    finalizers = {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"]}
    yield Tampering("add", "metadata.finalizers", [finalizers])


def test_whatever_path_is_changed_it_is_put_back_and_the_event_names_it(
    place: Place, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise 5, K3: each path of the live object and of the server's schema: edited, removed, added; all at once.

    A falsified owner makes Kubernetes' garbage collection delete the object (no operator is faster): it is made anew.
    """
    fleet = _launch(place, Bulk(kubeconfig), 420)
    plan = [*_of_spec(fleet), *_of_metadata(fleet), *(Tampering("delete", how, []) for how in DELETIONS)]
    assert len(plan) >= FEWEST_PATHS
    victims = dict(zip(fleet.good, plan, strict=False))
    assert len(victims) == len(plan), "one CronJob for each change"

    accepted(fleet.bulk.send(_call(place, name, change) for name, change in victims.items()))
    seconds = fleet.wait_repaired()

    try:
        wait_until(lambda: not _untold(fleet, victims), 90, "an Event for each")
    except AssertionError as exc:
        raise AssertionError(f"{exc}; not told: {_untold(fleet, victims)}") from exc
    _assert_the_same_objects(fleet, victims)
    again = _several_at_once(fleet, [change for change in plan if change.path.startswith("spec.")])
    with capsys.disabled():
        print(f"\n[drift] {len(plan)} changes put back {seconds:.1f} s after the last, {again}")


def _several_at_once(fleet: Fleet, changes: list[Tampering]) -> str:
    """Two to five changes to each CronJob in one go, drawn at random; the answer and a failure tell the seed."""
    seed = int(os.environ.get("CRONIX_TEST_SEED") or time.time_ns())
    draw = random.Random(seed)
    before = fleet.live()
    calls = []
    for name in before:
        ops = [op for change in draw.sample(changes, draw.randint(2, 5)) for op in change.patch]
        calls.append(Call("PATCH", cron_jobs(fleet.place.namespace, name), ops, JSON_PATCH))
    taken = sum(reply.ok for reply in fleet.bulk.send(calls))  # some contradict each other and are refused as a whole
    assert taken >= len(calls) // 3, f"CRONIX_TEST_SEED={seed}"
    try:
        seconds = fleet.wait_repaired()
    except AssertionError as exc:
        raise AssertionError(f"CRONIX_TEST_SEED={seed}: {exc}") from exc
    after = fleet.live()
    assert {n: b["metadata"]["uid"] for n, b in after.items()} == {n: b["metadata"]["uid"] for n, b in before.items()}
    return f"{taken} CronJobs with 2 to 5 changes each {seconds:.1f} s after, seed {seed}"


def _call(place: Place, name: str, change: Tampering) -> Call:
    path = cron_jobs(place.namespace, name)
    if change.verb != "delete":
        return Call("PATCH", path, change.patch, JSON_PATCH)
    return Call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": change.path})


def _untold(fleet: Fleet, victims: Mapping[str, Tampering]) -> list[str]:
    said = (
        fleet.place.events("DriftRepaired") + fleet.place.events("NameConflict") + fleet.place.events("ManifestApplied")
    )
    return [f"{name}: {t}" for name, t in victims.items() if not any(f'"{name}"' in m and _names(m, t) for m in said)]


def _names(message: str, change: Tampering) -> bool:
    if change.path in {"metadata.ownerReferences", *DELETIONS} and "deleted by someone else" in message:
        return True
    fields = message.partition(": ")[2].partition(" was changed")[0].split(", ")
    # What is taken out of a list moves its neighbours: the list is what is named then.
    place = change.path.rpartition("[")[0] if change.path.endswith("]") and change.verb == "remove" else change.path
    return any(field.startswith(place) or place.startswith(field) for field in fields)


def _assert_the_same_objects(fleet: Fleet, victims: Mapping[str, Tampering]) -> None:
    """In place: the uid is kept and so are other tools' notes, but for what was deleted or wiped by the other side."""
    for name, body in fleet.live().items():
        change = victims.get(name)
        if change is not None and (change.path in WIPED or change.verb == "delete"):
            continue
        was, now = fleet.good[name]["metadata"], body["metadata"]
        assert now["uid"] == was["uid"], f"{name} was made anew after {change}"
        assert now["annotations"]["example.com/tool"] == now["labels"]["example.com/team"] == "kept", str(change)
