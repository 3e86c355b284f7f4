"""Every mistake in a manifest is told at its path, with the protocol's code and what to write instead."""

import json
from collections.abc import Callable

import pytest

from cronix_protocol.faults import MAX_FAULTS
from cronix_protocol.manifest import ManifestInvalid, parse_document, parse_manifest
from protocol.protocol_helpers import faults_of, manifest_with, one_job

_WITH_A_NUMBER_AS_KEY: dict[object, object] = dict(manifest_with().items())
_WITH_A_NUMBER_AS_KEY[5] = 6
_URL = {"url": "https://x.example.com/cron/rollup"}


def _messages(document: object) -> str:
    with pytest.raises(ManifestInvalid) as caught:
        parse_document(document)
    return str(caught.value)


@pytest.mark.parametrize(
    ("job", "path", "code"),
    [
        ({"name": "job\n"}, "name", "invalid_format"),
        ({"name": "\u0661job"}, "name", "invalid_format"),
        ({"name": 7}, "name", "decode"),
        ({"name": "a" * 64}, "name", "invalid_format"),
        ({"schedule": ""}, "schedule", "custom"),
        ({"schedule": "61 * * * *"}, "schedule", "custom"),
        ({"schedule": "TZ=UTC 0 2 * * *"}, "schedule", "custom"),
        ({"schedule": "* " * 129}, "schedule", "custom"),
        ({"schedule": 5}, "schedule", "decode"),
        ({"schedule": None, "schedules": []}, "schedules", "too_small"),
        ({"schedule": None, "schedules": ["@daily", "x"]}, "schedules/1", "custom"),
        ({"schedule": None, "schedules": ["@daily"] * 65}, "schedules", "too_big"),
        ({"schedule": None, "schedules": "@daily"}, "schedules", "decode"),
        ({"schedule": None, "schedules": [None]}, "schedules/0", "decode"),
        ({"timezone": 1}, "timezone", "decode"),
        ({"request": None}, "request/url", "invalid_value"),
        ({"request": []}, "request", "decode"),
        ({"request": {"url": ""}}, "request/url", "invalid_value"),
        ({"request": {"url": "https:///path"}}, "request/url", "invalid_format"),
        ({"request": {"url": "http://:8080/"}}, "request/url", "invalid_format"),
        ({"request": {"url": "http://user@/"}}, "request/url", "invalid_format"),
        ({"request": {"url": "http://x/\r\nX: y"}}, "request/url", "invalid_format"),
        ({"request": {"url": 3}}, "request/url", "decode"),
        ({"request": {**_URL, "method": "post"}}, "request/method", "invalid_value"),
        ({"request": {**_URL, "headers": {"X-A": 1}}}, "request/headers/X-A", "decode"),
        ({"request": {**_URL, "headers": ["X-A"]}}, "request/headers", "decode"),
        ({"request": {**_URL, "body": {}}}, "request/body", "decode"),
        ({"policy": {"timeout_seconds": True}}, "policy/timeout_seconds", "decode"),
        ({"policy": {"timeout_seconds": 60.0}}, "policy/timeout_seconds", "decode"),
        ({"policy": {"timeout_seconds": "60"}}, "policy/timeout_seconds", "decode"),
        ({"policy": {"timeout_seconds": 10**5000}}, "policy/timeout_seconds", "out_of_range"),
        ({"policy": {"concurrency_scope": "Host"}}, "policy/concurrency_scope", "invalid_value"),
        ({"policy": {"retries": {"max_attempts": 11}}}, "policy/retries/max_attempts", "out_of_range"),
        ({"policy": {"retries": {"min_seconds": -1}}}, "policy/retries/min_seconds", "out_of_range"),
        ({"policy": {"retries": {"max_seconds": 0}}}, "policy/retries/max_seconds", "out_of_range"),
        ({"auth": {"secret_refs": ["A"] * 9}}, "auth/secret_refs", "too_big"),
        ({"auth": {"secret_refs": ["A", "1A"]}}, "auth/secret_refs/1", "invalid_format"),
        ({"auth": {"secret_refs": ["A\n"]}}, "auth/secret_refs/0", "invalid_format"),
        ({"auth": {"secret_refs": ["A" * 129]}}, "auth/secret_refs/0", "invalid_format"),
        ({"auth": ["A"]}, "auth", "decode"),
        ({"Name": "x"}, "Name", "decode"),
        ({"timeout": 5}, "timeout", "decode"),
        ({"body\ud800": 5}, "body\\ud800", "decode"),
        ({"a/b": 5}, "a~1b", "decode"),
    ],
)
def test_one_mistake_in_a_job_is_the_only_fault(job: dict[str, object], path: str, code: str) -> None:
    """J2, J3: one mistake, one fault, at its own path, with its code."""
    assert faults_of(manifest_with(**job)) == {f"jobs/0/{path}": code}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, {"": "decode"}),
        ([], {"": "decode"}),
        ("x", {"": "decode"}),
        ({}, {"version": "invalid_value", "app": "invalid_format", "jobs": "too_small"}),
        ({"version": True, "app": "x", "jobs": [1]}, {"version": "invalid_value", "jobs/0": "decode"}),
        ({"version": 1.0, "app": None, "jobs": {}}, {"version": "invalid_value", "app": "decode", "jobs": "decode"}),
        ({"version": None, "app": "x", "jobs": []}, {"version": "decode", "jobs": "too_small"}),
        (_WITH_A_NUMBER_AS_KEY, {"int": "decode"}),
    ],
)  # fmt: skip
def test_mistakes_at_the_top(document: object, expected: dict[str, str]) -> None:
    """A document of the wrong shape is refused with its faults, not with an exception of Python's."""
    assert faults_of(document) == expected


@pytest.mark.parametrize(
    "place",
    [
        lambda job: job.update(timezone=None),
        lambda job: job.update(policy=None),
        lambda job: job.update(auth={"secret_refs": None}),
        lambda job: job["request"].update(headers=None),
        lambda job: job["request"].update(url=None),
        lambda job: job.update(schedules=None, schedule=None),
    ],
)
def test_null_is_never_taken_for_absent(place: Callable[[dict[str, object]], None]) -> None:
    """Implementations disagree about null, so it is refused where it stands, once."""
    document = json.loads(json.dumps(manifest_with()))
    place(document["jobs"][0])
    faults = faults_of(document)
    assert "decode" in faults.values()
    assert set(faults.values()) <= {"decode", "custom"}


def test_an_empty_list_of_keys_is_accepted() -> None:
    """The TypeScript SDK publishes "secret_refs": [] for an app without auth."""
    assert one_job(auth={"secret_refs": []}) == one_job(auth={}) == one_job()


def test_min_above_the_default_max_is_legal() -> None:
    """The protocol compares the two only when both are given."""
    assert one_job(policy={"retries": {"min_seconds": 90}}).policy.retries.max_seconds == 60


def test_limits_are_inclusive() -> None:
    """256 jobs, 64 schedules, 8 keys and the largest integers pass; one job more does not."""
    job = manifest_with(
        schedule=None,
        schedules=["@daily"] * 64,
        auth={"secret_refs": ["A" * 128] * 8},
        policy={
            "timeout_seconds": 600,
            "retries": {"max_attempts": 10, "min_seconds": 0, "max_seconds": 2**53 - 1},
        },
    )["jobs"]
    assert isinstance(job, list)
    jobs = [{**job[0], "name": f"j{index}"} for index in range(257)]
    assert len(parse_document({"version": 1, "app": "x" * 63, "jobs": jobs[:256]}).jobs) == 256
    assert faults_of({"version": 1, "app": "x", "jobs": jobs}) == {"jobs": "too_big"}


def test_schedules_are_trimmed_and_keep_their_order() -> None:
    """White space around a schedule is not part of it; the index of a schedule is."""
    assert one_job(schedule=None, schedules=["\t@weekly\u00a0", " 0 2 * * *\n"]).schedules == ("@weekly", "0 2 * * *")


def test_the_url_is_kept_as_sent() -> None:
    """Path and query are signed as they stand: nothing is decoded, lowered or completed."""
    url = "HTTPS://X.example.com:443/a%2Fb/../c?x=1&x=%20#top"
    assert one_job(request={"url": url}).request.url == url


@pytest.mark.parametrize(
    ("job", "advice"),
    [
        ({"timezon": "UTC"}, 'did you mean "timezone"?'),
        ({"Schedule": "@daily"}, 'did you mean "schedule"?'),
        ({"zzz": 1}, "known here: name, schedule, schedules, timezone, request, policy, auth"),
        ({"policy": {"timeoutSeconds": 5}}, 'did you mean "timeout_seconds"?'),
        ({"policy": {"timeout_seconds": 60.0}}, "write 60"),
        ({"policy": {"timeout_seconds": "60"}}, "write 60 without quotes"),
        ({"policy": {"concurrency": "forbid"}}, "write Forbid"),
        ({"schedule": "@DAILY"}, "write it in small letters: @daily"),
        ({"schedule": "0 0 2 * * *"}, "no field for seconds"),
        ({"schedule": "0 22-2 * * *"}, "write 22-23,0-2"),
    ],
)
def test_a_fault_says_what_to_write_instead(job: dict[str, object], advice: str) -> None:
    """The reader can mend it without looking anything up."""
    assert advice in _messages(manifest_with(**job))


def test_all_faults_are_told_at_once() -> None:
    """Three mistakes in two jobs: three faults."""
    jobs = [{"name": "A", "schedule": "x", "request": _URL}, {"name": "b", "schedule": "@daily", "request": {}}]
    assert set(faults_of({"version": 1, "app": "x", "jobs": jobs})) == {
        "jobs/0/name",
        "jobs/0/schedule",
        "jobs/1/request/url",
    }


def test_thousands_of_faults_are_counted_not_listed() -> None:
    """64 faults and a last one that says how many more there are."""
    document = {**manifest_with(), **{f"k{index}": 1 for index in range(5000)}}
    with pytest.raises(ManifestInvalid) as caught:
        parse_document(document)
    assert len(caught.value.faults) == MAX_FAULTS + 1
    assert "4936 more" in caught.value.faults[-1].message


def test_what_was_sent_is_quoted_short_and_printable() -> None:
    """Faults end in Events and logs: no control characters, no megabytes, no surrogates."""
    hostile = "\x1b[2J\u202e\ud800" + "x" * 100_000
    text = _messages({**manifest_with(name=hostile, **{hostile: 1}), hostile: 2})
    assert len(text) < 2000
    assert all(" " <= char <= "~" or char == "…" for char in text)


def test_jobs_are_sorted_and_headers_too() -> None:
    """Two orders of the same manifest are the same manifest."""
    document = manifest_with(request={**_URL, "headers": {"b": "1", "A": "2"}})
    other = manifest_with(name="alpha", request={**_URL, "headers": {"A": "2", "b": "1"}})
    both = [document["jobs"][0], other["jobs"][0]]  # type: ignore[index]  # a list of jobs
    one = parse_manifest(json.dumps({**document, "jobs": both}).encode())
    assert one == parse_manifest(json.dumps({**document, "jobs": both[::-1]}).encode())
    assert [job.name for job in one.jobs] == ["alpha", "rollup"]
    assert one.jobs[0].request.headers == (("A", "2"), ("b", "1"))
