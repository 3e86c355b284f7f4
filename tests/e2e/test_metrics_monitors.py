"""What the chart makes for the Prometheus operator and for Grafana is what those read: their own schemas say so."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cronix_cluster.toolchain import fetch_go, find_go
from e2e.chart_helpers import Helm, pick
from e2e.conftest import Kubectl
from e2e.e2e_helpers import wait_until
from e2e.prometheus_helpers import dashboard

pytestmark = pytest.mark.sets_up_once

MODULE = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
MODULE_SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
KINDS = ("servicemonitors", "podmonitors", "prometheusrules")


def module_folder(scratch: Path) -> Path:
    """Where Go has unpacked the Prometheus operator's module; only its YAML files are used."""
    go = find_go() or fetch_go()
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(
        [go, "mod", "download", "-json", MODULE], cwd=scratch, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["Sum"] == MODULE_SUM
    return Path(told["Dir"])


@pytest.fixture(scope="module")
def monitoring_crds(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Three CRDs of the Prometheus operator; those that were not there before are removed again."""
    folder = module_folder(tmp_path_factory.mktemp("go")) / "example/prometheus-operator-crd"
    there = kubectl("get", "crds", "-o", "name")
    added = [kind for kind in KINDS if f"/{kind}.monitoring.coreos.com" not in there]
    for kind in added:
        kubectl("create", "-f", str(folder / f"monitoring.coreos.com_{kind}.yaml"))
    for kind in KINDS:
        kubectl("wait", "--for=condition=Established", f"crd/{kind}.monitoring.coreos.com", "--timeout=60s")
    # The condition is true a moment before the API is served.
    wait_until(lambda: [kubectl("get", f"{kind}.monitoring.coreos.com", "-A") or True for kind in KINDS], 30, "served")
    yield
    for kind in added:
        kubectl("delete", "crd", f"{kind}.monitoring.coreos.com")


@pytest.fixture(scope="module")
def helm(kubeconfig: Path) -> Helm:
    return Helm(kubeconfig)


FULL = {
    "labels": {"release": "prometheus"},
    "interval": "30s",
    "scrapeTimeout": "10s",
    "relabelings": [{"action": "replace", "targetLabel": "cluster", "replacement": "a"}],
    "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "cronix_operator_.+"}],
}
OBJECTS: dict[str, dict[str, Any]] = {
    "ServiceMonitor": {"serviceMonitor": {"enabled": True}},
    "ServiceMonitor-full": {"serviceMonitor": {"enabled": True, **FULL}},
    "PodMonitor": {"podMonitor": {"enabled": True}, "service": {"enabled": False}},
    "PodMonitor-full": {"podMonitor": {"enabled": True, **FULL}},
    "PrometheusRule": {"prometheusRule": {"enabled": True}},
    "PrometheusRule-full": {
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "alertLabels": {"team": "platform"}}
    },
    "ConfigMap": {"grafanaDashboard": {"enabled": True}},
    "ConfigMap-full": {"grafanaDashboard": {"enabled": True, "annotations": {"grafana_folder": "Platform"}}},
    "NetworkPolicy": {
        "networkPolicy": {"enabled": True},
        "metrics": {"networkPolicy": {"allow": True, "from": [{"namespaceSelector": {}}]}},
    },
}


@pytest.mark.parametrize("name", OBJECTS)
def test_the_api_server_accepts_what_is_made_for_prometheus_and_grafana(
    helm: Helm, kubectl: Kubectl, namespace: str, monitoring_crds: None, name: str
) -> None:
    """Against the CRDs of the Prometheus operator, unknown fields refused."""
    made = pick(helm.render(namespace, OBJECTS[name]), name.partition("-")[0])
    answer = kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(made), timeout_seconds=120
    )
    assert len(made) == (2 if name == "NetworkPolicy" else 1)
    assert answer.count("(server dry run)") == len(made)


def test_the_api_server_refuses_a_monitor_with_a_wrong_field(
    helm: Helm, kubectl: Kubectl, namespace: str, monitoring_crds: None
) -> None:
    """The test above can fail."""
    (made,) = pick(helm.render(namespace, OBJECTS["ServiceMonitor"]), "ServiceMonitor")
    made["spec"]["endpoints"][0]["honourLabels"] = True
    with pytest.raises(AssertionError, match="honourLabels"):
        kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(made))


def test_nothing_of_it_is_made_unasked(helm: Helm) -> None:
    kinds = {document["kind"] for document in helm.render("default", {"networkPolicy": {"enabled": True}})}
    assert not {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"} & kinds


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_a_monitor_finds_the_port_that_the_operator_serves(helm: Helm, kind: str) -> None:
    """Service, container and monitor speak of one port, and the labels of the series are honoured."""
    values = {"nameOverride": "crons", "metrics": {"port": 9100}, **OBJECTS[f"{kind}-full"]}
    documents = helm.render("default", values)
    (monitor,) = pick(documents, kind)
    (deployment,) = pick(documents, "Deployment")
    (service,) = pick(documents, "Service")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (endpoint,) = monitor["spec"]["endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    assert {"name": endpoint["port"], "containerPort": 9100} in container["ports"]
    assert {"name": endpoint["port"], "port": 9100, "targetPort": "metrics"} in service["spec"]["ports"]
    assert {"name": "CRONIX_METRICS_PORT", "value": "9100"} in container["env"]
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    target = service if kind == "ServiceMonitor" else deployment["spec"]["template"]
    assert chosen <= target["metadata"]["labels"].items()


def test_a_network_policy_opens_the_metrics_port_only_where_asked(helm: Helm) -> None:
    """The names of jobs are nobody's business who was not let in."""
    shut = pick(helm.render("default", {"networkPolicy": {"enabled": True}}), "NetworkPolicy")
    assert [rule["ports"] for policy in shut for rule in policy["spec"]["ingress"]] == [[{"port": "health"}]]
    policies = pick(helm.render("default", OBJECTS["NetworkPolicy"]), "NetworkPolicy")
    (rule,) = next(p["spec"]["ingress"] for p in policies if p["metadata"]["name"].endswith("-metrics"))
    assert rule == {"ports": [{"port": "metrics"}], "from": [{"namespaceSelector": {}}]}


def test_without_metrics_there_is_no_port(helm: Helm) -> None:
    documents = helm.render("default", {"metrics": {"enabled": False}})
    (deployment,) = pick(documents, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert [port["name"] for port in container["ports"]] == ["health"]
    assert not [entry for entry in container["env"] if "METRICS" in entry["name"]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"serviceMonitor": {"enabled": True}, "metrics": {"enabled": False}}, "needs metrics.enabled"),
        ({"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}, "needs service.enabled"),
        ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "choose one"),
        ({"prometheusRule": {"enabled": True, "disabled": ["CronixOperatorUp"]}}, "names CronixOperatorUp; there are"),
        ({"metrics": {"port": 8081}}, "are the same"),
        ({"serviceMonitor": {"enabled": True, "interval": "30"}}, "interval"),
    ],
)
def test_values_about_metrics_that_cannot_work_are_explained(helm: Helm, values: dict[str, Any], words: str) -> None:
    done = helm.run("template", "cx", "charts/cronix-operator", "--kube-version", "1.34.0", values=values)
    assert done.returncode != 0
    assert words in done.stderr


def test_the_dashboard_in_the_config_map_is_the_file(helm: Helm) -> None:
    """No template of Grafana's was taken for one of Helm's."""
    (config_map,) = pick(helm.render("default", OBJECTS["ConfigMap"]), "ConfigMap")
    assert json.loads(config_map["data"]["cronix.json"]) == dashboard()
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
