"""The chart with Helm and a real API server: every way to install it is accepted, and comes out as told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from crd.crd_helpers import load_crd
from e2e.chart_helpers import CHART, Helm, pick
from e2e.e2e_helpers import wait_for_account

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.conftest import Kubectl

# What this file sets up once must be set up once: its tests stay on one of the parallel workers.
pytestmark = pytest.mark.sets_up_once

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def helm(kubeconfig: Path) -> Helm:
    return Helm(kubeconfig)


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = pick(documents, "Deployment")
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def env(documents: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(documents)["env"] if "value" in entry}


WAYS: dict[str, dict[str, Any]] = {
    "as-it-comes": {},
    "own-namespace-only": {"watch": {"mode": "release"}},
    "a-list-of-namespaces": {"watch": {"mode": "namespaces", "namespaces": ["default", "kube-public"]}},
    "no-Secrets": {"rbac": {"secrets": "none"}},
    "ConfigMaps-of-last-successes": {"rbac": {"previousSuccess": True}},
    "Secrets-of-one-namespace": {"rbac": {"secrets": "namespaces", "secretsNamespaces": ["default"]}},
    "Secrets-of-some-watched-namespaces": {
        "watch": {"mode": "namespaces", "namespaces": ["default", "kube-public"]},
        "rbac": {"secrets": "namespaces", "secretsNamespaces": ["default"]},
    },
    "without-any-cluster-wide-object": {
        "crds": {"install": False},
        "watch": {"mode": "release"},
        "rbac": {"aggregateTo": {"view": False, "edit": False, "admin": False}},
    },
    "OpenShift": {"podSecurityContext": None, "securityContext": {"capabilities": None}},
    "by-digest-from-a-private-registry": {
        "image": {"registry": "registry.example.com", "digest": DIGEST},
        "signer": {"image": {"registry": "registry.example.com/", "tag": "v1", "digest": DIGEST}},
        "imagePullSecrets": [{"name": "regcred"}],
    },
    "everything-that-can-be-added": {
        "nameOverride": "crons",
        "commonLabels": {"team": "platform"},
        "podLabels": {"zone": "a"},
        "podAnnotations": {"note": "of-the-pod"},
        "deploymentAnnotations": {"note": "of-the-deployment"},
        "crds": {"annotations": {"note": "z"}},
        "serviceAccount": {"annotations": {"note": "s"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "system-cluster-critical",
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more", "optional": True}}],
        "extraArgs": ["--help"],
        "caBundle": {"configMap": "trust", "key": "bundle.pem"},
        "extraVolumes": [{"name": "extra", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
        "networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 443}]}]},
        "service": {"annotations": {"note": "t"}},
    },
    "three-of-which-one-works": {
        "replicaCount": 3,
        "leaderElection": {"enabled": True, "leaseDurationSeconds": 30},
        "podDisruptionBudget": {"enabled": True, "minAvailable": 2},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
    },
    "as-little-as-possible": {
        "serviceAccount": {"create": False, "name": "default"},
        "rbac": {"create": False},
        "service": {"enabled": False},
        "crds": {"install": False},
        "resources": None,
    },
}


def test_helm_lint_finds_nothing(helm: Helm) -> None:
    done = helm.run("lint", "--strict", str(CHART), "--kube-version", "1.34.0")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", WAYS.values(), ids=WAYS.keys())
def test_the_api_server_accepts_every_way_to_install(
    helm: Helm, kubectl: Kubectl, namespace: str, values: dict[str, Any]
) -> None:
    """K1: in a namespace that enforces Pod Security restricted. A Deployment is admitted with a warning where its pods
    would not be, so the pod is tried as well."""
    wait_for_account(kubectl, namespace)
    documents = helm.render(namespace, values)
    (deployment,) = pick(documents, "Deployment")
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try", "namespace": namespace, **template["metadata"]},
        "spec": {**template["spec"], "serviceAccountName": "default"},
    }
    others = [d for d in (*documents, pod) if d["kind"] != "CustomResourceDefinition"]
    if values.get("podSecurityContext", ...) is None:
        others = [d for d in others if d["kind"] != "Pod"]  # OpenShift fills in what restricted asks for
    text = yaml.safe_dump_all(others)

    answer = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)

    assert answer.count("(server dry run)") == len(others)


@pytest.mark.parametrize("values", [WAYS["as-it-comes"], WAYS["everything-that-can-be-added"]], ids=["plain", "full"])
def test_the_chart_s_crd_is_the_plain_one(helm: Helm, values: dict[str, Any]) -> None:
    (rendered,) = pick(helm.render("default", values), "CustomResourceDefinition")
    assert rendered["spec"] == load_crd()["spec"]
    assert rendered["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_crd_is_only_given_up_by_who_says_so(helm: Helm) -> None:
    """K8."""
    (rendered,) = pick(helm.render("default", {"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in rendered["metadata"]
    assert pick(helm.render("default", {"crds": {"install": False}}), "CustomResourceDefinition") == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"watch": {"mode": "namespaces"}}, "watch.mode is namespaces, but watch.namespaces is empty"),
        ({"watch": {"namespaces": ["a"]}}, "watch.namespaces is given, but watch.mode is cluster"),
        ({"rbac": {"secrets": "namespaces"}}, "list in rbac.secretsNamespaces where Secrets may be read"),
        (
            {"watch": {"mode": "release"}, "rbac": {"secrets": "namespaces", "secretsNamespaces": ["a"]}},
            "rbac.secretsNamespaces names a, which is not watched",
        ),
        ({"replicaCount": 2}, "set leaderElection.enabled to true, or replicaCount to 1"),
        ({"podDisruptionBudget": {"enabled": True}}, "no node could be drained: raise replicaCount"),
        ({"leaderElection": {"leaseDurationSeconds": 10}}, "must be more than renewDeadlineSeconds"),
        ({"image": {"digest": "latest"}}, "image/digest"),
        ({"podSecurityContxt": {}}, "podSecurityContxt"),
    ],
)
def test_values_that_contradict_each_other_are_explained(helm: Helm, values: dict[str, Any], words: str) -> None:
    done = helm.run("template", "cx", str(CHART), "--kube-version", "1.34.0", values=values)
    assert done.returncode != 0
    assert words in done.stderr


def test_a_digest_wins_over_the_tag(helm: Helm) -> None:
    documents = helm.render("default", WAYS["by-digest-from-a-private-registry"])
    assert container(documents)["image"] == f"registry.example.com/cronix-operator@{DIGEST}"
    assert env(documents)["CRONIX_SIGNER_IMAGE"] == f"registry.example.com/cronix-signer:v1@{DIGEST}"


def test_without_a_tag_the_image_is_the_chart_s_version(helm: Helm) -> None:
    documents = helm.render("default", {})
    version = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["appVersion"]
    assert container(documents)["image"] == f"cronix-operator:{version}"
    assert env(documents)["CRONIX_SIGNER_IMAGE"] == f"cronix-signer:{version}"


@pytest.mark.parametrize(
    ("values", "namespaces", "secrets_mode"),
    [
        ({}, "", "cluster"),
        ({"watch": {"mode": "release"}}, "default", "namespaces"),
        ({"watch": {"mode": "namespaces", "namespaces": ["a", "b"]}}, "a,b", "namespaces"),
        ({"rbac": {"secrets": "none"}}, "", "none"),
        ({"watch": {"mode": "release"}, "rbac": {"secrets": "none"}}, "default", "none"),
    ],
)
def test_the_operator_is_told_what_it_may_do(
    helm: Helm, values: dict[str, Any], namespaces: str, secrets_mode: str
) -> None:
    told = env(helm.render("default", values))
    assert (told["CRONIX_WATCH_NAMESPACES"], told["CRONIX_SECRETS_MODE"]) == (namespaces, secrets_mode)


def test_only_a_watch_of_the_whole_cluster_needs_a_cluster_role(helm: Helm) -> None:
    """T9."""
    for name in ("own-namespace-only", "a-list-of-namespaces", "Secrets-of-some-watched-namespaces"):
        documents = helm.render("default", WAYS[name])
        assert pick(documents, "ClusterRoleBinding") == [], name
    assert len(pick(helm.render("default", {}), "ClusterRoleBinding")) == 1
    documents = helm.render("default", WAYS["without-any-cluster-wide-object"])
    assert {d["kind"] for d in documents} == {"ServiceAccount", "Role", "RoleBinding", "Service", "Deployment", "Pod"}


def test_pods_are_spread_by_their_own_labels_unless_others_are_named(helm: Helm) -> None:
    own = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    other = {**own, "labelSelector": {"matchLabels": {"a": "b"}}}
    (deployment,) = pick(helm.render("default", {"topologySpreadConstraints": [own, other]}), "Deployment")
    selector = {"matchLabels": deployment["spec"]["selector"]["matchLabels"]}
    assert deployment["spec"]["template"]["spec"]["topologySpreadConstraints"] == [
        {**own, "labelSelector": selector},
        other,
    ]


@pytest.mark.parametrize(("enabled", "strategy"), [(False, "Recreate"), (True, "RollingUpdate")])
def test_without_an_election_two_never_run_side_by_side(helm: Helm, enabled: bool, strategy: str) -> None:
    documents = helm.render("default", {"leaderElection": {"enabled": enabled}})
    (deployment,) = pick(documents, "Deployment")
    assert deployment["spec"]["strategy"]["type"] == strategy
    assert ("CRONIX_LEASE" in env(documents)) is enabled
    names = {role["metadata"]["name"] for role in pick(documents, "Role")}
    assert names == ({"cx-cronix-operator-lease"} if enabled else set())
    if enabled:
        (role,) = pick(documents, "Role")
        assert role["rules"][1]["resourceNames"] == [env(documents)["CRONIX_LEASE"]]


def test_the_network_policy_selects_the_operator_s_pod(helm: Helm) -> None:
    documents = helm.render("default", WAYS["everything-that-can-be-added"])
    (policy,) = pick(documents, "NetworkPolicy")
    (deployment,) = pick(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selected = policy["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"] == selected
    assert {p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]} <= {
        port["name"] for port in container(documents)["ports"]
    }


def test_own_labels_cannot_be_replaced_by_added_ones(helm: Helm) -> None:
    """Else the selector would lose its pod."""
    name = "app.kubernetes.io/name"
    documents = helm.render("default", {"commonLabels": {name: "other"}, "podLabels": {name: "other"}})
    assert {d["metadata"]["labels"][name] for d in documents if d["kind"] != "Pod"} == {"cronix-operator"}
    (deployment,) = pick(documents, "Deployment")
    assert deployment["spec"]["template"]["metadata"]["labels"][name] == "cronix-operator"


def test_helm_install_is_accepted_and_its_notes_lead_on(helm: Helm, namespace: str) -> None:
    """A dry run against the API server; the CRD is left to the release that is installed for real."""
    arguments = ("install", "cx", str(CHART), "--namespace", namespace, "--dry-run=server")
    done = helm.run(*arguments, values={"crds": {"install": False}, "watch": {"mode": "release"}})
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert f"looks after CronixApps in {namespace}." in notes
    assert f"kubectl -n {namespace} get cronixapp billing" in notes
    assert "crds.install is false" in notes
