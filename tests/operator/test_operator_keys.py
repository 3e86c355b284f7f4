"""The order of keys as pure values: tables, and laws over every history of answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_operator.core.keys import fingerprint, job_keys, key_groups
from cronix_operator.core.rotation import (
    KeyRecord,
    Look,
    Rotation,
    Verdict,
    control_due,
    first_of,
    observed,
    preferred,
    recalled,
    round_due,
)
from operator_fakes.builders import at, job, make_app, manifest

APP = make_app()


def look(verdicts: dict[str, Verdict], control: Verdict | None = None, values: dict[str, str] | None = None) -> Look:
    """A round over the keys a, b, c; those that have no verdict are missing, unless `values` has them."""
    there = values if values is not None else dict.fromkeys(verdicts, "1")
    prints = {name: fingerprint(b"s", f"{name}{value}") for name, value in there.items()}
    return Look((("a", "b", "c"),), prints, verdicts, control, in_round=True)


VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(["accepted", "refused", "denied", "unclear"])
LOOKS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abc"), VERDICTS),
        st.sampled_from([None, "refused", "accepted", "unclear"]),
        st.integers(min_value=0, max_value=4000),
        st.booleans(),
    ),
    max_size=12,
)


@pytest.mark.law
@settings(max_examples=300, deadline=None)
@given(LOOKS)
def test_a_refused_or_missing_key_never_signs_while_another_is_accepted(history: list[Any]) -> None:
    """Whatever the app answers, in whatever order, over restarts. A second look that finds the same changes nothing."""
    rotation, seconds = Rotation(), 0
    for verdicts, control, pause, restarts in history:
        seconds += pause
        if restarts:
            rotation = dataclasses.replace(rotation, records=tuple(_recalled(record) for record in rotation.records))
        found = look(verdicts, control)
        rotation = observed(rotation, found, APP, at(seconds))
        states = {record.name: record.state for record in rotation.records}
        first = first_of(rotation, ["a", "b", "c"])
        if "accepted" in states.values():
            assert states[str(first)] == "accepted"
        assert {name for name, state in states.items() if state == "missing"} == set("abc") - set(verdicts)
        if rotation.enforced is False:
            assert "accepted" not in states.values(), "an app that accepts any key tells nothing"
        same = observed(rotation, found, APP, at(seconds))
        assert preferred(same) == preferred(rotation)


def _recalled(record: KeyRecord) -> KeyRecord:
    """What a restart leaves of a record."""
    return dataclasses.replace(record, fingerprint=None, accepted_since=None, relapses=0)


@pytest.mark.law
@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), VERDICTS, min_size=1), max_size=6))
def test_nobody_is_moved_while_no_key_is_accepted(history: list[dict[str, Verdict]]) -> None:
    """Nothing better is known, so no CronJob is written."""
    rotation = observed(Rotation(), look({"a": "refused", "b": "accepted"}, "refused"), APP, at(0))
    for number, verdicts in enumerate(history):
        none: dict[str, Verdict] = {name: verdict for name, verdict in verdicts.items() if verdict != "accepted"}
        values = dict.fromkeys("abc", str(number))
        rotation = observed(rotation, look(none, None, values), APP, at(60 * number))
        assert not any(record.state == "accepted" for record in rotation.records)
        assert first_of(rotation, ["a", "b", "c"]) == "b"


NONSENSE = st.none() | st.text(max_size=5) | st.integers() | st.just([1]) | st.just({"a": 1}) | st.booleans()
ROW = NONSENSE | st.fixed_dictionaries(dict.fromkeys(("name", "state", "signs", "lastProbeTime"), NONSENSE))
SIGNATURE = NONSENSE | st.fixed_dictionaries(dict.fromkeys(("enforced", "lastProbeTime"), NONSENSE))


@pytest.mark.law
@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({"keys": NONSENSE | st.lists(ROW, max_size=40), "signature": SIGNATURE}))
def test_a_forged_status_is_read_without_harm(status: dict[str, Any]) -> None:
    """Anybody with the right may edit status; what makes no sense is skipped."""
    rotation = recalled(status)
    assert len(rotation.records) <= 16
    assert observed(rotation, look({"a": "accepted"}, "refused"), APP, at(0)).enforced is True


def test_a_changed_value_is_another_key() -> None:
    before = observed(Rotation(), look({"a": "accepted"}, "refused"), APP, at(0))
    unasked = observed(before, look({}, None, {"a": "2"}), APP, at(60))
    assert (unasked.records[0].state, unasked.records[0].proven) == ("unknown", True)
    prints = {"a": fingerprint(b"s", "a2"), "b": b"?"}
    assert round_due(unasked, prints, at(60), asked_for=False)


def test_the_weeks_of_two_apps_are_not_the_same() -> None:
    """Apps that were made together, say by a restore, are not all probed in one minute."""
    due = set()
    for number in range(50):
        app = dataclasses.replace(APP, uid=f"uid-{number}")
        rotation = Rotation(enforced=True, control_at=at(0).utc)
        week = 7 * 24 * 3600
        assert not control_due(rotation, app, at(week - 1))
        assert control_due(rotation, app, at(week * 1.1))
        due.add(next(h for h in range(20) if control_due(rotation, app, at(week + h * 3600))))
    assert len(due) > 8


def test_a_job_keeps_its_own_keys_whoever_is_preferred() -> None:
    """`secret_refs` still narrow; of what is left the first preferred one signs, the rest stays in its order."""
    app = make_app(
        signing={"keys": [{"name": n, "secretKeyRef": {"name": "keys", "key": n}} for n in ("v3", "v2", "v1")]}
    )
    for refs, wanted in (((), "v1 v3 v2"), (("v3", "v2"), "v2 v3"), (("v3",), "v3")):
        assert " ".join(key.name for key in job_keys(app, refs, ("v1", "v2"))) == wanted
    jobs = manifest("all", job("some", auth={"secret_refs": ["v2", "v3"]}), job("lost", auth={"secret_refs": ["x"]}))
    assert key_groups(app, jobs, ()) == (("v3", "v2", "v1"), ("v3", "v2"))


def test_a_whole_secret_lists_previous_only_where_it_is() -> None:
    for there, wanted in ((["current"], ("current",)), (["current", "previous"], ("current", "previous"))):
        assert key_groups(APP, manifest("sync"), there) == (wanted,)
    named = manifest(job("sync", auth={"secret_refs": ["b", "a"]}))
    assert key_groups(APP, named, ["a"]) == (("b", "a"),), "a key that a job names is listed and may be missing"
