"""What one run came to: the word for each way in which Kubernetes and the signer tell an end; and nothing raises."""

from __future__ import annotations

import copy
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronix_operator.core.jobfacts import parse_job, parse_pod
from cronix_operator.core.runs import ADVICE, Origin, Run, Trouble, next_trouble, redacted, run_of, trouble_of
from cronix_protocol.outcome import EXIT_CODES
from cronix_protocol.runid import manual_run_id, run_id
from operator_fakes.builders import APP_UID
from operator_fakes.jobs import (
    CRON_JOB,
    ORIGIN,
    SLOT,
    Object,
    ended,
    job,
    pod,
    running,
    said,
    terminated,
    waiting,
    when,
)

JOB = job()
POLICY, LIMIT, DEADLINE = "PodFailurePolicy", "BackoffLimitExceeded", "DeadlineExceeded"
PULL = waiting("ImagePullBackOff", 'Back-off pulling image "signer:gone"')


def run(body: Object, *pods: Object, origin: Origin = ORIGIN) -> Run:
    facts = parse_job(body)
    assert facts is not None
    return run_of(origin, facts, [known for known in map(parse_pod, pods) if known is not None])


def trouble(seconds: float, body: Object, *pods: Object) -> Trouble | None:
    facts = parse_job(body)
    assert facts is not None
    known = [known for known in map(parse_pod, pods) if known is not None]
    return trouble_of(facts, known, SLOT + timedelta(seconds=seconds))


ENDS: dict[str, tuple[Object, list[Object], str]] = {
    "the app said 200": (ended(JOB, 5), [terminated(0, said("Succeeded", http_status=200))], "Succeeded"),
    "done, and the pod is gone": (ended(JOB, 5), [], "Succeeded"),
    "the app said 404": (
        ended(JOB, 5, POLICY),
        [terminated(1, said("AppRejected", http_status=404, excerpt="no such job"))],
        "AppRejected",
    ),
    "each attempt failed": (
        ended(JOB, 9, POLICY),
        [terminated(2, said("RetriesExhausted", http_status=503, attempts=3))],
        "RetriesExhausted",
    ),
    "no key in the pod": (ended(JOB, 5, POLICY), [terminated(3, said("NoKey", attempts=0))], "NoKey"),
    "an unreadable job file": (
        ended(JOB, 5, POLICY),
        [terminated(3, said("InvalidJob", run_id="", attempts=0))],
        "InvalidJob",
    ),
    "stopped four times": (ended(JOB, 99, LIMIT), [terminated(143, said("Interrupted"))] * 4, "Interrupted"),
    "out of memory": (ended(JOB, 99, LIMIT), [terminated(137, "Killed\n", reason="OOMKilled")] * 4, "Crashed"),
    "the message is a log": (ended(JOB, 9, POLICY), [terminated(1, "Traceback (most recent call last)")], "Crashed"),
    "says success, ends with 1": (ended(JOB, 9, POLICY), [terminated(1, said("Succeeded"))], "Crashed"),
    "the Job's deadline, while running": (ended(JOB, 700, DEADLINE), [running()], "DeadlineExceeded"),
    "the Job's deadline, no image": (ended(JOB, 700, DEADLINE), [PULL], "NeverStarted"),
    "the Job's deadline, no pod": (ended(JOB, 700, DEADLINE), [], "NeverStarted"),
    "killed by the second pod only": (
        ended(JOB, 60, POLICY),
        [terminated(137, at=3), terminated(1, said("AppRejected", http_status=410), at=20)],
        "AppRejected",
    ),
}


@pytest.mark.parametrize(("body", "states", "word"), list(ENDS.values()), ids=list(ENDS))
def test_each_end_has_its_word(body: Object, states: list[Object], word: str) -> None:
    """And every word stands in the table that says what to do."""
    found = run(body, *(pod(body, n, state=state) for n, state in enumerate(states)))
    assert (found.outcome, found.outcome in ADVICE) == (word, True)
    assert found.finished is not None
    assert found.failed == (word != "Succeeded")


def test_every_word_of_the_signer_has_advice() -> None:
    assert set(EXIT_CODES) - set(ADVICE) == set()


def test_a_pod_that_was_ended_by_its_own_deadline() -> None:
    """The kubelet keeps such a pod, whose signer then says it was interrupted: that is not the reason."""
    body = ended(JOB, 200, LIMIT)
    late = pod(body, state=terminated(143, said("Interrupted"), at=120), reason="DeadlineExceeded", phase="Failed")
    assert run(body, late).outcome == "DeadlineExceeded"
    image = pod(body, state=PULL, reason="DeadlineExceeded", phase="Failed")
    assert run(body, image).outcome == "NeverStarted"
    assert "signer:gone" in run(body, image).message


def test_a_job_that_the_next_slot_replaced() -> None:
    """Replace deletes the old Job: nothing else ever tells of that run. A Job deleted by hand is another matter."""
    facts = parse_job(JOB)
    assert facts is not None
    gone = copy.deepcopy(JOB)
    gone["metadata"]["deletionTimestamp"] = when(60)
    replacing = Origin(APP_UID, CRON_JOB, "sync", 0, replaces=True)
    assert run(gone, pod(JOB, state=running()), origin=replacing).outcome == "Superseded"
    assert run(gone, pod(JOB, state=running())).outcome == "Removed"
    assert "ImagePullBackOff" in run(gone, pod(JOB, state=PULL), origin=replacing).message


def test_what_the_signer_said_travels_with_the_run() -> None:
    body = ended(JOB, 9, POLICY)
    message = said("RetriesExhausted", http_status=503, attempts=3, excerpt='{"error": "down"}')
    found = run(body, pod(body, state=terminated(2, message, at=8)))
    assert (found.http_status, found.attempts, found.excerpt) == (503, 3, '{"error": "down"}')
    assert (found.run_id, found.slot, found.manual) == ("01a2040b-0200-7379-b267-9d01da014239", SLOT, False)
    assert (found.start_delay_seconds, found.duration_seconds) == (7, 2)


def test_a_silent_run_has_the_id_that_its_signer_would_have_used() -> None:
    slot = int(SLOT.timestamp())
    assert run(JOB).run_id == run_id(APP_UID, "sync", 0, slot)
    assert (run(JOB).slot, run(JOB).outcome, run(JOB).finished) == (SLOT, "", None)
    by_hand = job(name="try")
    assert (run(by_hand).run_id, run(by_hand).slot, run(by_hand).manual) == (manual_run_id("job-0try", 0), None, True)
    imitated = copy.deepcopy(JOB)
    imitated["metadata"]["annotations"] = {"cronjob.kubernetes.io/instantiate": "manual"}
    assert run(imitated).manual


def test_a_backfill_of_an_old_slot_is_not_late() -> None:
    body = ended(job(name="backfill"), 5)
    message = said("Succeeded", scheduled_time=int(SLOT.timestamp()) - 30 * 86400)
    found = run(body, pod(body, state=terminated(0, message)))
    assert (found.manual, found.start_delay_seconds) == (False, None)


LATE = {"deletionTimestamp": when(60)}
TROUBLES: dict[str, tuple[float, Object | None, str | None]] = {
    "just made": (2, None, None),
    "running": (600, running(), None),
    "no image": (2, PULL, "NeverStarted"),
    "a volume is not there, at first": (30, waiting("ContainerCreating"), None),
    "a volume is not there": (70, waiting("ContainerCreating"), "NeverStarted"),
    "running far over its deadline": (900, running(), "RunStuck"),
}


@pytest.mark.parametrize(("seconds", "state", "word"), list(TROUBLES.values()), ids=list(TROUBLES))
def test_a_run_that_does_not_get_on(seconds: float, state: Object | None, word: str | None) -> None:
    found = trouble(seconds, JOB, pod(JOB, state=state))
    assert (found.word if found else None) == word


def test_a_job_without_a_pod_is_told_after_a_minute() -> None:
    """Quota, Pod Security, a webhook: only the Job's Events say why, and nobody may read those for us."""
    assert trouble(30, JOB) is None
    found = trouble(61, JOB)
    assert found is not None
    assert "quota" in found.text


def test_a_pod_on_a_dead_node_makes_the_run_stuck() -> None:
    """Kubernetes then holds the slot for ever under Forbid; force-deleting the pod frees it (tried)."""
    dying = pod(JOB, state=running())
    dying["metadata"] |= LATE
    assert trouble(100, JOB, dying) is None
    found = trouble(181, JOB, dying)
    assert found is not None
    assert found.word == "RunStuck"
    assert "node-1" in found.text
    assert f"kubectl delete pod {dying['metadata']['name']} --force" in found.text
    given_up = copy.deepcopy(JOB)
    target = {"type": "FailureTarget", "status": "True", "lastTransitionTime": when(10), "reason": DEADLINE}
    given_up["status"]["conditions"] = [target]
    assert run(given_up, dying).finished is None
    assert getattr(trouble(131, given_up), "word", None) == "RunStuck"


def test_a_node_that_says_nothing_leaves_open_whether_the_pod_started() -> None:
    """Its kubelet is dead: the container may run all the same, and the app may have been asked."""
    found = trouble(61, JOB, pod(JOB))
    assert found is not None
    assert found.word == "NeverStarted"
    assert (
        found.text
        == f"pod {JOB['metadata']['name']}-0 on node node-1 was not seen to start: the node has not said a word"
    )
    given_up = run(ended(JOB, 700, DEADLINE, "Job was active longer than specified deadline"), pod(JOB))
    assert given_up.message == "no start of its pod was seen: Job was active longer than specified deadline"
    nowhere = pod(JOB)
    nowhere["spec"] = {}
    assert getattr(trouble(61, JOB, nowhere), "text", "").endswith("was not seen to start: it waits for a node")
    assert "unseen" in ADVICE["NeverStarted"]
    assert "request" not in ADVICE["NeverStarted"], "nobody knows whether one was sent"


def test_trouble_that_comes_by_time_alone_is_looked_for_in_time() -> None:
    """Whenever trouble appears without an event, that moment was announced."""
    cases: tuple[list[Object], ...] = ([], [pod(JOB, state=waiting("ContainerCreating"))], [pod(JOB, state=running())])
    facts = parse_job(JOB)
    assert facts is not None
    for pods in cases:
        known = [p for p in map(parse_pod, pods) if p is not None]
        at, seen = SLOT, []
        while (at := next_trouble(facts, known, at) or SLOT) != SLOT:
            seen.append(trouble_of(facts, known, at))
        end = trouble_of(facts, known, SLOT + timedelta(days=1))
        assert (seen[-1].word if seen[-1] else None) == (end.word if end else None)


SECRETS = [
    "t=1700000000,v1=0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "Authorization: Basic dXNlcjpwYXNz",
    '"x-cron-signature": "v1=ab"',
    "Bearer abcdefghijklmnop",
    "password=hunter2",
    'api_key: "s3cr3t"',
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_an_excerpt_shows_no_credential(secret: str) -> None:
    """C5: a debug page quotes the request, or the app's own connection string."""
    body = ended(JOB, 9, POLICY)
    message = said("AppRejected", http_status=400, excerpt=f"bad request {secret}", message=f"answered {secret}")
    found = run(body, pod(body, state=terminated(1, message)))
    assert found.excerpt.startswith("bad request ")
    assert "[redacted]" in found.excerpt
    hidden = secret.rsplit("=", maxsplit=1)[-1].rsplit(": ", maxsplit=1)[-1].strip('"')
    assert hidden not in found.excerpt + found.message


def test_what_helps_is_not_redacted() -> None:
    text = '{"error": "no job nightly-report", "run": "01a2040b-0200-7379-b267-9d01da014239", "code": "NotFound"}'
    assert redacted(text) == text


junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("9999-12-31T23:59:59Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(found for key, child in children for found in paths(child, (*path, key)))]


@pytest.mark.law
@given(st.data())
def test_no_job_and_no_pod_raises(data: st.DataObject) -> None:
    """T8: a tenant's own objects may carry our labels. One value anywhere is replaced by anything."""
    body = ended(JOB, 9, POLICY)
    both = {"job": body, "pod": pod(body, state=terminated(1, said("AppRejected")), conditions=[{"type": "x"}])}
    both = copy.deepcopy(both)
    *parents, last = data.draw(st.sampled_from(paths(both)[1:]))
    node: Any = both
    for key in parents:
        node = node[key]
    node[last] = data.draw(junk)
    facts, known = parse_job(both["job"]), parse_pod(both["pod"])
    if facts is not None:
        pods = [known] if known is not None else []
        assert run_of(ORIGIN, facts, pods).outcome in ("", *ADVICE)
        trouble_of(facts, pods, SLOT)
        next_trouble(facts, pods, SLOT)


@pytest.mark.law
@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: raw.decode("latin-1")))
def test_no_termination_message_raises(message: str) -> None:
    body = ended(JOB, 9, POLICY)
    found = run(body, pod(body, state=terminated(1, message)))
    assert found.outcome == "Crashed"


def test_a_deeply_nested_message_does_not_raise() -> None:
    body = ended(JOB, 9, POLICY)
    assert run(body, pod(body, state=terminated(1, "[" * 4000))).outcome == "Crashed"


@pytest.mark.parametrize("kind", ["Deployment", "CronixApp"])
def test_a_job_that_no_cron_job_controls_is_no_run(kind: str) -> None:
    """T5: labels prove nothing."""
    body = job()
    body["metadata"]["ownerReferences"][0]["kind"] = kind
    assert parse_job(body) is None
    body["metadata"]["ownerReferences"] = []
    assert parse_job(body) is None
    loose = pod(job(), state=running())
    loose["metadata"]["ownerReferences"][0]["controller"] = False
    assert parse_pod(loose) is None


def test_the_page_has_every_word_and_no_other() -> None:
    """docs/runs.md is where a person looks a word up."""
    page = (Path(__file__).parents[2] / "docs/runs.md").read_text("utf-8")
    table = page.partition("## How a run ends")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(ADVICE)
