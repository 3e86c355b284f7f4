"""The protocol's 29 manifest vectors and its hash vectors, byte for byte."""

import json
from typing import Any

import pytest

from cronix_protocol.canonical import canonical_json, job_hash
from cronix_protocol.manifest import Job, parse_manifest
from protocol.protocol_helpers import faults_of, vectors

_VECTORS: list[dict[str, Any]] = vectors("manifest-vectors.json")["vectors"]  # type: ignore[assignment]  # JSON
_VALID = {vector["name"]: vector for vector in _VECTORS if vector["valid"]}
_INVALID = {vector["name"]: vector for vector in _VECTORS if not vector["valid"]}
_HASHES: dict[str, Any] = vectors("hash-vectors.json")


def _job(vector: str, name: str) -> Job:
    manifest = parse_manifest(json.dumps(_VALID[vector]["input"]).encode())
    return next(job for job in manifest.jobs if job.name == name)


def test_all_29_vectors_are_there() -> None:
    """A vector file that lost its contents must not look like success."""
    assert (len(_VALID), len(_INVALID)) == (7, 22)


@pytest.mark.parametrize("name", _VALID)
def test_a_valid_vector_gives_the_expected_bytes(name: str) -> None:
    """Canonical form: equal to the vector byte for byte, and it reads back as the same manifest."""
    manifest = parse_manifest(json.dumps(_VALID[name]["input"]).encode())
    assert canonical_json(manifest).decode() == _VALID[name]["expected"]
    assert parse_manifest(canonical_json(manifest)) == manifest


@pytest.mark.parametrize("name", _INVALID)
def test_an_invalid_vector_is_refused_at_the_expected_paths(name: str) -> None:
    """Each wanted path is reported, itself or something below it."""
    reported = faults_of(json.dumps(_INVALID[name]["input"]).encode())
    for wanted in _INVALID[name]["errorPaths"]:
        assert any(path == wanted or path.startswith(f"{wanted}/") for path in reported), reported


@pytest.mark.parametrize("entry", _HASHES["hashes"], ids=lambda entry: f"{entry['job']}-{entry['index']}")
def test_a_job_has_the_peers_hash(entry: dict[str, Any]) -> None:
    """Objects that the peer labelled are recognised, and its drift check finds none on ours."""
    assert job_hash(_job(entry["vector"], entry["job"]), entry["index"]) == entry["hash"]


def test_go_escapes_are_part_of_the_hash() -> None:
    """& < > and the two line separators are escaped as Go does, DEL and other non-ASCII stay raw."""
    case = _HASHES["escapes"]
    manifest = parse_manifest(case["canonical"].replace('"_hash_"', '"reports"').encode())
    assert canonical_json(manifest).decode() == case["canonical"].replace('"_hash_"', '"reports"')
    assert job_hash(manifest.jobs[0], case["index"]) == case["hash"]


def test_the_standard_fnv_basis_is_not_used() -> None:
    """The peer's basis lacks a digit; with the standard one this job's hash would be e05357ec3a406024."""
    assert job_hash(_job("minimal-job-single-schedule", "reconcile-payments"), 0) != "e05357ec3a406024"


def test_a_hand_made_lone_surrogate_hashes_as_go_would() -> None:
    """Go writes U+FFFD; the hash of such a job is defined and no exception."""
    job = _job("every-shortcut", "ping")
    odd = Job(job.name, job.schedules, "\ud800", job.request, job.policy, job.secret_refs)
    even = Job(job.name, job.schedules, "\ufffd", job.request, job.policy, job.secret_refs)
    assert job_hash(odd, 0) == job_hash(even, 0) != job_hash(job, 0)
