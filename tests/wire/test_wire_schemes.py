"""`fire.schemes` of a job file: what the signer reads, and what it will not take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronix_protocol.jobfile import JobFileInvalid, parse_job_file


def document(schemes: Any, **request: Any) -> str:
    job = {"name": "j", "request": {"url": "https://a.example/x?y=%20#z", **request}}
    return json.dumps({"app": "a", "job": job, "secret_refs": ["file:/k"], "fire": {"schemes": schemes}})


def entry(**changes: Any) -> dict[str, Any]:
    return {"type": "GitHub", "files": ["/k/GitHub"], **changes}


def test_schemes_arrive_in_order() -> None:
    """With the URL as it was written, for two of them sign it."""
    job = parse_job_file(document([entry(sha1=True), entry(type="QStash", files=["/a", "/b"])]))
    assert [(s.kind, s.files, s.sha1) for s in job.fire.schemes] == [
        ("GitHub", ("/k/GitHub",), True),
        ("QStash", ("/a", "/b"), False),
    ]
    assert job.url.text == "https://a.example/x?y=%20#z"


def test_none_is_the_default() -> None:
    """A job file of the peer's, or of an operator before this one."""
    assert parse_job_file(document([])).fire.schemes == ()


@pytest.mark.parametrize(
    ("schemes", "path"),
    [
        ([entry(type="Github")], "fire/schemes/0/type"),
        ([entry(type=["GitHub"])], "fire/schemes/0/type"),
        ([entry(), entry()], "fire/schemes/1/type"),
        ([entry(files=[])], "fire/schemes/0/files"),
        ([entry(files="/k")], "fire/schemes/0/files"),
        ([entry(files=["/a", "/b", "/c"])], "fire/schemes/0/files"),
        ([entry(files=["/a", ""])], "fire/schemes/0/files"),
        ([entry(files=["/a\0b"])], "fire/schemes/0/files"),
        ([entry(sha1=1)], "fire/schemes/0"),
        ([entry(newer=True)], "fire/schemes/0"),
        (["GitHub"], "fire/schemes/0/type"),
        ({"type": "GitHub"}, "fire/schemes"),
        ([entry(type="SignedForm")], "job/request/body"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(schemes: Any, path: str) -> None:
    """Never left out silently: a receiver would refuse every run."""
    with pytest.raises(JobFileInvalid) as caught:
        parse_job_file(document(schemes, body="x"))
    assert [place for place, _ in caught.value.faults] == [path]
