"""Hostile bytes: refused with a reason, in bounded time and memory (attacks J1, J2, J4)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cronix_protocol.manifest import MAX_BYTES, ManifestInvalid, parse_manifest
from protocol.protocol_helpers import VECTORS, faults_of, manifest_with

_SPEC = VECTORS.parent

_GOOD = json.dumps(manifest_with()).encode()


def _reason(raw: bytes) -> str:
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(raw)
    assert {fault.code for fault in caught.value.faults} == {"decode"}
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"null ", "must be an object, not null"),
        (b"\xef\xbb\xbf" + _GOOD, "byte order mark"),
        (_GOOD.decode().encode("utf-16"), "UTF-16"),
        (_GOOD.decode().encode("utf-16-le"), "UTF-16"),
        (_GOOD.decode().encode("utf-16-be"), "UTF-16"),
        (_GOOD.decode().encode("utf-32"), "UTF-16 or UTF-32"),
        (_GOOD.replace(b"rollup", b"roll\xffup", 1), "not UTF-8: byte 0xff"),
        (_GOOD.replace(b"rollup", b"\xed\xa0\x80", 1), "not UTF-8"),
        (_GOOD.replace(b"rollup", b"roll\x00up", 1), "control character"),
        (_GOOD + b"{}", "Extra data"),
        (_GOOD + b"\x00", "Extra data"),
        (_GOOD[:-1], "not JSON"),
        (_GOOD.replace(b"1", b"NaN", 1), "NaN is no JSON number"),
        (_GOOD.replace(b"1", b"-Infinity", 1), "-Infinity is no JSON number"),
        (b"{'version':1}", "not JSON"),
        (b'{"version":1,}', "not JSON"),
        (b'{"version":01}', "not JSON"),
        (b"[" * 33 + b"]" * 33, "nested deeper than 32"),
        (b'{"a":' * 200_000, "nested deeper than 32"),
        (b"\xff\xff\xff", "not UTF-8"),
        (b" " * (MAX_BYTES + 1), "at most 1048576 are read"),
    ],
)
def test_bytes_that_two_readers_could_take_differently(raw: bytes, reason: str) -> None:
    """J2: the reason names what is wrong."""
    assert reason in _reason(raw)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (_GOOD.decode().replace('"version": 1', '"version": 1, "version": 1'), "version"),
        (_GOOD.decode().replace('"url"', '"url": "http://evil.example/", "url"'), "jobs/0/request/url"),
        (_GOOD.decode().replace('"url"', '"headers": {"X-A": "1", "X-A": "2"}, "url"'), "jobs/0/request/headers/X-A"),
        (_GOOD.decode().replace('"url"', '"u\\u0072l": "http://evil.example/", "url"'), "jobs/0/request/url"),
    ],
)
def test_a_key_given_twice_is_told_at_its_path(text: str, path: str) -> None:
    """J2: Go, JavaScript and Python keep the last one, others the first."""
    assert faults_of(text.encode()) == {path: "decode"}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("1" * 4301, "out_of_range"),
        ("-" + "9" * 100_000, "out_of_range"),
        ("18446744073709551617", "out_of_range"),
        ("1e999", "decode"),
        ("1E2", "decode"),
        ("60.0", "decode"),
        ("true", "decode"),
        ("-0.0", "decode"),
    ],
)
def test_numbers_that_are_no_small_integer(number: str, code: str) -> None:
    """J2: no ValueError from long digits, no bool or float taken for an integer."""
    text = json.dumps(manifest_with(policy={"timeout_seconds": 424242})).replace("424242", number)
    assert faults_of(text.encode()) == {"jobs/0/policy/timeout_seconds": code}


def test_minus_zero_is_zero() -> None:
    """Go reads -0 as the integer 0, and so do we: it is out of range for a timeout, not of another type."""
    text = json.dumps(manifest_with(policy={"timeout_seconds": 424242})).replace("424242", "-0")
    assert faults_of(text.encode()) == {"jobs/0/policy/timeout_seconds": "out_of_range"}


@pytest.mark.parametrize("place", ["timezone", "schedule", "name"])
def test_half_a_surrogate_pair_is_told_at_its_path(place: str) -> None:
    """J2: it would break the first thing that encodes the text; a whole pair is fine in a body."""
    text = json.dumps(manifest_with(**{place: "x\ud800"}))
    assert "\\ud800" in text
    assert faults_of(text.encode()) == {f"jobs/0/{place}": "decode"}


def test_escaped_nul_and_emoji_survive_in_a_body() -> None:
    """A body is the app's own text: only what JSON cannot carry is refused."""
    request = {"url": "https://x.example.com/", "body": "\x00\U0001f30d"}
    manifest = parse_manifest(json.dumps(manifest_with(request=request)).encode())
    assert manifest.jobs[0].request.body == "\x00\U0001f30d"


def _bombs() -> dict[str, bytes]:
    names = b",".join(b'"k%d":1' % index for index in range(40_000))
    return {
        "open brackets": b"[" * MAX_BYTES,
        "empty lists": b"[" + b"[]," * (MAX_BYTES // 3 - 2) + b"1]",
        "quote never closed": b'"' + b'\\"' * (MAX_BYTES // 2 - 1),
        "quotes": b'"' * MAX_BYTES,
        "backslashes": b'"' + b"\\" * (MAX_BYTES - 1),
        "one number": b"1" * MAX_BYTES,
        "unknown fields": b"{" + names + b"}",
        "bad headers": b'{"version":1,"app":"x","jobs":[{"name":"a","request":{"headers":{' + names + b"}}}]}",
        "equal keys": b"[" + b",".join([b'{"a":1,"a":2}'] * 60_000) + b"]",
        "one schedule": json.dumps(manifest_with(schedule="*," * 500_000)).encode(),
        "faulty jobs": b'{"version":1,"app":"x","jobs":[' + b",".join([b"{}"] * 300_000) + b"]}",
    }


_READ_ALL = """
import pathlib, resource, sys
from cronix_protocol.manifest import ManifestInvalid, parse_manifest
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(pathlib.Path, sys.argv[1:]):
    raw = path.read_bytes()
    try:
        parse_manifest(raw)
    except ManifestInvalid:
        print(path.name, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_megabyte_of_malice_is_refused_within_bounds(tmp_path: Path) -> None:
    """J1, J4: each bomb fits the size limit; all are refused with less than 64 MiB and 60 CPU seconds (about 3)."""
    bombs = _bombs()
    for name, raw in bombs.items():
        assert len(raw) <= MAX_BYTES
        (tmp_path / name.replace(" ", "-")).write_bytes(raw)
    command = [sys.executable, "-c", _READ_ALL, *sorted(map(str, tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(_SPEC)})
    refused = dict(line.split() for line in done.stdout.splitlines())
    assert len(refused) == len(bombs), done.stdout
    assert max(map(int, refused.values())) < 64 * 1024  # KiB


def test_many_equal_keys_stop_the_reading() -> None:
    """J2: 64 places are told; a document made of nothing else is refused without them."""
    assert "more than 64 objects" in _reason(b"[" + b",".join([b'{"a":1,"a":2}'] * 65) + b"]")
    assert len(faults_of(b"[" + b",".join([b'{"a":1,"a":2}'] * 64) + b"]")) == 64
