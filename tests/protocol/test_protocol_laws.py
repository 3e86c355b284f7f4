"""Laws that hold for every manifest and every schedule; CRONIX_FUZZ_CASES=100000 for a long run."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cronix_protocol.canonical import canonical_json, job_hash
from cronix_protocol.faults import MAX_FAULTS, Fault
from cronix_protocol.jobfaults import kubernetes_faults
from cronix_protocol.lint import lint_schedule
from cronix_protocol.manifest import Manifest, ManifestInvalid, parse_document, parse_manifest
from cronix_protocol.schedule import ScheduleInvalid, parse_schedule
from protocol.protocol_helpers import ZONES, fuzz_cases, manifest_with, random_schedules, vectors, zone

pytestmark = pytest.mark.law
_KNOWN_ZONES = frozenset(available_timezones())
_SLOW_OK = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def _law(default: int) -> settings:
    return settings(max_examples=fuzz_cases(default), deadline=None, suppress_health_check=_SLOW_OK)


_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
_SCHEDULES = st.sampled_from([text for text in random_schedules(3, 600) if text])
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _SCHEDULES
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


def _refusal(text: str) -> ScheduleInvalid | None:
    try:
        parse_schedule(text)
    except ScheduleInvalid as invalid:
        return invalid
    return None


_GOOD_SCHEDULES = st.sampled_from([text for text in random_schedules(5, 600) if _refusal(text) is None])


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid manifests with every optional field there or not."""
    jobs = []
    for name in draw(st.lists(_NAMES, min_size=1, max_size=3, unique=True)):
        headers = st.dictionaries(_TEXT, _TEXT, max_size=3)
        request: dict[str, object] = {
            "url": draw(st.sampled_from(["https://x.example.com/a?b=1&c=<2>", "HTTP://[::1]:80/\u2028"]))
        }
        request |= draw(
            st.fixed_dictionaries({}, optional={"headers": headers, "body": _TEXT, "method": st.just("PUT")})
        )
        retries = {"max_attempts": st.integers(1, 10), "min_seconds": st.integers(0, 2**53 - 1)}
        policy = {
            "concurrency": st.sampled_from(["Allow", "Forbid", "Replace"]),
            "concurrency_scope": st.sampled_from(["host", "global"]),
            "timeout_seconds": st.integers(1, 600),
            "retries": st.fixed_dictionaries({}, optional=retries),
        }
        refs = st.lists(st.from_regex(r"[a-zA-Z][a-zA-Z0-9_:./-]{0,20}", fullmatch=True), max_size=8)
        optional = {
            "timezone": _TEXT,
            "policy": st.fixed_dictionaries({}, optional=policy),
            "auth": st.fixed_dictionaries({}, optional={"secret_refs": refs}),
        }
        job = draw(st.fixed_dictionaries({}, optional=optional))
        job |= {"name": name, "request": request, "schedules": draw(st.lists(_GOOD_SCHEDULES, min_size=1, max_size=3))}
        jobs.append(job)
    return {"version": 1, "app": draw(_NAMES), "jobs": jobs}


@_law(60)
@given(_documents())
def test_the_canonical_form_reads_back_as_the_same_manifest(document: dict[str, Any]) -> None:
    """parse(canonical(m)) == m where the protocol lets it: min_seconds above the default max comes back as a fault."""
    manifest = parse_manifest(json.dumps(document).encode())
    canonical = canonical_json(manifest)
    assert manifest == parse_document(document)
    if any(job.policy.retries.min_seconds > job.policy.retries.max_seconds for job in manifest.jobs):
        with pytest.raises(ManifestInvalid, match="min_seconds must not be more"):
            parse_manifest(canonical)
        return
    again = parse_manifest(canonical)
    assert again == manifest
    assert canonical_json(again) == canonical
    assert [job_hash(job, 1) for job in again.jobs] == [job_hash(job, 1) for job in manifest.jobs]
    shuffled = {**document, "jobs": document["jobs"][::-1]}
    assert parse_document(shuffled) == manifest


def _survives(document: object) -> None:
    """Accepted, or refused with ManifestInvalid and printable, bounded faults; every other exception fails the test."""
    faults: tuple[Fault, ...] = ()
    try:
        parsed = parse_manifest(document) if isinstance(document, bytes) else parse_document(document)
    except ManifestInvalid as invalid:
        faults = invalid.faults
        parsed = Manifest(1, "", ())
    assert len(faults) <= MAX_FAULTS + 1
    assert all(str(fault).isprintable() and fault.code for fault in faults)
    assert bool(faults) != bool(parsed.jobs)
    assert canonical_json(parsed)
    for job in parsed.jobs:
        assert all(fault.message.isprintable() for fault in kubernetes_faults(job, _KNOWN_ZONES))


@_law(100)
@given(st.binary(max_size=80) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_manifest_or_invalid(raw: bytes) -> None:
    """J2: no undeclared exception on arbitrary bytes."""
    _survives(raw)


_SCHEMA = Draft202012Validator(vectors("manifest.schema.json"))


def _agrees_with_the_schema(document: dict[str, Any]) -> None:
    """Stricter than the published schema, never laxer; but an empty list of keys is fine here."""
    for job in document["jobs"] if _is_accepted(document) else ():
        if job.get("auth", {}).get("secret_refs") == []:
            del job["auth"]
    if _is_accepted(document):
        _SCHEMA.validate(document)


def _is_accepted(document: object) -> bool:
    try:
        parse_document(document)
    except ManifestInvalid:
        return False
    return True


@_law(100)
@given(_documents(), st.randoms(use_true_random=False), _JSON, st.text(max_size=8))
def test_a_manifest_with_anything_anywhere(document: dict[str, Any], rng: random.Random, odd: object, key: str) -> None:
    """J2: one value replaced or one field added, at a random place, decoded and as bytes."""
    places: list[tuple[Any, Any]] = []
    pending: list[Any] = [document]
    while pending:
        value = pending.pop()
        places.extend((value, index) for index in (value if isinstance(value, dict) else range(len(value))))
        pending.extend(
            inner for inner in (value.values() if isinstance(value, dict) else value) if isinstance(inner, dict | list)
        )
    container, index = rng.choice(places)
    if isinstance(container, dict) and rng.random() < 0.3:
        container[key] = odd
    else:
        container[index] = odd
    _survives(document)
    _survives(json.dumps(document).encode())
    _agrees_with_the_schema(document)


@_law(200)
@given(st.data())
def test_damaged_bytes_of_a_manifest(data: st.DataObject) -> None:
    """J2: bytes cut out, doubled or replaced in an otherwise good manifest."""
    raw = json.dumps(manifest_with(timezone="Europe/Paris", policy={"timeout_seconds": 60})).encode()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 8)))
    _survives(raw[:start] + data.draw(st.binary(max_size=6)) + raw[end:])


@_law(200)
@given(st.text(max_size=30) | st.text("0123456789*?/-,LW# @everyMONsmhTZ=.+", max_size=40) | _SCHEDULES)
def test_any_text_is_a_schedule_or_invalid(text: str) -> None:
    """J4, J5: nothing but ScheduleInvalid, and what is accepted can be written and read again."""
    if (refusal := _refusal(text)) is not None:
        assert refusal.reason
        assert str(refusal).isprintable()
        return
    schedule = parse_schedule(text)
    written = parse_schedule(schedule.kubernetes)
    assert (written.fields, written.every_seconds) == (schedule.fields, schedule.every_seconds)
    assert (schedule.next_after(datetime(2024, 1, 1, tzinfo=UTC), zone("UTC")) is None) == schedule.never_fires


_INSTANTS = st.datetimes(datetime(2012, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))


@_law(60)
@given(_GOOD_SCHEDULES, st.sampled_from(ZONES), _INSTANTS)
def test_slots_follow_each_other(text: str, name: str, instant: datetime) -> None:
    """Slots increase strictly, lie on whole seconds, match the fields, and the last one is found again looking back."""
    schedule, local = parse_schedule(text), zone(name)
    slots = schedule.slots_after(instant, local, 4)
    assert all(earlier < later for earlier, later in zip((instant, *slots), slots, strict=False))
    for slot in slots:
        assert slot.microsecond == 0
        if schedule.fields is not None:
            wall = slot.astimezone(local)
            assert schedule.fields.minute >> wall.minute & 1
            assert schedule.fields.hour >> wall.hour & 1
    if not slots:
        return
    found = schedule.previous_at_or_before(slots[-1], local, instant)
    assert found == slots[-1] or (schedule.every_seconds and instant.microsecond)
    assert (
        schedule.previous_at_or_before(slots[0] - timedelta(seconds=1), local, slots[0] - timedelta(seconds=1)) is None
    )


@_law(60)
@given(_GOOD_SCHEDULES, st.sampled_from(ZONES), _INSTANTS)
def test_every_lint_has_words(text: str, name: str, now: datetime) -> None:
    """No schedule, zone or year breaks the lint; a schedule that never fires is told so."""
    lints = lint_schedule(parse_schedule(text), zone(name), now, 200)
    assert all(lint.message.isprintable() and lint.advice for lint in lints)
    assert any(lint.code == "NeverFires" for lint in lints) == parse_schedule(text).never_fires
