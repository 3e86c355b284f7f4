"""What the tests of the receiver share: a Cron with a still clock, and requests signed for it."""

from __future__ import annotations

from typing import Any

from cronix_protocol import sign
from cronix_sdk import Cron, Response

KEY = "whsec_test_primary_aaaaaaaaaaaaaaaaaaaaaaaaaaa"
OTHER_KEY = "whsec_test_other_bbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
NOW = 1_730_000_000
MANIFEST = "/.well-known/cron-manifest"


def trigger_path(job: str) -> str:
    return f"/api/v1/scheduled/{job}"


def still_clock() -> float:
    return float(NOW)


def make_cron(**arguments: Any) -> Cron:
    """A Cron whose clock stands at NOW."""
    return Cron(
        **{
            "app": "billing",
            "base_url": "http://billing.shop.svc:8080",
            "secret": KEY,
            "clock": still_clock,
            **arguments,
        }
    )


def signed(
    method: str, path: str, body: bytes = b"", *, key: str = KEY, at: int = NOW, **headers: str
) -> dict[str, str]:
    """Headers as the signer sends them; a keyword `run_id="x"` becomes `X-Cron-Run-Id: x`."""
    extra = {f"X-Cron-{name.replace('_', '-').title()}": value for name, value in headers.items()}
    return {"X-Cron-Signature": sign(key, method=method, path=path, body=body, timestamp=at), **extra}


def fire(
    cron: Cron,
    job: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    path: str | None = None,
    key: str = KEY,
    at: int = NOW,
    **headers: str,
) -> Response:
    """One signed trigger through `handle`."""
    target = trigger_path(job) if path is None else path
    return cron.handle(
        method=method, path=target, headers=signed(method, target, body, key=key, at=at, **headers), body=body
    )


def fetch_manifest(cron: Cron, *, key: str = KEY, path: str = MANIFEST) -> Response:
    """One signed fetch of the manifest through `handle`."""
    return cron.handle(method="GET", path=path, headers=signed("GET", MANIFEST, key=key), body=b"")
