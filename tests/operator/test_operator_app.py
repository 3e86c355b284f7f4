"""CronixApp in, App or one Stalled with every fault out; nothing else, whatever is thrown at it (T1, T6, T8)."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronix_operator.core.app import parse_app
from cronix_operator.core.errors import Stalled
from cronix_operator.core.model import ConfigMapSource, ExtraScheme, InlineSource, SecretKey, ServiceSource, UrlSource
from operator_fakes.builders import app_body, make_app

KEYS = {"secretRef": {"name": "keys"}}
HEADER = {"name": "X-Tenant", "value": "blue"}
SECRET_HEADER = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "token"}}}
EVERYTHING: dict[str, Any] = {
    "app": "billing-v2",
    "source": {
        "service": {"name": "billing", "port": "http", "scheme": "https", "path": "/cron"},
        "interval": "1h30m",
        "timeout": "30s",
    },
    "signing": {
        "keys": [{"name": "V2", "secretKeyRef": {"name": "a", "key": "b"}}],
        "extraSchemes": [
            {
                "type": "GitHub",
                "secretKeyRef": {"name": "hub", "key": "a"},
                "nextSecretKeyRef": {"name": "hub", "key": "b"},
                "sha1": True,
                "jobs": ["sync-*"],
            }
        ],
    },
    "connection": {
        "headers": [HEADER, SECRET_HEADER],
        "tls": {"caConfigMapKeyRef": {"name": "ca"}, "clientCertSecretRef": {"name": "client"}},
    },
    "targets": {"allowedHosts": ["api.example.com", "*.example.org:8443"], "rewriteBaseURL": "http://x.shop.svc:80"},
    "allowInsecureHTTP": True,
    "suspend": True,
    "notify": {"url": "https://hooks.example.com/cron"},
    "prune": {"maxDeletePercent": 10},
    "jobDefaults": {
        "startingDeadlineSeconds": 60,
        "successfulJobsHistoryLimit": 0,
        "failedJobsHistoryLimit": 2,
        "ttlSecondsAfterFinished": 600,
        "jitterSeconds": 30,
        "retryOn": [429],
        "honorRetryAfter": True,
        "pod": {
            "labels": {"team": "red"},
            "annotations": {"sidecar.istio.io/inject": "false"},
            "resources": {"requests": {"cpu": "10m", "memory": 1024}, "limits": {"memory": "64Mi"}},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "cron", "effect": "NoSchedule"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}},
            "priorityClassName": "low",
            "imagePullSecrets": [{"name": "pull"}],
        },
    },
    "overrides": [{"jobs": ["settle-*"], "jitterSeconds": 5}],
}


def faults_of(**spec: Any) -> str:
    with pytest.raises(Stalled) as caught:
        make_app(**spec)
    assert caught.value.reason == "InvalidSpec"
    return caught.value.message


def test_the_shortest_app_has_every_default() -> None:
    app = make_app()
    assert app.source == ServiceSource("billing", None, None, "/.well-known/cron-manifest")
    assert (app.app, app.interval_seconds, app.timeout_seconds) == ("billing", 300.0, 10.0)
    assert (app.signing_secret, app.max_delete_percent, app.suspend, app.adopt) == ("keys", 50, False, False)


def test_an_app_that_says_everything_is_read_whole() -> None:
    app = make_app(**EVERYTHING)
    assert app.source == ServiceSource("billing", "http", "https", "/cron")
    assert (app.interval_seconds, app.timeout_seconds, app.max_delete_percent) == (5400.0, 30.0, 10)
    assert [header.name for header in app.connection.headers] == ["X-Tenant", "Authorization"]
    assert app.connection.ca_config_map == ("ca", "ca.crt")
    assert app.job_defaults.pod == EVERYTHING["jobDefaults"]["pod"]
    assert (app.job_defaults.retry_on, app.overrides[0].knobs.jitter_seconds) == ((429,), 5)


@pytest.mark.parametrize(
    ("source", "parsed"),
    [
        ({"url": "https://a.example.com"}, UrlSource("https://a.example.com")),
        ({"configMapKeyRef": {"name": "m"}}, ConfigMapSource("m", "manifest.json")),
        ({"configMapKeyRef": {"name": "m", "key": "k"}}, ConfigMapSource("m", "k")),
        ({"inline": {"version": 1}}, InlineSource({"version": 1})),
        (
            {"service": {"name": "b", "port": "8080"}},
            ServiceSource("b", 8080, None, "/.well-known/cron-manifest"),
        ),
    ],
)
def test_each_source_is_read(source: dict[str, Any], parsed: object) -> None:
    assert make_app(source=source).source == parsed


def test_annotations_are_read() -> None:
    app = make_app(annotations={"cronix.dev/suspended-jobs": "a, b c", "cronix.dev/adopt": "true"})
    assert (app.suspended_jobs, app.adopt) == (("a", "b", "c"), True)
    assert not make_app(annotations={"cronix.dev/adopt": "yes"}).adopt


def scheme(**changes: Any) -> dict[str, Any]:
    """`signing` with one extra scheme; None takes a field out."""
    entry = {"type": "QStash", "secretKeyRef": {"name": "q", "key": "current"}, **changes}
    kept = {field: value for field, value in entry.items() if value is not None}
    return {"secretRef": {"name": "keys"}, "extraSchemes": [kept]}


def test_extra_schemes_are_read() -> None:
    """In order, for all jobs unless it says which."""
    app = make_app(signing=scheme(nextSecretKeyRef={"name": "q", "key": "next"}, jobs=["a-*", "b"]))
    keys = (SecretKey("q", "current"), SecretKey("q", "next"))
    assert app.extra_schemes == (ExtraScheme("QStash", keys, ("a-*", "b"), sha1=False),)
    assert make_app(signing=scheme(type="GitHub", sha1=True)).extra_schemes[0].jobs == ("*",)
    assert make_app().extra_schemes == ()


APPARMOR = "container.apparmor.security.beta.kubernetes.io/signer"
POD = "spec.jobDefaults.pod"
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("no source", {"source": {}}, "spec.source: exactly one of"),
    ("two sources", {"source": {"url": "https://a.b", "inline": {}}}, "found url, inline"),
    ("source is a text", {"source": "x"}, "spec.source: must be an object"),
    ("no keys at all", {"signing": {}}, "spec.signing: exactly one of secretRef and keys"),
    ("empty list of keys", {"signing": {"keys": []}}, "spec.signing.keys: must hold at least one"),
    ("a key twice", {"signing": {"keys": EVERYTHING["signing"]["keys"] * 2}}, "each name once"),
    ("key without secret", {"signing": {"keys": [{"name": "a"}]}}, "spec.signing.keys[0].secretKeyRef.name"),
    ("app id with capitals", {"app": "Billing"}, "spec.app:"),
    ("interval in words", {"source": {"url": "https://a.b", "interval": "soon"}}, 'spec.source.interval: "soon"'),
    ("interval too short", {"source": {"url": "https://a.b", "interval": "1s"}}, "15s to 86400s"),
    ("interval beyond floats", {"source": {"url": "https://a.b", "interval": "9" * 400 + "h"}}, "out of bounds"),
    ("port as truth", {"source": {"service": {"name": "b", "port": True}}}, "spec.source.service.port"),
    ("port of 5,000 digits", {"source": {"service": {"name": "b", "port": "9" * 5000}}}, "service.port"),
    ("port 0", {"source": {"service": {"name": "b", "port": 0}}}, "service.port"),
    ("scheme gopher", {"source": {"service": {"name": "b", "scheme": "gopher"}}}, "http or https"),
    ("path makes the host userinfo", {"source": {"service": {"name": "b", "path": "@evil/"}}}, "service.path"),
    ("T1: service of another namespace", {"source": {"service": {"name": "../secrets/x"}}}, "service.name"),
    (
        "T1: secret of another namespace",
        {"signing": {"secretRef": {"name": "../../x/secrets/y"}}},
        "secretRef.name",
    ),
    ("T1: query in a name", {"source": {"configMapKeyRef": {"name": "a?watch=1"}}}, "configMapKeyRef.name"),
    ("data key is a path", {"source": {"configMapKeyRef": {"name": "a", "key": "../x"}}}, "configMapKeyRef.key"),
    ("url with credentials", {"source": {"url": "https://u:p@a.b"}}, "spec.source.url"),
    ("url with broken IPv6", {"source": {"url": "http://[::1"}}, "spec.source.url"),
    ("S6: file url", {"source": {"url": "file:///etc/passwd"}}, "spec.source.url"),
    ("rewrite with a path", {"targets": {"rewriteBaseURL": "https://a.b/c"}}, "spec.targets.rewriteBaseURL"),
    ("host with a scheme", {"targets": {"allowedHosts": ["https://a.b"]}}, "spec.targets.allowedHosts[0]"),
    ("T7: our own header", {"connection": {"headers": [{"name": "x-cron-signature", "value": "x"}]}}, "headers[0]"),
    ("T7: a signature", {"connection": {"headers": [{"name": "Webhook-ID", "value": "x"}]}}, "headers[0]"),
    (
        "a scheme of another name",
        {"signing": scheme(type="Github")},
        "extraSchemes[0].type: must be StandardWebhooks or",
    ),
    ("a scheme of no type", {"signing": scheme(type=None)}, "extraSchemes[0].type: is required"),
    (
        "a scheme without a key",
        {"signing": scheme(secretKeyRef=None)},
        "extraSchemes[0].secretKeyRef.name: is required",
    ),
    ("a scheme whose next key is a path", {"signing": scheme(nextSecretKeyRef={"name": "a", "key": "../b"})}, "next"),
    (
        "T1: a scheme's key elsewhere",
        {"signing": scheme(secretKeyRef={"name": "x/y", "key": "b"})},
        "secretKeyRef.name",
    ),
    ("SHA-1 for QStash", {"signing": scheme(sha1=True)}, "extraSchemes[0].sha1: is for type GitHub only"),
    ("a scheme for all jobs in words", {"signing": scheme(jobs=["All"])}, "extraSchemes[0].jobs[0]"),
    ("17 schemes", {"signing": {**scheme(), "extraSchemes": scheme()["extraSchemes"] * 17}}, "a list of at most 16"),
    ("T7: Host", {"connection": {"headers": [{"name": "HOST", "value": "x"}]}}, "headers[0]"),
    ("gzip asked for", {"connection": {"headers": [{"name": "Accept-Encoding", "value": "gzip"}]}}, "headers[0]"),
    ("header over two lines", {"connection": {"headers": [{"name": "a", "value": "x\r\ny: z"}]}}, "headers[0]"),
    ("header without value", {"connection": {"headers": [{"name": "a"}]}}, "exactly one of value and valueFrom"),
    ("header in two cases", {"connection": {"headers": [HEADER, {**HEADER, "name": "x-tenant"}]}}, "same name"),
    (
        "two CAs",
        {"connection": {"tls": {"caConfigMapKeyRef": {"name": "a"}, "caSecretKeyRef": {"name": "a", "key": "b"}}}},
        "at most one of",
    ),
    ("notices to nowhere", {"notify": {"url": "ftp://x"}}, "spec.notify.url"),
    ("notices with a password", {"notify": {"url": "https://me:pw@x.example.com/"}}, "spec.notify.url"),
    ("percent 101", {"prune": {"maxDeletePercent": 101}}, "spec.prune.maxDeletePercent"),
    ("deadline of 0", {"jobDefaults": {"startingDeadlineSeconds": 0}}, "must be from 10 to 86400"),
    ("deadline beyond time", {"jobDefaults": {"startingDeadlineSeconds": 10**30}}, "startingDeadlineSeconds"),
    ("no failed Job kept", {"jobDefaults": {"failedJobsHistoryLimit": 0}}, "failedJobsHistoryLimit"),
    ("retry on 200", {"jobDefaults": {"retryOn": [200]}}, "spec.jobDefaults.retryOn[0]"),
    ("retry on true", {"jobDefaults": {"retryOn": [True]}}, "spec.jobDefaults.retryOn[0]"),
    ("glob with brackets", {"overrides": [{"jobs": ["[a"], "suspend": True}]}, "spec.overrides[0].jobs[0]"),
    ("T6: hostNetwork", {"jobDefaults": {"pod": {"hostNetwork": True}}}, f"{POD}.hostNetwork: there is no such field"),
    ("T6: service account", {"jobDefaults": {"pod": {"serviceAccountName": "admin"}}}, f"{POD}.serviceAccountName"),
    ("T6: env in resources", {"jobDefaults": {"pod": {"resources": {"claims": []}}}}, f"{POD}.resources.claims"),
    (
        "T6: AppArmor taken off",
        {
            "jobDefaults": {
                "pod": {"annotations": {"container.apparmor.security.beta.kubernetes.io/signer": "unconfined"}}
            }
        },
        "not the tenant's",
    ),
    (
        "the signer's slot forged",
        {"jobDefaults": {"pod": {"labels": {"batch.kubernetes.io/job-name": "x"}}}},
        "not the tenant's",
    ),
    ("labels as a list", {"jobDefaults": {"pod": {"labels": ["a"]}}}, f"{POD}.labels: must be an object"),
    ("a label that is a number", {"jobDefaults": {"pod": {"labels": {"a": 1}}}}, f"{POD}.labels[a]"),
    ("override of a text", {"overrides": ["x"]}, "spec.overrides[0]: must be an object"),
]


@pytest.mark.parametrize(("spec", "told"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_app_is_told_what_and_where(spec: dict[str, Any], told: str) -> None:
    assert told in faults_of(**spec)


def test_all_faults_are_told_at_once_and_bounded() -> None:
    message = faults_of(app="A", source={"url": "ftp://x"}, prune={"maxDeletePercent": -1})
    assert all(path in message for path in ("spec.app", "spec.source.url", "spec.prune.maxDeletePercent"))
    many = faults_of(targets={"allowedHosts": ["\x1b[31m" + "é" * 5000] * 32})
    assert "and 22 more" in many
    assert len(many) < 6000


def test_a_fault_never_paints_a_terminal() -> None:
    """C7: what the other side wrote is quoted printable."""
    for message in (faults_of(app="\x1b[31m"), faults_of(source={"url": "http://\x1b]0;x\x07/"})):
        assert message.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(node: Any) -> list[tuple[Any, ...]]:
    if isinstance(node, dict):
        return [(key, *rest) for key, child in node.items() for rest in [(), *paths(child)]]
    if isinstance(node, list):
        return [(i, *rest) for i, child in enumerate(node) for rest in [(), *paths(child)]]
    return []


@pytest.mark.law
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(paths(EVERYTHING)), value=JSON, remove=st.booleans())
def test_a_spec_with_anything_anywhere_parses_or_is_stalled(path: tuple[Any, ...], value: Any, remove: bool) -> None:
    """T8: never another exception, for that one would have no condition."""
    body = app_body(**copy.deepcopy(EVERYTHING))
    node = body["spec"]
    for key in path[:-1]:
        node = node[key]
    if remove:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    with contextlib.suppress(Stalled):
        parse_app(body)


@pytest.mark.law
@settings(max_examples=50, deadline=None)
@given(spec=JSON, annotations=JSON)
def test_a_spec_that_is_not_even_an_object_is_stalled(spec: Any, annotations: Any) -> None:
    """T8: objects that got past the schema, annotations too."""
    body = app_body()
    body["spec"] = spec
    body["metadata"]["annotations"] = annotations
    with pytest.raises(Stalled):
        parse_app(body)
