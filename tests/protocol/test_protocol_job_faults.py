"""What fails one job of a sound manifest, and not the others."""

from zoneinfo import available_timezones

import pytest

from cronix_protocol.jobfaults import kubernetes_faults
from protocol.protocol_helpers import one_job

_ZONES = frozenset(available_timezones())
_URL = {"url": "https://x.example.com/cron/rollup"}


def _faults(**job: object) -> list[tuple[str, str]]:
    return [(fault.path, fault.code) for fault in kubernetes_faults(one_job(**job), _ZONES)]


@pytest.mark.parametrize(
    "job",
    [
        {},
        {"timezone": "US/Eastern"},
        {"timezone": "EST"},
        {"timezone": "Etc/GMT+5"},
        {"timezone": "America/Argentina/ComodRivadavia"},
        {"schedule": "@every 1h30m"},
        {"schedule": "0 0 31 2 *"},
        {"request": {"url": "http://[fd00::1]:8080/x?y=%2F"}},
        {"request": {**_URL, "headers": {"Authorization": "Bearer x", "traceparent": "00-1-2-03"}}},
    ],
)
def test_a_job_that_kubernetes_can_run_has_no_fault(job: dict[str, object]) -> None:
    """Legacy zone names, IPv6, an Authorization header: all fine."""
    assert _faults(**job) == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Local", "controller's own zone"),
        ("LOCAL", "controller's own zone"),
        ("", "leave the field out for UTC"),
        ("europe/paris", "did you mean Europe/Paris?"),
        ("Europe/Pariss", "did you mean Europe/Paris?"),
        ("utc", "did you mean UTC?"),
        ("+02:00", "write an IANA name"),
        ("../etc/passwd", "unknown time zone"),
        ("Europe/../Europe/Paris", "unknown time zone"),
        ("/Europe/Paris", "did you mean Europe/Paris?"),
        ("Europe/Paris\x00", "Europe/Paris"),
        ("x" * 100_000, "unknown time zone"),
    ],
)
def test_a_zone_that_the_api_server_refuses(name: str, advice: str) -> None:
    """J5: case counts, Local is none, no path tricks; the text says what to write."""
    (fault,) = kubernetes_faults(one_job(timezone=name), _ZONES)
    assert (fault.path, fault.code) == ("timezone", "UnknownTimeZone")
    assert advice in fault.message
    assert len(fault.message) < 300


def test_path_tricks_do_not_depend_on_the_list_of_zones() -> None:
    """Kubernetes checks the parts of a name as well, so a list that holds odd names does not help."""
    odd = {"../etc", "-x", "a/fifteen-letters", "a//b"}
    assert all(kubernetes_faults(one_job(timezone=name), odd) for name in odd)


@pytest.mark.parametrize("text", ["0 0 * * 7", "0 0 * * 1-7", "0 0 L * *", "0 0 * * 5#2", "0 0 15W * *"])
def test_another_dialects_schedule_fails_its_job_only(text: str) -> None:
    """J5: the protocol's TypeScript SDK publishes them; the manifest stays valid."""
    assert _faults(schedule=None, schedules=["@daily", text]) == [("schedules/1", "InvalidSchedule")]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("X-Cron-Signature", "t=1,v1=0", "ReservedHeader"),
        ("x-cron-anything", "1", "ReservedHeader"),
        ("Host", "evil.example", "ReservedHeader"),
        ("content-length", "0", "ReservedHeader"),
        ("Transfer-Encoding", "chunked", "ReservedHeader"),
        ("Connection", "close", "ReservedHeader"),
        ("Expect", "100-continue", "ReservedHeader"),
        ("Proxy-Authorization", "x", "ReservedHeader"),
        ("X-A", "1\r\nX-Cron-Attempt: 9", "InvalidHeader"),
        ("X-A", "\x00", "InvalidHeader"),
        ("X A", "1", "InvalidHeader"),
        ("X-A:", "1", "InvalidHeader"),
        ("", "1", "InvalidHeader"),
        ("X-\u00c4", "1", "InvalidHeader"),
    ],
)
def test_a_header_that_is_not_the_jobs_to_set(name: str, value: str, code: str) -> None:
    """The peer would let it override the signature or split the request; here the job does not run."""
    faults = kubernetes_faults(one_job(request={**_URL, "headers": {name: value}}), _ZONES)
    assert [fault.code for fault in faults] == [code]
    assert all(fault.message.isprintable() and fault.message.isascii() for fault in faults)


def test_a_faults_text_never_shows_a_headers_value() -> None:
    """It may be a credential, and faults end in Events."""
    faults = kubernetes_faults(one_job(request={**_URL, "headers": {"Authorization": "hunter2\n"}}), _ZONES)
    assert faults
    assert "hunter2" not in str(faults)


def test_one_header_in_two_spellings() -> None:
    """Which of the two would be sent is chance."""
    headers = {"X-Tenant": "a", "x-tenant": "b"}
    assert _faults(request={**_URL, "headers": headers}) == [("request/headers/x-tenant", "DuplicateHeader")]


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pw@x.example.com/",
        "https://x.example.com/a b",
        "https://x.example.com/\u00e9",
        "https://b\u00fccher.example/",
        "https://x.example.com:0/",
        "https://x.example.com:65536/",
        "https://x.example.com:http/",
        "https://x.example.com\\@evil.example/",
        "https://[::1/",
        "https://fe80::1/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_a_url_that_cannot_be_sent_as_it_stands(url: str) -> None:
    """Nothing is rewritten on the way to the wire, so what would need it is told."""
    assert _faults(request={"url": url}) == [("request/url", "InvalidURL")]


def test_pauses_beyond_what_the_signer_reads() -> None:
    """Legal in the protocol up to 2^53, and 285 million years."""
    assert _faults(policy={"retries": {"max_seconds": 10**9, "min_seconds": 10**9}}) == []
    assert _faults(policy={"retries": {"max_seconds": 10**9 + 1}}) == [("policy/retries/max_seconds", "PauseTooLong")]


def test_everything_wrong_with_a_job_is_told_at_once() -> None:
    """In the order of the job's fields."""
    job = one_job(schedule="* * * * 7", timezone="Local", request={"url": "http://u@x/", "headers": {"Host": "y"}})
    codes = [fault.code for fault in kubernetes_faults(job, _ZONES)]
    assert codes == ["InvalidSchedule", "UnknownTimeZone", "InvalidURL", "ReservedHeader"]
