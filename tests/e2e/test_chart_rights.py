"""What the operator may do in each mode of the chart, from the API server's own mouth."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from e2e.chart_helpers import Helm
from e2e.e2e_helpers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.conftest import Kubectl

# What this file sets up once must be set up once: its tests stay on one of the parallel workers.
pytestmark = pytest.mark.sets_up_once


@pytest.fixture(scope="module")
def helm(kubeconfig: Path) -> Helm:
    return Helm(kubeconfig)


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
SUCCESSES = {"configmaps": "create delete get update"}
# What every account of a cluster may do (system:basic-user, system:public-info-viewer and their like).
EVERYBODY = re.compile(r"^(self(subject)?\w*reviews\.|\[/|clustertrustbundles\.)")


POLICY = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


class Rights:
    """Installs the ServiceAccounts, roles and bindings of the chart, without the operator."""

    def __init__(self, helm: Helm, kubectl: Kubectl, home: str) -> None:
        self.helm, self.kubectl, self.home = helm, kubectl, home
        self.cluster_wide: list[dict[str, Any]] = []

    def install(self, values: dict[str, Any]) -> None:
        kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", *POLICY)
        documents = [d for d in self.helm.render(self.home, values) if d["kind"] in kinds]
        self.cluster_wide += [d for d in documents if d["kind"].startswith("Cluster") or d["kind"] in POLICY]
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def remove(self) -> None:
        if self.cluster_wide:
            self.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(self.cluster_wide))

    def expect(self, namespace: str, rights: dict[str, str]) -> None:
        """These rights and no others; what was just bound is in force a moment later."""

        def are_these() -> bool:
            assert (found := self.listed(namespace)) == rights, found
            return True

        wait_until(are_these, 60, f"{rights} in {namespace}")

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
            entry = f"{group}{slash} {names}".strip()
            # One rule is one line; two about the same objects are one right.
            found[entry] = " ".join(sorted({*found.get(entry, "").split(), *verbs.split()}))
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
    rights.expect(tenant, WATCHED | SECRETS)
    rights.expect(rights.home, WATCHED | SECRETS)


@pytest.mark.parametrize("mode", ["cluster", "namespaces"])
def test_config_maps_may_be_written_only_where_that_was_asked_for(rights: Rights, tenant: str, mode: str) -> None:
    """T2: and nowhere a Secret, and no list of either."""
    watch = {"mode": mode, "namespaces": [tenant] if mode == "namespaces" else []}
    rights.install({"rbac": {"previousSuccess": True}, "watch": watch})
    rights.expect(tenant, WATCHED | SECRETS | SUCCESSES)
    rights.expect(rights.home, (WATCHED | SECRETS | SUCCESSES if mode == "cluster" else {}))


def test_a_policy_keeps_the_operator_to_config_maps_of_its_own(rights: Rights, tenant: str, kubectl: Kubectl) -> None:
    """T2: the right of the whole cluster opens nobody else's ConfigMap, whose labels one could otherwise borrow."""
    rights.install({"rbac": {"previousSuccess": True}})
    operator = ("-n", tenant, "--as", f"system:serviceaccount:{rights.home}:cx-cronix-operator")

    def body(name: str, manager: str, **data: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/managed-by": manager}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data}

    own, foreign = body("cronix-shop-previous-success", "cronix-operator"), body("settings", "helm", a="b")
    borrowed = body("cronix-theirs-previous-success", "helm")
    for theirs in (foreign, borrowed):
        kubectl("-n", tenant, "create", "-f", "-", stdin=theirs)

    def denied() -> bool:
        """A policy that was just made takes a moment to be in force."""
        try:
            kubectl(*operator, "create", "--dry-run=server", "-f", "-", stdin=body("another", "cronix-operator"))
        except AssertionError as exc:
            return "writes no ConfigMap but" in str(exc)
        return False

    wait_until(denied, 60, "the policy is in force")
    kubectl(*operator, "create", "-f", "-", stdin=own)
    kubectl(*operator, "replace", "-f", "-", stdin={**own, "data": {"sync": "1"}})
    for theirs in (foreign, borrowed):
        claimed = body(theirs["metadata"]["name"], "cronix-operator", a="c")
        with pytest.raises(AssertionError, match="writes no ConfigMap"):
            kubectl(*operator, "replace", "-f", "-", stdin=claimed)
        with pytest.raises(AssertionError, match="writes no ConfigMap"):
            kubectl(*operator, "delete", "configmap", theirs["metadata"]["name"])
    kubectl(*operator, "delete", "configmap", "cronix-shop-previous-success")
    kubectl("-n", tenant, "create", "configmap", "anybody-else", "--from-literal=a=b")


def test_rights_on_a_lease_come_with_the_election_only(rights: Rights, tenant: str) -> None:
    rights.install({"watch": {"mode": "namespaces", "namespaces": [tenant]}, "leaderElection": {"enabled": True}})
    rights.expect(rights.home, LEASES)
    rights.expect(tenant, WATCHED | SECRETS)


def test_rights_without_secrets(rights: Rights, tenant: str) -> None:
    rights.install({"rbac": {"secrets": "none"}})
    rights.expect(tenant, WATCHED)
    rights.expect(rights.home, WATCHED)


def test_rights_with_the_secrets_of_one_namespace(rights: Rights, tenant: str) -> None:
    rights.install({"rbac": {"secrets": "namespaces", "secretsNamespaces": [tenant]}})
    rights.expect(tenant, WATCHED | SECRETS)
    rights.expect(rights.home, WATCHED)
    rights.expect("kube-system", WATCHED)


def test_rights_in_a_list_of_namespaces(rights: Rights, tenant: str) -> None:
    """T9: nothing outside the list, and none of the tenants' rights in the operator's own namespace."""
    rights.install({"watch": {"mode": "namespaces", "namespaces": [tenant]}})
    rights.expect(tenant, WATCHED | SECRETS)
    rights.expect(rights.home, {})
    rights.expect("kube-system", {})


def test_rights_in_the_release_s_own_namespace(rights: Rights, tenant: str) -> None:
    rights.install({"watch": {"mode": "release"}})
    rights.expect(rights.home, WATCHED | SECRETS)
    rights.expect(tenant, {})


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
