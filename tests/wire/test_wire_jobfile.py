"""A job file says everything or is refused with every fault and its place; hostile JSON is one fault (J2, C5, C6)."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_protocol import lightjson
from cronix_protocol.headers import header_fault
from cronix_protocol.jobfile import JobFile, JobFileInvalid, dump_job_file, parse_job_file
from cronix_protocol.joburl import split_url

JOB: dict[str, Any] = {
    "name": "reconcile-payments",
    "schedules": ["*/5 * * * *"],
    "timezone": "UTC",
    "request": {"method": "POST", "url": "https://billing.example.com/run?a=1", "headers": {"X-A": "b"}, "body": "{}"},
    "policy": {
        "concurrency": "Forbid",
        "concurrency_scope": "host",
        "timeout_seconds": 30,
        "retries": {"max_attempts": 4, "min_seconds": 2, "max_seconds": 9},
    },
}
FIRE: dict[str, Any] = {
    "cronjob": "cronix-billing-x-0",
    "app_uid": "uid",
    "starting_deadline_seconds": 300,
    "active_deadline_seconds": 240,
    "target_base_url": "http://billing.shop.svc:8080",
    "jitter_seconds": 7,
    "retry_on": [429, 503],
    "honor_retry_after": True,
    "headers": [{"name": "X-Tenant", "value": "a"}, {"name": "Authorization", "file": "/conn/authorization"}],
    "ca_file": "/ca.pem",
    "client_cert_file": "/c.pem",
    "client_key_file": "/k.pem",
    "previous_success_file": "/last",
}
REFS = ["file:/var/run/cronix/keys/v2", "env:OLD"]


def document(**changes: Any) -> dict[str, Any]:
    return {"app": "billing", "job": JOB, "secret_refs": REFS, "schedule_index": 1} | changes


def parse(value: object, **options: Any) -> JobFile:
    return parse_job_file(json.dumps(value), **options)


def faults(value: object) -> dict[str, str]:
    with pytest.raises(JobFileInvalid) as caught:
        parse(value)
    return dict(caught.value.faults)


def job(path: str, value: object) -> dict[str, Any]:
    """The document with one field of the job changed; a value of `...` takes the field out."""
    changed = json.loads(json.dumps(JOB))
    *parents, last = path.split("/")
    place = changed
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document(job=changed)


def test_file_as_the_peer_writes_it() -> None:
    """All of the protocol's spec file arrives, and nothing of ours is needed."""
    parsed = parse_job_file(json.dumps(document(), indent=2))
    assert (parsed.app, parsed.job, parsed.schedule_index, parsed.method) == (
        "billing",
        "reconcile-payments",
        1,
        "POST",
    )
    assert (parsed.url.scheme, parsed.url.host, parsed.url.port) == ("https", "billing.example.com", 443)
    assert (parsed.url.path, parsed.url.authority, parsed.body) == ("/run?a=1", "billing.example.com", b"{}")
    assert [(h.name, h.value, h.file) for h in parsed.headers] == [("X-A", "b", "")]
    assert (parsed.timeout_seconds, parsed.max_attempts, parsed.min_seconds, parsed.max_seconds) == (30, 4, 2, 9)
    assert parsed.secret_refs == (("file", "/var/run/cronix/keys/v2"), ("env", "OLD"))
    assert (parsed.fire.cronjob, parsed.fire.target, parsed.fire.retry_on) == ("", None, frozenset())
    assert (parsed.fire.jitter_seconds, parsed.fire.honor_retry_after, parsed.fire.headers) == (0, False, ())


def test_what_the_operator_adds_arrives() -> None:
    """Every key of `fire`."""
    fire = parse(document(fire=FIRE)).fire
    assert fire.target is not None
    assert (fire.target.host, fire.target.port, fire.target.scheme) == ("billing.shop.svc", 8080, "http")
    assert (fire.starting_deadline_seconds, fire.active_deadline_seconds, fire.jitter_seconds) == (300, 240, 7)
    assert (fire.cronjob, fire.app_uid, fire.honor_retry_after) == ("cronix-billing-x-0", "uid", True)
    assert fire.retry_on == {429, 503}
    assert [(h.name, h.value, h.file) for h in fire.headers] == [
        ("X-Tenant", "a", ""),
        ("Authorization", "", "/conn/authorization"),
    ]
    assert (fire.ca_file, fire.client_cert_file, fire.client_key_file) == ("/ca.pem", "/c.pem", "/k.pem")
    assert fire.previous_success_file == "/last"


def test_left_out_policy_has_the_protocols_defaults() -> None:
    """60 s, three attempts, 1 to 60 s between them; POST; no body."""
    parsed = parse({"app": "a", "job": {"name": "x", "request": {"url": "http://h"}}, "secret_refs": []})
    assert (parsed.timeout_seconds, parsed.max_attempts, parsed.min_seconds, parsed.max_seconds) == (60, 3, 1, 60)
    assert (parsed.method, parsed.body, parsed.url.path, parsed.schedule_index) == ("POST", b"", "/", 0)


def test_what_the_operator_dumps_the_signer_parses() -> None:
    """A round trip, with a body that a kubelet would otherwise expand."""
    body = "$(CRONIX_JOB) $$ $ \\u0024 € 🌍 \x00"
    text = dump_job_file(
        app="billing", job=job("request/body", body)["job"], secret_refs=REFS, schedule_index=1, fire=FIRE
    )
    assert "$" not in text
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)["job"]["request"]["body"] == body
    assert parse_job_file(text).body == body.encode()


def test_dump_without_additions_is_the_peers_file() -> None:
    """No key that the peer does not know."""
    text = dump_job_file(app="billing", job=JOB, secret_refs=REFS, schedule_index=1, fire={})
    assert json.loads(text) == document()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", ..., "missing"),
        ("name", "", "non-empty string"),
        ("name", 5, "the number 5"),
        ("request", ..., "missing; want an object"),
        ("request", "x", "a string; want an object"),
        ("request/url", ..., "missing"),
        ("request/url", "ftp://h/", "http://HOST"),
        ("request/url", "https://h/ü", "U+00FC at 10; percent-encode"),
        ("request/url", "https://h/a b", "U+0020"),
        ("request/url", "https://h/\r\nX-Cron-Run-Id: 1", "U+000D"),
        ("request/url", "https://u:p@h/", "Authorization header"),
        ("request/url", "https://", "no host"),
        ("request/url", "https:///x", "no host"),
        ("request/url", "https://h:0/", "port"),
        ("request/url", "https://h:70000/", "port"),
        ("request/url", "https://h:x/", "port"),
        ("request/url", "https://[::1/", "IPv6"),
        ("request/url", "https://[fe80::1%25eth0]/", "IPv6"),
        ("request/url", "https://a\\b/", "no host"),
        ("request/method", "TRACE", "want one of"),
        ("request/body", 5, "the number 5"),
        ("request/body", "\ud800", "surrogate"),
        ("request/headers", [], "a list; want an object"),
        ("policy/timeout_seconds", 0, "1..600"),
        ("policy/timeout_seconds", 601, "1..600"),
        ("policy/timeout_seconds", 60.0, "1..600"),
        ("policy/timeout_seconds", True, "1..600"),
        ("policy/retries/max_attempts", 11, "1..10"),
        ("policy/retries/min_seconds", -1, "0.."),
        ("policy/retries/max_seconds", 0, "1.."),
        ("policy/retries/max_seconds", 10**12, "1.."),
    ],
)
def test_fault_in_the_job(path: str, value: object, said: str) -> None:
    """The fault is named by its path, alone, with what to write instead."""
    found = faults(job(path, value))
    assert list(found) == [f"job/{path}"]
    assert said in found[f"job/{path}"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("X-Cron-Signature", "t=1", "written by the signer"),
        ("x-cron-anything", "1", "written by the signer"),
        ("HOST", "evil", "written by the signer"),
        ("Content-Length", "5", "written by the signer"),
        ("Transfer-Encoding", "chunked", "written by the signer"),
        ("Connection", "keep-alive", "written by the signer"),
        ("X-A", "a\r\nX-Cron-Run-Id: 1", "U+000D at 1"),
        ("X-A", "a\n b", "U+000A"),
        ("X-A", "a\0", "U+0000"),
        ("X-A", "é", "U+00E9"),
        ("X A", "b", "not a header name"),
        ("X-A:", "b", "not a header name"),
        ("", "b", "not a header name"),
        ("X-É", "b", "not a header name"),
    ],
)
def test_header_that_a_job_may_not_set(name: str, value: str, said: str) -> None:
    """Reserved names in any case, line breaks, folding, anything but printable ASCII (C6, T7)."""
    assert said in str(header_fault(name, value))
    assert said in faults(job("request/headers", {name: value}))[f"job/request/headers/{name}"]
    assert said in faults(document(fire={"headers": [{"name": name, "value": value}]}))["fire/headers/0"]


def test_header_values_that_are_fine() -> None:
    """Tab, colon, quotes, empty; and a fault never shows the value, which may be a credential."""
    assert all(header_fault("Authorization", value) is None for value in ("", "Basic x==", 'a\tb: "c"'))
    assert "hunter2" not in str(header_fault("Authorization", "hunter2\n"))


@pytest.mark.parametrize(
    ("fire", "path"),
    [
        ({"jitter_seconds": "5"}, "fire/jitter_seconds"),
        ({"jitter_seconds": 86401}, "fire/jitter_seconds"),
        ({"retry_on": [200]}, "fire/retry_on/0"),
        ({"retry_on": [429, True]}, "fire/retry_on/1"),
        ({"retry_on": 429}, "fire/retry_on"),
        ({"honor_retry_after": 1}, "fire/honor_retry_after"),
        ({"target_base_url": "http://h/path"}, "fire/target_base_url"),
        ({"target_base_url": "h:80"}, "fire/target_base_url"),
        ({"headers": ["X: y"]}, "fire/headers/0"),
        ({"headers": [{"name": "X", "value": "y", "file": "/f"}]}, "fire/headers/0"),
        ({"headers": [{"name": "X", "value": 5}]}, "fire/headers/0"),
        ({"headers": {"X": "y"}}, "fire/headers"),
        ({"client_key_file": "/k"}, "fire/client_key_file"),
        ({"cronjob": 5}, "fire/cronjob"),
        ({"insecure": True}, "fire/insecure"),
    ],
)
def test_fault_in_what_the_operator_adds(fire: dict[str, Any], path: str) -> None:
    """An option that is wrong or unknown to this signer is never left undone silently."""
    assert list(faults(document(fire=fire))) == [path]


def test_all_faults_are_told_at_once() -> None:
    """Not one per try."""
    found = faults(
        {"secret_refs": ["x"], "job": {"request": {"method": "X", "url": "y"}, "policy": {"timeout_seconds": 0}}}
    )
    assert set(found) == {"app", "secret_refs/0", "job/name", "job/request/method", "job/request/url"} | {
        "job/policy/timeout_seconds"
    }


@pytest.mark.parametrize("ref", ["hunter2", "", "vault:hunter2", 5, None, ["file:/x"]])
def test_secret_ref_of_no_known_kind_is_not_shown(ref: object) -> None:
    """A bare string in that place is most likely the secret itself (C5)."""
    found = faults(document(secret_refs=[ref]))
    assert found == {"secret_refs/0": "want file:PATH or env:NAME"}


def test_raw_key_is_for_files_that_a_person_runs() -> None:
    """In a pod's environment it would stand readable in the pod's spec (C5)."""
    assert "hunter2" not in str(faults(document(secret_refs=["raw:hunter2"])))
    assert parse(document(secret_refs=["raw:hunter2"]), allow_raw=True).secret_refs == (("raw", "hunter2"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "{}x",
        "nul",
        "[" * 100_000,
        '{"a":NaN}',
        '{"a":1e999,}',
        "9" * 5000,
        '{"app":"\n"}',
        "'a'",
        "\ufeff{}",
    ],
)
def test_text_that_is_no_json(text: str) -> None:
    """One fault that says where, whatever the parser met."""
    with pytest.raises(JobFileInvalid, match="the job file is not JSON: "):
        parse_job_file(text)


@pytest.mark.parametrize("value", [None, [], "x", 5, True])
def test_json_that_is_no_object(value: object) -> None:
    """It is refused as a whole."""
    assert "want an object" in str(faults(value))


@pytest.mark.parametrize(
    ("text", "host", "port", "path", "authority"),
    [
        ("http://h", "h", 80, "/", "h"),
        ("HTTPS://H.example:/", "H.example", 443, "/", "H.example:"),
        ("http://h:8080?x=1", "h", 8080, "/?x=1", "h:8080"),
        ("http://h?u=/a", "h", 80, "/?u=/a", "h"),
        ("http://h/%7e/../a//b;c?d=%2F&e#frag", "h", 80, "/%7e/../a//b;c?d=%2F&e", "h"),
        ("http://h#frag", "h", 80, "/", "h"),
        ("http://[2001:db8::1]:81/x", "2001:db8::1", 81, "/x", "[2001:db8::1]:81"),
        ("http://a_b.svc./x", "a_b.svc.", 80, "/x", "a_b.svc."),
    ],
)
def test_url_is_split_and_not_changed(text: str, host: str, port: int, path: str, authority: str) -> None:
    """Path and query are what will be sent and signed; nothing is normalised (W3, P12)."""
    url = split_url(text)
    assert (url.host, url.port, url.path, url.authority) == (host, port, path, authority)


def test_no_character_passes_that_the_wire_cannot_carry() -> None:
    """Every one of them, alone in an URL's path and in a header's value."""
    for char in map(chr, (*range(0x250), 0x2028, 0xD800, 0xFEFF, 0x1F600)):
        fault = header_fault("X-A", f"a{char}b")
        assert (fault is None) is (" " <= char <= "~" or char == "\t"), hex(ord(char))
        if "!" <= char <= "~":
            assert split_url(f"http://h/a{char}b").host == "h"
        else:
            with pytest.raises(ValueError, match=f"U\\+{ord(char):04X} at 10"):
                split_url(f"http://h/a{char}b")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional={"app": json_values, "job": json_values, "secret_refs": json_values, "fire": json_values}
    )
)
def test_any_json_is_parsed_or_refused(value: object) -> None:
    """No exception but JobFileInvalid."""
    with contextlib.suppress(JobFileInvalid):
        assert parse(value).app


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(st.one_of(json_values.map(json.dumps), st.text('{}[]",:0123456789.eE+-truefalsn \\u\n', max_size=30)))
def test_fast_reader_reads_what_the_standard_library_reads(text: str) -> None:
    """lightjson is json, less NaN and Infinity."""
    constants: list[str] = []
    try:
        expected = json.loads(text, parse_constant=constants.append)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            lightjson.loads(text)
        return
    if constants:
        with pytest.raises(ValueError, match="is not JSON"):
            lightjson.loads(text)
    else:
        assert repr(lightjson.loads(text)) == repr(expected)


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(), max_size=8),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters()),
        max_size=6,
    )
)
def test_fast_writer_writes_what_the_standard_library_reads(fields: dict[str, str | float | bool | None]) -> None:
    """One ASCII line that means the same."""
    text = lightjson.dumps_flat(fields)
    assert json.loads(text) == fields
    assert text == json.dumps(fields, separators=(",", ":"))
