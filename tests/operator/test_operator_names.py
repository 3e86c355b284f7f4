"""Names, labels, keys, endpoint and time budget: small pure tables."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

import pytest

from cronix_operator.core import budget, keys, naming
from cronix_operator.core.endpoint import service_endpoint, url_endpoint
from cronix_operator.core.errors import Stalled
from cronix_operator.core.model import KeyMaterial, SecretKey, ServiceSource, SigningKey
from cronix_protocol.manifest import Policy, Retries
from operator_fakes.builders import make_app

LABEL = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a-b", "c", 0), ("a", "b-c", 0)),
        (("a", "b-1", 0), ("a", "b", 10)),
        (("a", "x" * 63, 0), ("a", "x" * 62, 0)),
        (("a", "x" * 50 + "a", 0), ("a", "x" * 50 + "b", 0)),
        (("a" * 63, "x", 1), ("a" * 63, "x", 11)),
        (("a-", "b", 0), ("a", "-b", 0)),
    ],
)
def test_crafted_pairs_do_not_clash(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    """T3: what reads the same when joined with dashes, or when cut, is told apart."""
    assert naming.cron_job_name(*one) != naming.cron_job_name(*other)


def test_a_hundred_thousand_tuples_have_names_of_their_own_within_every_limit() -> None:
    """T3. Few letters and many dashes, so that tuples are near each other."""
    rng = random.Random(20261122)
    words = sorted({"a" + "".join(rng.choices("ab-0", k=rng.choice((1, 2, 3, 4, 40, 62)))) for _ in range(700)})
    pairs = itertools.islice(itertools.product(words, reversed(words)), 100_000)
    tuples = {(app, job, number % 64) for number, (app, job) in enumerate(pairs)}
    assert len(tuples) == 100_000
    names = {naming.cron_job_name(*entry) for entry in tuples}
    assert len(names) == len(tuples)
    assert max(map(len, names)) <= 52
    assert all(DNS_LABEL.fullmatch(name) for name in itertools.islice(names, 0, None, 10))


def test_a_plain_name_stays_readable() -> None:
    assert naming.cron_job_name("billing", "sync", 2) == "cronix-billing-sync-2"


@pytest.mark.parametrize("text", ["a", "a" * 63, "a-", "-a", "a" * 64, "é", "a b", "", "A.b_c", "-" * 80])
def test_any_text_becomes_a_legal_label_and_a_different_one_a_different_label(text: str) -> None:
    value = naming.label_value(text)
    assert len(value) <= 63
    assert LABEL.fullmatch(value)
    assert naming.label_value(text + "-") != value


def test_labels_name_app_job_and_index_and_never_the_peers_mark() -> None:
    """`cronix.dev/managed=true` would hand our CronJobs to the peer's prune."""
    labels = naming.labels("billing", "sync", 3)
    assert labels == {
        "app.kubernetes.io/managed-by": "cronix-operator",
        "cronix.dev/app": "billing",
        "cronix.dev/job": "sync",
        "cronix.dev/index": "3",
    }


KEYS = {"secretRef": {"name": "keys"}}
MAPPED = {"keys": [{"name": n, "secretKeyRef": {"name": "s", "key": n.lower()}} for n in ("NEW", "OLD")]}


@pytest.mark.parametrize(
    ("signing", "refs", "expected"),
    [
        (None, (), ["current", "previous"]),
        (None, ("V2", "V1"), ["V2", "V1"]),
        (None, ("V2", "V2"), ["V2"]),
        (MAPPED, (), ["NEW", "OLD"]),
        (MAPPED, ("OLD", "NEW"), ["NEW", "OLD"]),
        (MAPPED, ("OLD",), ["OLD"]),
    ],
)
def test_a_jobs_keys_are_the_apps_in_its_order_narrowed_by_the_manifest(
    signing: dict[str, Any] | None, refs: tuple[str, ...], expected: list[str]
) -> None:
    app = make_app(signing=signing or KEYS)
    assert [key.name for key in keys.job_keys(app, refs)] == expected


@pytest.mark.parametrize(("signing", "ref"), [(MAPPED, "OTHER"), (None, "a/b"), (None, "file:/etc/passwd")])
def test_a_key_that_the_app_does_not_offer_is_refused(signing: dict[str, Any] | None, ref: str) -> None:
    with pytest.raises(keys.KeyNotMapped):
        keys.job_keys(make_app(signing=signing or KEYS), (ref,))


@pytest.mark.parametrize(
    ("data_keys", "refs", "expected"),
    [
        (["previous", "current"], (), ["current", "previous"]),
        (["b", "a"], (), ["a", "b"]),
        (["current", "V2"], ("V2",), ["V2", "current"]),
        (["current"], ("gone",), ["current"]),
    ],
)
def test_the_fetch_tries_what_is_there_best_first(
    data_keys: list[str], refs: tuple[str, ...], expected: list[str]
) -> None:
    assert [key.name for key in keys.fetch_keys(make_app(), data_keys, refs)] == expected


def test_a_secret_without_data_offers_no_key() -> None:
    """That it is empty is told where its name is known: tests/e2e/conditions_told.yaml."""
    assert keys.fetch_keys(make_app(), [], ()) == ()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"k", "k"), (b"k\n", "k"), (b"k\r\n", "k"), (b"k\n\n", "k\n"), (b" k ", " k "),
        (b"", None), (b"\n", None), (b" \t\n", None), (b"\xff", None),
    ],
)  # fmt: skip
def test_one_line_end_is_no_part_of_a_key_and_blanks_are_none(raw: bytes, text: str | None) -> None:
    """C3: an all-blank key is absent, as for the signer."""
    assert keys.clean_key(raw) == text


def test_a_short_key_is_told_by_name_only() -> None:
    material = KeyMaterial(tuple((SigningKey(n, SecretKey("s", n)), v) for n, v in (("a", "x" * 15), ("b", "x" * 16))))
    assert keys.read_keys(material) == keys.ReadKeys(("a", "b"), weak=("a",))
    assert "xxx" not in repr(material)


def service(*ports: dict[str, Any], ip: str = "10.0.0.1", **spec: Any) -> dict[str, Any]:
    return {"spec": {"clusterIP": ip, "ports": list(ports), **spec}}


def endpoint_of(body: dict[str, Any], **source: Any) -> str:
    app = make_app(source={"service": {"name": "billing", **source}})
    assert isinstance(app.source, ServiceSource)
    return service_endpoint(app, app.source, body).url


@pytest.mark.parametrize(
    ("ports", "source", "base"),
    [
        ([{"port": 8080}], {}, "http://billing.shop.svc:8080"),
        ([{"port": 443}], {}, "https://billing.shop.svc:443"),
        ([{"port": 1, "name": "https-web"}], {}, "https://billing.shop.svc:1"),
        ([{"port": 1, "name": "httpsweb"}], {}, "http://billing.shop.svc:1"),
        ([{"port": 1, "name": "https", "appProtocol": "http"}], {}, "http://billing.shop.svc:1"),
        ([{"port": 1, "appProtocol": "kubernetes.io/https"}], {}, "https://billing.shop.svc:1"),
        ([{"port": 443}], {"scheme": "http"}, "http://billing.shop.svc:443"),
        ([{"port": 1, "name": "a"}, {"port": 2, "name": "b"}], {"port": "b"}, "http://billing.shop.svc:2"),
        ([{"port": 1, "name": "a"}, {"port": 2, "name": "b"}], {"port": 1}, "http://billing.shop.svc:1"),
        ([{"port": 8443, "protocol": "UDP"}, {"port": 80, "protocol": "TCP"}], {}, "http://billing.shop.svc:80"),
    ],
)
def test_port_and_scheme_are_taken_from_the_service(
    ports: list[dict[str, Any]], source: dict[str, Any], base: str
) -> None:
    assert endpoint_of(service(*ports), **source) == base + "/.well-known/cron-manifest"


def test_a_headless_service_is_reached_at_its_pods_port() -> None:
    """Its name leads to the pods; nobody translates 80 to 8080."""
    app = make_app()
    assert isinstance(app.source, ServiceSource)
    endpoint = service_endpoint(app, app.source, service({"port": 80, "targetPort": 8080}, ip="None"))
    assert (endpoint.service_base_url, endpoint.connect_host) == ("http://billing.shop.svc:8080", None)


@pytest.mark.parametrize(
    ("body", "source", "reason"),
    [
        (service({"port": 1}, {"port": 2}), {}, "PortUnclear"),
        (service(), {}, "PortNotFound"),
        (service({"port": 1, "name": "a"}), {"port": "b"}, "PortNotFound"),
        (service({"port": 53, "protocol": "UDP"}), {}, "PortNotFound"),
        (service({"port": 1}, type="ExternalName", externalName="evil.example"), {}, "ServiceExternalName"),
    ],
)
def test_an_unclear_service_is_told(body: dict[str, Any], source: dict[str, Any], reason: str) -> None:
    """S9: ExternalName would be a redirect to any host."""
    with pytest.raises(Stalled) as caught:
        endpoint_of(body, **source)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        ("https://a.example.com", "https://a.example.com/.well-known/cron-manifest"),
        ("https://a.example.com/cron.json", "https://a.example.com/cron.json"),
        ("https://a.example.com:8443?v=1", "https://a.example.com:8443?v=1"),
    ],
)
def test_a_bare_url_gets_the_well_known_path(url: str, fetched: str) -> None:
    assert url_endpoint(url).url == fetched


def policy(attempts: int, low: int, high: int, timeout: int = 60) -> Policy:
    return Policy(timeout_seconds=timeout, retries=Retries(attempts, low, high))


@pytest.mark.parametrize(
    ("given", "jitter", "honor", "seconds"),
    [
        (policy(1, 1, 60), 0, False, 60),
        (policy(3, 1, 60), 0, False, 183),
        (policy(4, 10, 15), 5, False, 4 * 60 + 10 + 15 + 15 + 5),
        (policy(3, 1, 60), 0, True, 3 * 60 + 2 * 60),
        (policy(2, 0, 60), 0, False, 120),
        (policy(2, 90, 60), 0, False, 180),
    ],
)
def test_the_budget_is_what_the_signer_may_take_at_most(given: Policy, jitter: int, honor: bool, seconds: int) -> None:
    """A Retry-After that is honoured may stretch each pause to max_seconds: else the deadline would kill the run."""
    assert budget.retry_budget_seconds(given, jitter, honor_retry_after=honor) == seconds
    assert budget.job_deadline_seconds(seconds) > 4 * budget.pod_deadline_seconds(seconds)
