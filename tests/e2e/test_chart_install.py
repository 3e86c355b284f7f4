"""The chart with Helm and a real API server: every way to install it is accepted, and gives the rights it names."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from crd.crd_helpers import ROOT, load_all, load_crd
from cronix_cluster.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.conftest import Kubectl

CHART = ROOT / "charts" / "cronix-operator"
DIGEST = "sha256:" + "0123456789abcdef" * 4


class Helm:
    """Calls helm on the cluster under test."""

    def __init__(self, kubeconfig: Path) -> None:
        local = Paths().bin / "helm"
        program = str(local) if local.exists() else shutil.which("helm")
        if program is None:
            pytest.fail("no helm: run `make cluster-up`, or put helm on the PATH", pytrace=False)
        self.command = [program, "--kubeconfig", str(kubeconfig)]

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        given = ["--values", "-"] if values is not None else []
        return subprocess.run(
            [*self.command, *arguments, *given],
            input=yaml.safe_dump(values) if values is not None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def render(self, namespace: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        arguments = ("template", "cx", str(CHART), "--namespace", namespace, "--kube-version", "1.34.0")
        done = self.run(*arguments, values=values)
        assert done.returncode == 0, done.stderr
        return load_all(done.stdout)


@pytest.fixture(scope="module")
def helm(kubeconfig: Path) -> Helm:
    return Helm(kubeconfig)


def pick(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


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
        "extraArgs": ["--help"],
        "extraVolumes": [{"name": "extra", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
        "networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 443}]}]},
        "service": {"annotations": {"note": "t"}},
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


WATCHED = {
    "cronixapps.cronix.dev": "get list watch",
    "cronixapps.cronix.dev/status": "patch",
    "cronjobs.batch": "create delete get list update watch",
    "cronjobs.batch/status": "patch",
    "jobs.batch": "get list watch",
    "pods": "get list watch",
    "events": "create patch",
    "services": "get",
    "configmaps": "get",
}
LEASES = {"leases.coordination.k8s.io": "create", "leases.coordination.k8s.io cx-cronix-operator": "get update"}
SECRETS = {"secrets": "get"}
# What every account of a cluster may do (system:basic-user, system:public-info-viewer and their like).
EVERYBODY = re.compile(r"^(self(subject)?\w*reviews\.|\[/|clustertrustbundles\.)")


class Rights:
    """Installs the ServiceAccounts, roles and bindings of the chart, without the operator."""

    def __init__(self, helm: Helm, kubectl: Kubectl, home: str) -> None:
        self.helm, self.kubectl, self.home = helm, kubectl, home
        self.cluster_wide: list[dict[str, Any]] = []

    def install(self, values: dict[str, Any]) -> None:
        kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
        documents = [d for d in self.helm.render(self.home, values) if d["kind"] in kinds]
        self.cluster_wide += [d for d in documents if d["kind"].startswith("Cluster")]
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def remove(self) -> None:
        if self.cluster_wide:
            self.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(self.cluster_wide))

    def listed(self, namespace: str) -> dict[str, str]:
        """What `kubectl auth can-i --list` says beyond what everybody may: "resource.group name" → verbs."""
        account = f"system:serviceaccount:{self.home}:cx-cronix-operator"
        text = self.kubectl("auth", "can-i", "--list", "-n", namespace, "--as", account, "--no-headers")
        found: dict[str, str] = {}
        for line in text.splitlines():
            match = re.fullmatch(r"(\S*)\s+\[([^]]*)\]\s+\[([^]]*)\]\s+\[([^]]*)\]\s*", line)
            assert match is not None, line
            resource, _, names, verbs = match.groups()
            if not resource or EVERYBODY.match(resource):
                continue
            base, _, sub = resource.partition("/")
            group, slash = base, f"/{sub}" if sub else ""
            found[f"{group}{slash} {names}".strip()] = " ".join(sorted(verbs.split()))
        return found


@pytest.fixture
def rights(helm: Helm, kubectl: Kubectl, namespace: str) -> Iterator[Rights]:
    made = Rights(helm, kubectl, namespace)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def tenant(kubectl: Kubectl) -> Iterator[str]:
    name = f"e2e-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def test_rights_when_the_whole_cluster_is_watched(rights: Rights, tenant: str) -> None:
    """T2, T10: the golden list, from the API server's own mouth."""
    rights.install({})
    assert rights.listed(tenant) == WATCHED | SECRETS
    assert rights.listed(rights.home) == WATCHED | SECRETS | LEASES


def test_rights_without_secrets(rights: Rights, tenant: str) -> None:
    rights.install({"rbac": {"secrets": "none"}})
    assert rights.listed(tenant) == WATCHED
    assert rights.listed(rights.home) == WATCHED | LEASES


def test_rights_with_the_secrets_of_one_namespace(rights: Rights, tenant: str) -> None:
    rights.install({"rbac": {"secrets": "namespaces", "secretsNamespaces": [tenant]}})
    assert rights.listed(tenant) == WATCHED | SECRETS
    assert rights.listed(rights.home) == WATCHED | LEASES
    assert rights.listed("kube-system") == WATCHED


def test_rights_in_a_list_of_namespaces(rights: Rights, tenant: str) -> None:
    """T9: nothing outside the list, and none of the tenants' rights in the operator's own namespace."""
    rights.install({"watch": {"mode": "namespaces", "namespaces": [tenant]}})
    assert rights.listed(tenant) == WATCHED | SECRETS
    assert rights.listed(rights.home) == LEASES
    assert rights.listed("kube-system") == {}


def test_rights_in_the_release_s_own_namespace(rights: Rights, tenant: str) -> None:
    rights.install({"watch": {"mode": "release"}})
    assert rights.listed(rights.home) == WATCHED | SECRETS | LEASES
    assert rights.listed(tenant) == {}


def test_who_may_edit_a_namespace_may_edit_its_cronixapps(rights: Rights, tenant: str, kubectl: Kubectl) -> None:
    """Aggregation is done by the controller manager; what is checked here is what the roles ask of it and give."""
    rights.install({})
    labelled = {
        role: kubectl("get", "clusterroles", "-l", f"rbac.authorization.k8s.io/aggregate-to-{role}=true", "-o", "json")
        for role in ("view", "edit", "admin")
    }
    for role, verbs in {
        "view": {"get", "list", "watch"},
        "edit": {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
        "admin": {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
    }.items():
        ours = [item for item in labelled[role]["items"] if item["metadata"]["name"].startswith(f"{rights.home}-")]
        (given,) = [item["rules"] for item in ours]
        assert given == [{"apiGroups": ["cronix.dev"], "resources": ["cronixapps"], "verbs": given[0]["verbs"]}]
        assert set(given[0]["verbs"]) == verbs
