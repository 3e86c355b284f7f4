"""Who reaches whom: `helm test` asks the operator; NetworkPolicies select what they should, by the labels of real pods.

The local cluster's network does not enforce policies, so that they block anything is not tested here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from crd.crd_helpers import ROOT
from e2e.chart_helpers import CHART, pick
from e2e.chart_helpers import Helm as ChartHelm
from e2e.conftest import SYSTEM_NAMESPACE, Helm
from e2e.e2e_helpers import Kubectl, Place, cronix_app, job, manifest, wait_until


def selector(policy: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in policy["spec"]["podSelector"]["matchLabels"].items())


def test_the_chart_s_policy_selects_the_operator_s_pod_and_names_its_port(
    kubeconfig: Path, kubectl: Kubectl, operator: None
) -> None:
    helm = ChartHelm(kubeconfig)
    arguments = ("template", "cronix", str(CHART), "--namespace", SYSTEM_NAMESPACE, "--kube-version", "1.34.0")
    done = helm.run(*arguments, values={"networkPolicy": {"enabled": True}})
    (policy,) = pick([d for d in yaml.safe_load_all(done.stdout) if d], "NetworkPolicy")
    pods = kubectl("-n", SYSTEM_NAMESPACE, "get", "pods", "-l", selector(policy), "-o", "json")["items"]
    assert {c["name"] for pod in pods for c in pod["spec"]["containers"]} == {"operator"}
    ports = {port["name"] for pod in pods for c in pod["spec"]["containers"] for port in c["ports"]}
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} <= ports


def test_the_documented_policy_selects_the_signers_and_not_the_app(place: Place) -> None:
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n(apiVersion: networking\.k8s\.io/v1\n.*?)```", page, re.DOTALL)
    policy = yaml.safe_load(text)
    place.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    place.secret("puppet-cron", current="k" * 32)
    place.apply(cronix_app("shop", {"inline": manifest("shop", job("yearly", "0 0 1 1 *"))}))
    place.wait_ready("shop")
    place.kubectl("create", "job", "now", "--from=cronjob/cronix-shop-yearly-0")
    (pod,) = wait_until(lambda: place.items("pods", "job-name=now"), 120, "the signer's pod")
    assert pod["metadata"]["name"] in {p["metadata"]["name"] for p in place.items("pods", selector(policy))}
    assert place.items("pods", f"{selector(policy)},app=puppet") == []


def test_helm_test_asks_the_running_operator(helm: Helm, operator: None) -> None:
    assert "Succeeded" in helm("test", "cronix", "--namespace", SYSTEM_NAMESPACE, "--timeout", "180s")
