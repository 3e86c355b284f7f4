"""Verification, and the likely cause when it fails; pure. A cause is only told when the request itself proves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cronix_protocol import Verification, verify
from cronix_protocol.signature import MIN_WINDOW_SECONDS
from cronix_sdk.errors import SetupError
from cronix_sdk.request import MANIFEST_PATH, Incoming, one_word
from cronix_sdk.response import SIGNATURE_MISMATCH, STALE_TIMESTAMP, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What a hint costs: some more HMACs for a request that is refused. A longer body gets none, for anyone can send one.
_LONGEST_DIAGNOSED_BODY_BYTES = 64 * 1024

HINT_CLOCK = "ClockSkew"
HINT_BODY = "BodyConsumed"
HINT_PATH = "PathRewritten"
HINT_TEXT = "BodyDecoded"
HINT_TWICE = "MountedTwice"


@dataclass(frozen=True, slots=True)
class Check:
    """Everything that one verification depends on, the time included."""

    incoming: Incoming
    signed_path: str
    secrets: Sequence[str] = field(repr=False)
    now: int
    window_seconds: int

    def run(self, *, path: str | None = None, now: int | None = None) -> Verification:
        """Verify, perhaps as if path or time were another."""
        return verify(
            self.incoming.signature,
            secrets=self.secrets,
            method=self.incoming.method,
            path=self.signed_path if path is None else path,
            body=self.incoming.body,
            now=self.now if now is None else now,
            window_seconds=self.window_seconds,
        )


def checked_window(seconds: int, what: str) -> int:
    """The replay window if it is one that honest clocks can keep, else `SetupError`."""
    if seconds < MIN_WINDOW_SECONDS:
        raise SetupError(f"{what}={seconds}: at least {MIN_WINDOW_SECONDS}, or honest clocks would be refused (W9)")
    return seconds


def refusal_of(verification: Verification, check: Check, known_paths: Sequence[str]) -> Refusal:
    """The protocol's code, with the most specific true sentence about why; `known_paths` are the jobs' own paths."""
    if verification.code == STALE_TIMESTAMP:
        return _stale(check, verification)
    if verification.code == SIGNATURE_MISMATCH:
        return _lost_body(check) or _rewritten_path(check, known_paths) or _unexplained(verification)
    return Refusal(verification.code, verification.message)


def _stale(check: Check, verification: Verification) -> Refusal:
    signed_at = _timestamp(check.incoming.signature or "")
    if signed_at is None:
        return Refusal(verification.code, verification.message)
    seconds = check.now - signed_at
    when = f"{seconds} s ago" if seconds > 0 else f"{-seconds} s in the future"
    message = f"signed {when} by this app's clock, window {check.window_seconds} s"
    if len(check.incoming.body) <= _LONGEST_DIAGNOSED_BODY_BYTES and check.run(now=signed_at).ok:
        return Refusal(
            verification.code,
            f"{message}; the key is right: a clock is wrong, or an old request is replayed",
            HINT_CLOCK,
        )
    return Refusal(verification.code, message)


def _lost_body(check: Check) -> Refusal | None:
    declared = check.incoming.declared_length
    received = len(check.incoming.body)
    if declared is None or declared == received:
        return None
    if received == 0:
        cause = "a middleware or the framework read it first"
    else:
        cause = "it was decoded and encoded again, or cut"
    return Refusal(
        SIGNATURE_MISMATCH,
        f"body: {received} of {declared} bytes reached cronix; {cause}. Give it the raw bytes",
        HINT_BODY if received == 0 else HINT_TEXT,
    )


def _rewritten_path(check: Check, known_paths: Sequence[str]) -> Refusal | None:
    if len(check.incoming.body) > _LONGEST_DIAGNOSED_BODY_BYTES:
        return None
    for candidate in _candidates(check.signed_path, known_paths):
        if check.run(path=candidate).ok:
            # Only the key's owner can get here, so the two paths are told to nobody else.
            signed, received = one_word(candidate), one_word(check.signed_path)
            return Refusal(
                SIGNATURE_MISMATCH,
                f"signed for {signed} but the app received {received}: a proxy or mount "
                "rewrites the path; put the public prefix into base_url or stop the rewrite",
                HINT_PATH,
            )
    return None


def _candidates(path: str, known_paths: Sequence[str]) -> Iterator[str]:
    """The spellings that proxies and frameworks make of one path, each tried once."""
    route, mark, query = path.partition("?")
    spellings = [
        *known_paths,
        *(f"{known.partition('?')[0]}{mark}{query}" for known in known_paths),
        *(f"{known}{mark}{query}" for known in known_paths if mark and "?" not in known),
        MANIFEST_PATH,
        route,
        f"{route}/" + mark + query,
        route.rstrip("/") + mark + query,
        unquote(path),
        f"{path}?",
    ]
    for candidate in dict.fromkeys(spellings):
        if candidate and candidate != path:
            yield candidate


def _unexplained(verification: Verification) -> Refusal:
    return Refusal(verification.code, verification.message)


def mac_of(header: str) -> str:
    """The MAC of a header that was verified, in one spelling: the name of that signature."""
    macs = [segment[3:].lower() for segment in header.split(",") if segment.startswith("v1=")]
    return macs[-1] if macs else ""


def _timestamp(header: str) -> int | None:
    # verify() has parsed it before it said "stale", so the last t= is a number.
    for segment in reversed(header.split(",")):
        if segment.startswith("t="):
            return int(segment[2:])
    return None
