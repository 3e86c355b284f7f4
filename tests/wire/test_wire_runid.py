"""A slot is believed only when it can be one, and one slot has one run id (design §6)."""

import datetime as dt
import hashlib
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_protocol.runid import manual_run_id, parse_rfc3339, run_id, slot_from_job_name, unix_seconds

SLOT = 29_922_060 * 60
UID = "5d3c9a36-6d2f-4a55-9a20-9f1a3d7c0a11"


@pytest.mark.parametrize(
    ("name", "now", "slot"),
    [
        ("cronix-billing-x-0-29922060", SLOT + 5, SLOT),
        ("cronix-billing-x-0-29922060", SLOT + 540, SLOT),
        ("cronix-billing-x-0-29922060", SLOT + 541, None),
        ("cronix-billing-x-0-29922060", SLOT - 541, None),
        ("cronix-billing-x-0-99999999", SLOT, None),
        ("cronix-billing-x-0-2992206", SLOT, None),
        ("cronix-billing-x-0-029922060", SLOT, None),
        ("cronix-billing-x-0-２９９２２０６０", SLOT, None),  # noqa: RUF001  # the digits are the attack
        ("cronix-billing-x-0-manual", SLOT, None),
        ("cronix-billing-x-1-29922060", SLOT, None),
        ("29922060", SLOT, None),
        ("", SLOT, None),
    ],
)
def test_slot_in_a_job_name(name: str, now: float, slot: int | None) -> None:
    """Only `<our CronJob>-<8 digits>` near now is a slot; a name that a person chose is a manual run."""
    assert slot_from_job_name(name, "cronix-billing-x-0", now, 540) == slot


def test_run_id_is_a_uuid_of_version_7_that_carries_the_slot() -> None:
    """Version, variant and the 48 bits of milliseconds are where RFC 9562 has them."""
    parsed = uuid.UUID(run_id(UID, "x", 0, SLOT))
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == SLOT * 1000
    assert str(parsed) == run_id(UID, "x", 0, SLOT)


def test_run_id_is_fixed_for_ever() -> None:
    """An upgrade of the signer between two pods of one slot must not change the id."""
    noise = int.from_bytes(hashlib.sha256(f"cronix-run\0{UID}\0reconcile\0{0}\0{SLOT}".encode()).digest()[:10])
    made = uuid.UUID(
        int=SLOT * 1000 << 80 | 7 << 76 | noise >> 64 << 64 & 0xFFF << 64 | 2 << 62 | noise & (1 << 62) - 1
    )
    assert run_id(UID, "reconcile", 0, SLOT) == str(made) == "01a201a0-1c80-7ad5-9d5e-502afbfea860"
    assert manual_run_id(UID, 1.0) == "00000000-0000-7e70-938e-9c1ac46f54d3"


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=5), st.text(max_size=5), st.integers(0, 99), st.integers(0, 2**32)), unique=True
    )
)
def test_run_ids_of_different_slots_differ(slots: list[tuple[str, str, int, int]]) -> None:
    """App, job, index and slot all count, and cannot run into each other."""
    assert len({run_id(*slot) for slot in slots}) == len(slots)


def test_manual_run_keeps_its_id_in_a_replacement_pod() -> None:
    """The Job's uid alone makes it; another Job has another."""
    assert manual_run_id(UID, 5) == manual_run_id(UID, 500)
    assert manual_run_id(UID, 5) != manual_run_id("another", 5)
    assert uuid.UUID(manual_run_id(UID, 5)).version == 7


def test_run_outside_kubernetes_has_its_time_and_is_unique() -> None:
    """Without a Job the clock and randomness make the id."""
    one = uuid.UUID(manual_run_id("", 1730000000.25, entropy=b"a"))
    assert one.int >> 80 == 1730000000250
    assert one != uuid.UUID(manual_run_id("", 1730000000.25, entropy=b"b"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31T23:59:00",
        "2026-01-31T23:59:00+00:00",
        "2026-01-31 23:59:00Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:60:00Z",
        "2026-01-31T23:59:60Z",
        "1969-12-31T23:59:59Z",
        "2026-01-31T23:59:0٣Z",
        "x" * 20,
    ],
)
def test_text_that_is_no_utc_time(text: str) -> None:
    """Nothing is guessed."""
    assert parse_rfc3339(text) is None


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(9999, 12, 31)))
def test_times_agree_with_the_standard_library(moment: dt.datetime) -> None:
    """Our calendar is the calendar."""
    moment = moment.replace(microsecond=0, tzinfo=dt.UTC)
    assert parse_rfc3339(moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)) == int(moment.timestamp())


def test_days_that_do_not_exist() -> None:
    """Leap years by the Gregorian rule."""
    assert unix_seconds(2024, 2, 29, 0, 0, 0) is not None
    assert unix_seconds(2000, 2, 29, 0, 0, 0) is not None
    assert unix_seconds(2100, 2, 29, 0, 0, 0) is None
    assert unix_seconds(2026, 4, 31, 0, 0, 0) is None
