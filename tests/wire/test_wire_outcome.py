"""The termination message always fits, always parses, and a reader takes whatever stands there (design §8, C7)."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_protocol.outcome import EXIT_CODES, MAX_BYTES, Outcome, dump_outcome, parse_outcome, printable


def outcome(**changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "outcome": "AppRejected",
        "run_id": "01a2226d-5980-72bd-b18f-9d0dba2c6ecb",
        "scheduled_time": 1795323600,
        "manual": False,
        "start_time": 1795323601.5,
        "end_time": 1795323602,
        "attempts": 1,
        "http_status": 404,
        "message": "answered 404",
        "excerpt": '{"code":"UnknownJob"}',
    }
    return Outcome(**fields | changes)


def test_outcome_comes_back_as_it_was() -> None:
    """The operator reads what the signer wrote, as plain JSON with version 1."""
    text = dump_outcome(outcome())
    assert parse_outcome(text) == outcome()
    assert json.loads(text)["version"] == 1
    assert parse_outcome(dump_outcome(outcome(http_status=None))) == outcome(http_status=None)


def test_exit_codes_are_the_protocols() -> None:
    """One code per outcome."""
    assert {name: EXIT_CODES[name] for name in sorted(EXIT_CODES)} == {
        "AppRejected": 1,
        "Interrupted": 143,
        "InvalidJob": 3,
        "LockContended": 4,
        "NoKey": 3,
        "RetriesExhausted": 2,
        "Succeeded": 0,
    }


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(), max_size=3000),
    st.text(st.characters(), max_size=3000),
    st.text(st.characters(), max_size=80),
)
def test_no_text_makes_it_longer_than_kubernetes_keeps(message: str, excerpt: str, run_id: str) -> None:
    """Astral characters, controls, surrogates, quotes: at most 4096 bytes, and still an outcome."""
    text = dump_outcome(outcome(message=message, excerpt=excerpt, run_id=run_id))
    assert len(text.encode()) <= MAX_BYTES
    parsed = parse_outcome(text)
    assert parsed is not None
    assert parsed.excerpt.isprintable()
    assert len(parsed.excerpt) <= 200


def test_longest_texts_still_fit() -> None:
    """The worst case: twelve bytes per character in both texts."""
    text = dump_outcome(outcome(message="𐍈" * 5000, excerpt="𐍈" * 5000))
    assert len(text) <= MAX_BYTES
    assert parse_outcome(text) is not None


GOOD = json.loads(dump_outcome(outcome()))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": True},
        {"outcome": "Nice"},
        {"outcome": ["Succeeded"]},
        {"run_id": 5},
        {"run_id": "x" * 65},
        {"scheduled_time": 1.5},
        {"scheduled_time": -1},
        {"scheduled_time": True},
        {"manual": "no"},
        {"manual": None},
        {"start_time": "now"},
        {"end_time": 1e300},
        {"attempts": -1},
        {"attempts": True},
        {"http_status": 99},
        {"http_status": "200"},
        {"message": "x" * 257},
        {"excerpt": None},
    ],
    ids=str,
)
def test_message_with_one_field_that_no_signer_writes(change: dict[str, Any]) -> None:
    """It is no outcome."""
    assert parse_outcome(json.dumps(GOOD | change)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "Traceback (most recent call last):",
        '{"level":"INFO","msg":"trigger: success"}',
        "[" * 5000,
        "9" * 5000,
        json.dumps(GOOD)[1:],
        json.dumps(GOOD) + "x",
        json.dumps(GOOD | {"pad": "x" * 4096}),
    ],
)
def test_message_that_is_something_else(text: str) -> None:
    """Log lines, a cut message, nothing: None."""
    assert parse_outcome(text) is None


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from([*GOOD, "other"]), x),
        max_leaves=15,
    )
)
def test_any_json_has_an_answer(value: object) -> None:
    """Total: an outcome or None, never an exception."""
    assert parse_outcome(json.dumps(value)) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n\t b\r\n", "a b"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("abc\u202edef", "abc\ufffddef"),
        ("zero\u200bwidth\x00", "zero\ufffdwidth\ufffd"),
        ("x" * 300, "x" * 200),
    ],
)
def test_text_for_people_is_harmless(text: str, shown: str) -> None:
    """No terminal escape, no direction override, one line (C7)."""
    assert printable(text, 200) == shown


def test_outcome_is_comparable_and_readable() -> None:
    """For tests and debuggers."""
    assert outcome() != outcome(attempts=2)
    assert outcome() != "outcome"
    assert "attempts=1" in repr(outcome())
