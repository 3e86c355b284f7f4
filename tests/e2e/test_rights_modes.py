"""The operator installed with each rights mode works in it and says clearly what it cannot do. Runs alone."""

from __future__ import annotations

import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.chart_helpers import CHART
from e2e.chart_helpers import Helm as ChartHelm
from e2e.e2e_helpers import Kubectl, Place, changed, cronix_app, job, manifest, wait_until

pytestmark = pytest.mark.disruptive

ACCOUNT = "cx-cronix-operator"


class Operator:
    """One release of the chart in a namespace of its own."""

    def __init__(self, helm: ChartHelm, home: Place, images: dict[str, str]) -> None:
        self.helm, self.home, self.images = helm, home, images

    def install(self, *, waits: bool = True, **values: Any) -> None:
        operator, signer = (self.images[name].rsplit(":", 1) for name in ("cronix-operator", "cronix-signer"))
        own = {
            "crds": {"install": False},
            "image": {"repository": operator[0], "tag": operator[1]},
            "signer": {"image": {"repository": signer[0], "tag": signer[1]}},
        }
        arguments = ["upgrade", "--install", "cx", str(CHART), "--namespace", self.home.namespace]
        done = self.helm.run(*arguments, *(["--wait", "--timeout=150s"] if waits else []), values={**own, **values})
        assert done.returncode == 0, done.stderr

    def remove(self) -> None:
        self.helm.run("uninstall", "cx", "--namespace", self.home.namespace)

    def pod(self) -> dict[str, Any] | None:
        running = [
            pod
            for pod in self.home.items("pods", "app.kubernetes.io/name=cronix-operator")
            if pod["status"].get("podIP") and pod["status"]["containerStatuses"][0]["state"].get("running")
        ]
        return running[0] if running else None

    def readiness(self) -> tuple[int, str]:
        """What the readiness endpoint says, once it says anything."""

        def ask() -> tuple[int, str] | None:
            pod = self.pod()
            if pod is None:
                return None
            try:
                url = f"http://{pod['status']['podIP']}:8081/readyz"
                with urllib.request.urlopen(url, timeout=10) as answer:  # the pod's own address
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as exc:
                with exc:
                    return exc.code, exc.read().decode()

        def looked() -> tuple[int, str] | None:
            answer = ask()
            return None if answer is None or "has not yet said" in answer[1] else answer

        return wait_until(looked, 120, "the readiness endpoint answers")

    def wait_ready(self) -> None:
        wait_until(lambda: self.readiness()[0] == 200, 120, "the operator is ready")

    def log(self) -> str:
        return str(self.home.kubectl("logs", f"deployment/{ACCOUNT}"))


@pytest.fixture
def spaces(kubectl: Kubectl, kubeconfig: Path, images: dict[str, str], quiet: None) -> Iterator[list[Place]]:
    """Three fresh namespaces with a key and a manifest in each: home of the operator, and two tenants."""
    made = []
    for _ in range(3):
        place = Place(kubectl, f"e2e-{secrets.token_hex(4)}")
        kubectl("create", "namespace", place.namespace)
        place.secret("puppet-cron", current=secrets.token_hex(32))
        made.append(place)
    yield made
    for place in made:
        kubectl("delete", "namespace", place.namespace, "--wait=false")


@pytest.fixture
def operator_here(kubeconfig: Path, spaces: list[Place], images: dict[str, str]) -> Iterator[Operator]:
    made = Operator(ChartHelm(kubeconfig), spaces[0], images)
    yield made
    made.remove()


def app(name: str = "shop") -> dict[str, Any]:
    """A CronixApp that needs nothing but its own namespace."""
    return cronix_app(name, {"inline": manifest(name, job("yearly", "0 0 1 1 *"))}, allowInsecureHTTP=True)


def fetching_app(name: str = "shop") -> dict[str, Any]:
    """A CronixApp whose fetch must be signed, so its Secret is read; the fetch itself leads nowhere."""
    return cronix_app(name, {"service": {"name": "puppet"}, "interval": "15s"})


def service(place: Place) -> None:
    ports = [{"name": "http", "port": 8080}]
    place.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "puppet"}, "spec": {"ports": ports}})


def wait_works(place: Place, name: str = "shop") -> None:
    place.wait_ready(name)
    assert place.names("cronjobs") == {f"cronix-{name}-yearly-0"}
    wait_until(lambda: place.events("ManifestApplied"), 60, "the Event")


def test_in_its_own_namespace_it_works_and_leaves_others_alone(operator_here: Operator, spaces: list[Place]) -> None:
    """T9."""
    home, other, _ = spaces
    other.apply(app())
    home.apply(app())
    operator_here.install(watch={"mode": "release"})
    wait_works(home)
    assert operator_here.readiness() == (200, "ok\n")
    assert other.get("cxa", "shop").get("status", {}).get("observedGeneration", -1) == -1, "nobody has looked at it"
    assert other.names("cronjobs") == set()


def test_a_listed_namespace_without_its_role_is_told_and_taken_up_when_the_role_is_there(
    operator_here: Operator, spaces: list[Place]
) -> None:
    """Promise 7: who deletes the RoleBinding in his namespace stops the operator there, and nowhere else."""
    _, one, two = spaces
    values: dict[str, Any] = {"watch": {"mode": "namespaces", "namespaces": [one.namespace, two.namespace]}}
    operator_here.install(**values)
    two.kubectl("delete", "rolebinding", ACCOUNT)
    operator_here.home.kubectl("delete", "pod", "-l", "app.kubernetes.io/name=cronix-operator", "--wait=true")
    for place in (one, two):
        place.apply(app())
    wait_works(one)
    status, told = operator_here.readiness()
    assert status == 503
    assert "list, watch cronixapps.cronix.dev; patch cronixapps.cronix.dev/status; get, list" in told
    assert f'in namespace "{two.namespace}"' in told
    assert one.namespace not in told
    assert "RightsMissing" in operator_here.log()
    assert two.names("cronjobs") == set()

    operator_here.install(**values, waits=False)  # Helm puts back what its template says
    operator_here.wait_ready()
    wait_works(two)
    pod = operator_here.pod()
    assert pod is not None
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0, "it neither crashed nor was restarted for it"


def test_without_secrets_the_condition_prints_what_opens_them(operator_here: Operator, spaces: list[Place]) -> None:
    """`rbac.secrets: none`: the tenant pastes what the condition says, and nothing else is needed."""
    _, tenant, _ = spaces
    operator_here.install(rbac={"secrets": "none"})
    assert operator_here.readiness() == (200, "ok\n"), "nothing is missing that was not left out on purpose"
    service(tenant)
    tenant.apply(fetching_app())
    told = tenant.wait_condition("shop", "False", "Forbidden")
    command = told[told.index("kubectl apply") :].replace("kubectl", " ".join(_kubectl(operator_here)), 1)
    subprocess.run(["bash", "-c", command], check=True, capture_output=True, timeout=60)
    tenant.wait_condition("shop", "False", "FetchFailed")  # the key was read; there is no app behind the Service

    may = ("auth", "can-i", "get", "--as", f"system:serviceaccount:{operator_here.home.namespace}:{ACCOUNT}")
    assert tenant.kubectl(*may, "secrets/puppet-cron").strip() == "yes"
    with pytest.raises(AssertionError, match="no"):
        tenant.kubectl(*may, "secrets/another")


def _kubectl(operator: Operator) -> list[str]:
    program = str(Path(operator.helm.command[0]).with_name("kubectl"))
    return [program if Path(program).exists() else "kubectl", *operator.helm.command[1:]]


def test_with_the_secrets_of_one_namespace_the_other_is_told_what_to_apply(
    operator_here: Operator, spaces: list[Place]
) -> None:
    _, open_one, closed = spaces
    operator_here.install(rbac={"secrets": "namespaces", "secretsNamespaces": [open_one.namespace]})
    assert operator_here.readiness() == (200, "ok\n")
    for place in (open_one, closed):
        service(place)
        place.apply(fetching_app())
    open_one.wait_condition("shop", "False", "FetchFailed")
    assert f'"namespace":"{closed.namespace}"' in closed.wait_condition("shop", "False", "Forbidden")


def test_where_it_may_write_config_maps_it_keeps_the_app_s_and_no_other(
    operator_here: Operator, spaces: list[Place]
) -> None:
    """`rbac.previousSuccess`, in the whole cluster: under the chart's own policy, which the API server holds up."""
    _, tenant, other = spaces
    operator_here.install(rbac={"previousSuccess": True})
    assert operator_here.readiness() == (200, "ok\n")
    tenant.apply(changed(app(), {"spec.jobDefaults.previousSuccessTime": True}))
    other.apply(app())
    tenant.wait_ready("shop")
    other.wait_ready("shop")
    own = "cronix-shop-previous-success"
    wait_until(lambda: own in tenant.names("configmaps"), 90, "the ConfigMap")
    wait_until(lambda: tenant.get("cxa", "shop")["status"].get("previousSuccessConfigMap") == own, 90, "status")
    assert tenant.condition("shop", "PreviousSuccessUnknown") == {}
    assert own not in other.names("configmaps")
    tenant.apply(app())
    wait_until(lambda: own not in tenant.names("configmaps"), 90, "it is removed")


def test_without_any_right_it_waits_says_so_and_starts_when_they_are_granted(
    operator_here: Operator, spaces: list[Place]
) -> None:
    """No crash loop, silent or not: the same process waits, and names each missing right where people look."""
    home, tenant, _ = spaces
    tenant.apply(app())
    operator_here.install(waits=False, rbac={"create": False})
    status, told = operator_here.readiness()
    assert status == 503
    for words in ("get, list, watch, create, update, delete cronjobs.batch", "get secrets", "in the cluster"):
        assert words in told

    asked = operator_here.helm.run("test", "cx", "--namespace", home.namespace, "--logs", "--timeout=120s")
    assert asked.returncode != 0
    assert "the operator may not" in asked.stdout + asked.stderr

    operator_here.install(waits=False)
    # The Deployment is the same, so the pod is.
    operator_here.wait_ready()
    wait_works(tenant)
    pod = operator_here.pod()
    assert pod is not None
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def test_one_right_less_is_named_in_an_event_on_the_pod(
    operator_here: Operator, spaces: list[Place], kubectl: Kubectl
) -> None:
    home, tenant, _ = spaces
    operator_here.install()
    role = f"{home.namespace}-{ACCOUNT}"
    rules = kubectl("get", "clusterrole", role, "-o", "json")["rules"]
    fewer = [{**rule, "verbs": [v for v in rule["verbs"] if v != "delete"]} for rule in rules]
    kubectl("apply", "-f", "-", stdin={
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": fewer
    })  # fmt: skip
    home.kubectl("delete", "pod", "-l", "app.kubernetes.io/name=cronix-operator", "--wait=true")
    status, told = operator_here.readiness()
    missing = "the operator may not delete cronjobs.batch in the cluster; "
    consequence = "what needs it fails and says so in the CronixApp's condition (chart: rbac)\n"
    assert (status, told) == (503, missing + consequence)
    pod = operator_here.pod()
    assert pod is not None
    uid = pod["metadata"]["uid"]  # the pod before it may have noticed, too, before it went

    def on_the_pod() -> list[Any]:
        found = [e for e in home.items("events") if e["reason"] == "RightsMissing"]
        return [e for e in found if e["involvedObject"]["uid"] == uid]

    (event,) = wait_until(on_the_pod, 60, "the Event")
    assert event["message"] == told.strip()
    tenant.apply(app())
    wait_works(tenant)
