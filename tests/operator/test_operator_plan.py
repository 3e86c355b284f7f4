"""Desired and live in, one decision out: every situation of one CronJob, and when a past slot would fire."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cronix_operator.core.differences import first_differences
from cronix_operator.core.memory import Known, Memory
from cronix_operator.core.model import App, Change, DesiredCronJob, Hold, JobFault
from cronix_operator.core.moments import timestamp
from cronix_operator.core.plan import absent_names, decide, job_of, merged_body, needs_fence, owned_by
from cronix_operator.core.render import spec_hash
from operator_fakes.builders import APP_UID, OTHER_UID, START, desired, ground, job, live_of, make_app, one

APP = make_app()
WANT = one(APP)
Edit = Callable[[dict[str, Any]], object]


def edited(edit: Edit, want: DesiredCronJob = WANT) -> dict[str, Any]:
    live = live_of(want)
    edit(live)
    return live


def known(live: dict[str, Any], rendered: str = WANT.spec_hash) -> Memory:
    """The memory of having written this object as it was rendered then."""
    pair = Known(uid=live["metadata"]["uid"], rendered=rendered, live=spec_hash(live["spec"]))
    return Memory(pairs={live["metadata"]["name"]: pair})


def decided(
    live: dict[str, Any] | None, memory: Memory | None = None, app: App = APP
) -> Change | Hold | JobFault | None:
    return decide(app, WANT, live, ground(memory))


def meta(live: dict[str, Any]) -> dict[str, Any]:
    part = live["metadata"]
    assert isinstance(part, dict)
    return part


def owner(live: dict[str, Any]) -> dict[str, Any]:
    part = meta(live)["ownerReferences"][0]
    assert isinstance(part, dict)
    return part


def container(live: dict[str, Any]) -> dict[str, Any]:
    part = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert isinstance(part, dict)
    return part


def second_owner(live: dict[str, Any]) -> None:
    meta(live)["ownerReferences"].append({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": OTHER_UID})


DRIFTED: list[tuple[str, Edit, str]] = [
    ("image", lambda b: container(b).update(image="evil"), "containers[0].image"),
    ("env added", lambda b: container(b)["env"].append({"name": "A"}), "containers[0].env[4]"),
    (
        "sidecar",
        lambda b: b["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"].append({"name": "x"}),
        "containers[1]",
    ),
    (
        "hostNetwork",
        lambda b: b["spec"]["jobTemplate"]["spec"]["template"]["spec"].update(hostNetwork=True),
        "spec.jobTemplate.spec.template.spec.hostNetwork",
    ),
    ("suspended by hand", lambda b: b["spec"].update(suspend=True), "spec.suspend"),
    ("policy removed", lambda b: b["spec"]["jobTemplate"]["spec"].pop("podFailurePolicy"), "podFailurePolicy"),
    ("label changed", lambda b: meta(b)["labels"].update({"cronix.dev/job": "x"}), "metadata.labels[cronix.dev/job]"),
    ("labels gone", lambda b: meta(b).pop("labels"), "metadata.labels[app.kubernetes.io/managed-by]"),
    (
        "an annotation in our domain",
        lambda b: meta(b)["annotations"].update({"cronix.dev/x": "1"}),
        "metadata.annotations[cronix.dev/x]",
    ),
    ("second owner", second_owner, "metadata.ownerReferences"),
    ("not the controller any more", lambda b: owner(b).update(controller=False), "metadata.ownerReferences"),
    ("finalizer", lambda b: meta(b).update(finalizers=["x/y"]), "metadata.finalizers"),
]


@pytest.mark.parametrize(("edit", "field"), [case[1:] for case in DRIFTED], ids=[case[0] for case in DRIFTED])
def test_drift_is_repaired_and_its_field_named(edit: Edit, field: str) -> None:
    """K3, promise 5."""
    change = decided(edited(edit), known(live_of(WANT)))
    assert isinstance(change, Change)
    assert (change.verb, change.reason) == ("update", "Drifted")
    assert any(name.endswith(field) for name in change.fields)


def test_in_step_costs_nothing() -> None:
    assert decided(live_of(WANT)) is None
    assert decided(live_of(WANT), known(live_of(WANT))) is None


def test_a_missing_one_is_created_and_a_deleted_one_is_drift() -> None:
    missing, deleted = decided(None), decided(None, known(live_of(WANT)))
    assert isinstance(missing, Change)
    assert isinstance(deleted, Change)
    assert [(c.verb, c.reason) for c in (missing, deleted)] == [("create", "Missing"), ("create", "Drifted")]


def test_a_changed_manifest_is_no_drift() -> None:
    before = live_of(one(APP, job("sync", "5 * * * *")))
    for memory in (None, known(before, rendered="older")):
        change = decided(before, memory)
        assert isinstance(change, Change)
        assert change.reason == "Changed"


def test_what_the_server_made_of_our_write_is_in_step() -> None:
    """A server-side mutation is told from drift by the pair of hashes that the last write gave."""
    live = edited(lambda b: b["spec"].update(successfulJobsHistoryLimit=9))
    assert decided(live, known(live)) is None
    assert isinstance(decided(edited(lambda b: b["spec"].update(successfulJobsHistoryLimit=8)), known(live)), Change)


def test_another_object_of_the_same_name_does_not_inherit_the_pair() -> None:
    live = edited(lambda b: b["spec"].update(successfulJobsHistoryLimit=9))
    memory = known(live)
    meta(live)["uid"] = "another"
    assert isinstance(decided(live, memory), Change)


def test_other_tools_annotations_and_labels_are_no_drift_and_survive_a_repair() -> None:
    live = edited(lambda b: (meta(b)["annotations"].update({"argocd/x": "1"}), meta(b)["labels"].update(team="red")))
    assert decided(live) is None
    body = merged_body(WANT, live)["metadata"]
    assert body["annotations"]["argocd/x"] == "1"
    assert body["labels"]["team"] == "red"
    assert (body["uid"], body["resourceVersion"]) == (meta(live)["uid"], "7")


NO_OWNER: Edit = lambda b: meta(b).pop("ownerReferences")  # noqa: E731  # an entry of tables, like its neighbours


def peer_made(live: dict[str, Any]) -> None:
    NO_OWNER(live)
    meta(live).update(labels={"cronix.dev/managed": "true"}, annotations={"cronix.dev/hash": "x"})


def orphan(live: dict[str, Any]) -> None:
    NO_OWNER(live)
    for part in ("labels", "annotations"):
        meta(live)[part] = {k: v.replace(APP_UID, OTHER_UID) for k, v in meta(live)[part].items()}


def others_child(live: dict[str, Any]) -> None:
    owner(live).update(uid=OTHER_UID, kind="CronixApp", name="other")


def others_child_lost(live: dict[str, Any]) -> None:
    others_child(live)
    owner(live).update(controller=False)
    orphan_labels = {k: v.replace(APP_UID, OTHER_UID) for k, v in meta(live)["annotations"].items()}
    meta(live)["annotations"] = orphan_labels


def ours_beside_a_controller(live: dict[str, Any]) -> None:
    owner(live).update(controller=False)
    meta(live)["ownerReferences"].append(
        {"apiVersion": "apps/v1", "kind": "X", "name": "x", "uid": OTHER_UID, "controller": True}
    )


def bare(live: dict[str, Any]) -> None:
    NO_OWNER(live)
    meta(live).update(labels={}, annotations={})


OWNERSHIP: list[tuple[str, Edit, str, str]] = [
    ("owner removed", NO_OWNER, "Drifted", "Drifted"),
    ("made by the peer", peer_made, "NameConflict", "Adopted"),
    ("orphan of an earlier CronixApp", orphan, "NameConflict", "Adopted"),
    ("somebody's own", bare, "NameConflict", "NameConflict"),
    ("another CronixApp's", others_child, "NameConflict", "NameConflict"),
    ("another CronixApp's, its reference falsified", others_child_lost, "NameConflict", "NameConflict"),
    ("ours beside another controller", ours_beside_a_controller, "NameConflict", "NameConflict"),
]


@pytest.mark.parametrize(
    ("edit", "plain", "adopting"), [case[1:] for case in OWNERSHIP], ids=[case[0] for case in OWNERSHIP]
)
def test_who_may_be_written(edit: Edit, plain: str, adopting: str) -> None:
    """T3, T5, and that `cronix.dev/adopt` takes nobody's child."""
    adopter = make_app(annotations={"cronix.dev/adopt": "true"})
    for app, reason in ((APP, plain), (adopter, adopting)):
        decision = decided(edited(edit), app=app)
        assert isinstance(decision, Change | JobFault)
        assert decision.reason == reason


def test_what_a_deleted_app_of_the_same_name_has_left_needs_no_hand() -> None:
    """K8: the CRD was deleted and made anew; until garbage collection has come round, the names are taken."""
    told = decided(edited(lambda b: owner(b).update(uid=OTHER_UID)))
    assert isinstance(told, JobFault)
    assert told.reason == "NameConflict"
    assert f"is still there from an earlier CronixApp/{APP.name}" in told.message
    assert "rename" not in told.message
    other = decided(edited(others_child))
    assert isinstance(other, JobFault)
    assert "belongs to CronixApp/other; rename the job" in other.message


def test_adopting_removes_the_peers_mark_in_the_same_write() -> None:
    body = merged_body(WANT, edited(peer_made))
    assert "cronix.dev/managed" not in body["metadata"]["labels"]
    assert "cronix.dev/hash" not in body["metadata"]["annotations"]
    assert body["metadata"]["ownerReferences"] == WANT.body["metadata"]["ownerReferences"]


@pytest.mark.parametrize("gone", [True, False])
def test_a_fight_is_left_for_a_minute(gone: bool) -> None:
    memory = known(live_of(WANT))
    memory = Memory(pairs=memory.pairs, repairs={WANT.name: tuple(1000.0 - n for n in range(5))})
    live = None if gone else edited(lambda b: b["spec"].update(suspend=True))
    hold = decided(live, memory)
    assert isinstance(hold, Hold)
    assert (hold.reason, hold.retry_after_seconds) == ("DriftContested", 60.0)
    later = decide(APP, WANT, live, ground(memory, seconds=60))
    assert isinstance(later, Change)


def test_a_changed_manifest_gets_through_even_in_a_fight() -> None:
    memory = Memory(pairs=known(live_of(WANT), "older").pairs, repairs={WANT.name: (1000.0,) * 5})
    assert isinstance(decided(live_of(one(APP, job("sync", "5 * * * *"))), memory), Change)


def ago(**delta: float) -> str:
    return timestamp(START - timedelta(**delta))


# START is 12:00:30, so "0 12 * * *" has a slot 30 s ago and "56 11 * * *" one 4 minutes 30 seconds ago.
FENCE: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], bool]] = [
    ("nothing of the time changes", {}, {}, {}, False),
    ("schedule moved onto a slot 30 s ago", {"schedule": "5 * * * *"}, {}, {}, True),
    ("schedule moved, but that slot ran", {"schedule": "5 * * * *"}, {"lastScheduleTime": ago(seconds=30)}, {}, False),
    ("an older slot ran", {"schedule": "5 * * * *"}, {"lastScheduleTime": ago(hours=1)}, {}, True),
    ("created after the slot", {"schedule": "5 * * * *"}, {}, {"creationTimestamp": ago(seconds=10)}, False),
    ("time zone changed", {"timeZone": "Asia/Kolkata"}, {}, {}, True),
    ("no time zone before", {"timeZone": None}, {}, {}, True),
    ("un-suspended", {"suspend": True}, {}, {}, True),
    ("deadline made shorter", {"startingDeadlineSeconds": 3600}, {}, {}, False),
    ("deadline made longer, slot within the old one", {"startingDeadlineSeconds": 60}, {}, {}, False),
    ("deadline made longer, slot given up by the old one", {"startingDeadlineSeconds": 20}, {}, {}, True),
    ("deadline taken away by somebody", {"startingDeadlineSeconds": None}, {}, {}, False),
]


@pytest.mark.parametrize(
    ("spec", "status", "metadata", "fenced"), [case[1:] for case in FENCE], ids=[case[0] for case in FENCE]
)
def test_a_past_slot_is_fenced(
    spec: dict[str, Any], status: dict[str, Any], metadata: dict[str, Any], fenced: bool
) -> None:
    """K11: exactly where the update would make Kubernetes fire a slot that has passed."""
    want = one(APP, job("sync", "0 12 * * *"))
    live = live_of(want, **status)
    live["spec"] = {k: v for k, v in {**live["spec"], **spec}.items() if v is not None}
    live["metadata"] |= metadata
    assert needs_fence(want, live, START) is fenced


@pytest.mark.parametrize(("deadline", "fenced"), [(300, True), (60, False)])
def test_only_slots_within_the_deadline_are_fenced(deadline: int, fenced: bool) -> None:
    want = one(make_app(jobDefaults={"startingDeadlineSeconds": deadline}), job("sync", "56 11 * * *"))
    live = live_of(want)
    live["spec"]["schedule"] = "5 * * * *"
    assert needs_fence(want, live, START) is fenced


def test_what_stays_suspended_is_not_fenced() -> None:
    want = one(make_app(suspend=True), job("sync", "0 12 * * *"))
    live = live_of(want)
    live["spec"]["schedule"] = "5 * * * *"
    assert not needs_fence(want, live, START)


def test_a_copy_of_ours_under_a_name_of_its_own_is_not_ours_to_remove() -> None:
    """T5: `kubectl get -o yaml`, another name, `kubectl apply`: labels and owner reference are ours."""
    copied = copy.deepcopy(live_of(WANT))
    copied["metadata"]["name"] = "my-own-copy"
    assert owned_by(APP, [copied, live_of(WANT)]) == [live_of(WANT)]
    assert absent_names(APP, desired(APP, "other"), [copied, live_of(WANT)]) == [WANT.name]


@pytest.mark.parametrize("index", ["", "x", "-1", "99999", "0x0"])
def test_a_falsified_index_never_makes_an_object_removable(index: str) -> None:
    live = edited(lambda b: meta(b)["labels"].update({"cronix.dev/index": index}))
    assert absent_names(APP, desired(APP, "other"), [live]) == []


def test_an_older_app_id_is_still_ours() -> None:
    """After spec.app was corrected the old CronJobs go like jobs that left the manifest."""
    renamed = make_app(app="invoices")
    assert absent_names(renamed, desired(renamed, "sync"), [live_of(WANT)]) == [WANT.name]


def test_a_job_that_cannot_be_rendered_today_is_not_absent() -> None:
    found = desired(APP, job("sync", timezone="Local"), "other")
    assert found.faults
    assert absent_names(APP, found, [live_of(WANT)]) == []
    assert job_of(live_of(WANT)) == "sync"


@pytest.mark.parametrize(
    ("one_side", "other", "paths"),
    [
        ({"a": 1}, {"a": 1}, ()),
        ({"a": 1}, {"a": 2}, (".a",)),
        ({"a": 1}, {}, (".a",)),
        ({"a": [1, 2]}, {"a": [1]}, (".a[1]",)),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}}, (".a.b[0].c",)),
        ({"a": [1]}, {"a": {"b": 1}}, (".a",)),
        ({str(n): n for n in range(9)}, {}, (".0", ".1", ".2")),
        (None, {}, ("",)),
    ],
)
def test_differences_name_at_most_three_paths(one_side: Any, other: Any, paths: tuple[str, ...]) -> None:
    assert first_differences(one_side, other) == paths
