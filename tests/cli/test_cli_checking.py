"""`verify`, `plan`, `doctor`: the operator's own rules, applied with the person's rights; nothing is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from cli.cli_helpers import NOW, Kube, assert_golden, call
from cli.cli_world import REQUEST, busy_shop, shop
from cronix_operator.edges.api import Reply
from cronix_protocol import verify
from operator_fakes.builders import LIMITS, NAMESPACE, document, job

KEY, OLD_KEY = "current-key-0123456789abcdef", "previous-key-0123456789abcdef"
JOBS = (
    job("ping", "@every 5m", **REQUEST),
    job("reconcile-payments", "*/15 * * * *", **REQUEST),
    job("report", "0 7 * * *", **REQUEST),
    job("settle-invoices", ["0 2 * * *", "30 14 * * 1-5"], timezone="Europe/Paris", **REQUEST),
)


class AppBehindTheProxy:
    """What the API server's proxy leads to: an app that knows some keys and serves a manifest."""

    def __init__(self, kube: Kube, *keys: str) -> None:
        self.keys = keys
        self.document: Any = document(*JOBS)
        self.paths: list[str] = []
        kube.on_raw = self.answer
        encoded = {
            name: base64.b64encode(key.encode()).decode() for name, key in (("current", KEY), ("previous", OLD_KEY))
        }
        kube.put("secrets", NAMESPACE, "keys", data=encoded)
        ports = [{"port": 8080, "name": "http", "protocol": "TCP"}]
        kube.put("services", NAMESPACE, "billing", spec={"clusterIP": "10.96.0.9", "ports": ports})
        deployment = {
            "metadata": {"namespace": "cronix-system", "name": "cronix"},
            "spec": {"template": {"spec": {"containers": [
                {"name": "operator", "image": "r/cronix-operator:1", "env": [
                    {"name": "CRONIX_SIGNER_IMAGE", "value": LIMITS.signer_image}]}]}}},
            "status": {"availableReplicas": 1},
        }  # fmt: skip
        kube.answers["/apis/apps/v1/deployments"] = Reply(200, {"items": [deployment]})

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
        if path == "/version":
            return 200, b'{"minor":"34","gitVersion":"v1.34.4"}', {"Date": "Tue, 24 Nov 2026 10:00:29 GMT"}
        self.paths.append(path)
        seen = verify(
            headers.get("X-Cron-Signature"), secrets=self.keys, method="GET", path="/.well-known/cron-manifest",
            body=b"", now=int(NOW.timestamp()),
        )  # fmt: skip
        if self.keys and not seen.ok:
            return seen.status, json.dumps({"code": seen.code, "message": seen.message}).encode(), {}
        return 200, json.dumps(self.document).encode(), {}


@pytest.fixture
def kube() -> Kube:
    return shop()


@pytest.fixture
def app(kube: Kube) -> AppBehindTheProxy:
    return AppBehindTheProxy(kube, KEY)


def _verdicts(told: Any) -> dict[str, str]:
    return {item["name"]: item["verdict"] for item in json.loads(told.out)["items"]}


def test_verify_says_which_key_the_app_accepts(kube: Kube, app: AppBehindTheProxy) -> None:
    """The first that is accepted signs, another may be unknown during a rotation; that none is accepted is a fault."""
    told = call("verify", "billing", "-o", "json", kube=kube)
    found = _verdicts(told)
    assert (found["key current"], found["key previous"], found["other keys"], told.code) == ("ok", "warning", "ok", 0)
    assert app.paths[0] == "/api/v1/namespaces/shop/services/http:billing:8080/proxy/.well-known/cron-manifest"
    app.keys = (OLD_KEY,)
    told = call("verify", "billing", "-o", "json", kube=kube)
    assert (_verdicts(told)["key current"], _verdicts(told)["key previous"], told.code) == ("warning", "ok", 0)
    app.keys = ("a-key-that-is-in-no-secret",)
    told = call("verify", "billing", "-o", "json", kube=kube)
    assert (_verdicts(told)["no key"], told.code) == ("bad", 1)
    app.keys = ()
    assert _verdicts(call("verify", "billing", "-o", "json", kube=kube))["other keys"] == "warning"
    assert kube.writes == []


def test_verify_shows_no_key(kube: Kube, app: AppBehindTheProxy) -> None:
    """Attack C5."""
    for output in ("table", "json"):
        said = call("verify", "billing", "-o", output, kube=kube).out
        assert KEY not in said
        assert OLD_KEY not in said


@pytest.mark.parametrize("width", [80, 160])
def test_what_a_person_sees(kube: Kube, app: AppBehindTheProxy, width: int) -> None:
    """Golden captures, looked at."""
    jobs = [job("weird", "0 7 * * 7", **REQUEST), job("new", "0 5 * * *", **REQUEST), *JOBS[1:3]]
    app.document = document(*jobs, job("settle-invoices", ["0 3 * * *"], timezone="Europe/Paris", **REQUEST))
    assert_golden(f"verify-{width}", call("verify", "billing", kube=kube, width=width).out)
    assert_golden(f"plan-{width}", call("plan", "billing", kube=kube, width=width).out)
    busy = busy_shop()
    AppBehindTheProxy(busy, KEY)
    assert_golden(f"doctor-{width}", call("doctor", kube=busy, width=width).out)


def test_plan_of_what_is_in_step_is_exit_0_and_writes_nothing(kube: Kube, app: AppBehindTheProxy) -> None:
    """The same diff as the operator's: not one field differs."""
    told = call("plan", "billing", kube=kube)
    assert (told.code, told.out) == (0, "no change, 5 in step\n"), told.err
    assert kube.writes == []


def test_plan_shows_each_kind_of_change_with_exit_2(kube: Kube, app: AppBehindTheProxy) -> None:
    """One create, one update with both schedules, one delete; then more removals than the guard allows."""
    app.document = document(job("new", "0 5 * * *", **REQUEST), job("ping", "@every 9m", **REQUEST), *JOBS[1:3],
                            job("settle-invoices", "0 2 * * *", timezone="Europe/Paris", **REQUEST))  # fmt: skip
    told = call("plan", "billing", "-o", "json", kube=kube)
    found = {item["cronJob"]: (item["action"], item["what"]) for item in json.loads(told.out)["items"]}
    assert told.code == 2
    assert found["cronix-billing-new-0"] == ("create", "0 5 * * * UTC")
    assert found["cronix-billing-ping-0"][0] == "update"
    assert found["cronix-billing-ping-0"][1].startswith("@every 5m → @every 9m; ")
    assert found["cronix-billing-settle-invoices-1"][0] == "delete"
    app.document = document(job("ping", "@every 5m", **REQUEST))
    blocked = json.loads(call("plan", "billing", "-o", "json", kube=kube).out)["items"]
    assert {item["reason"] for item in blocked} == {"PruneBlocked"}


def test_plan_takes_a_manifest_or_a_cronixapp_from_a_file(kube: Kube, app: AppBehindTheProxy, tmp_path: Any) -> None:
    """Before it is deployed: no fetch with -m; a CronixApp that is not there yet is planned as a whole."""
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document(*JOBS, job("extra", "0 1 * * *", **REQUEST))))
    told = call("plan", "billing", "-m", str(path), kube=kube)
    assert (told.code, "1 to create" in told.out, app.paths) == (2, True, [])
    path.write_text(
        "kind: CronixApp\nmetadata: {name: fresh}\nspec: {signing: {secretRef: {name: keys}}, source: {inline: "
        + json.dumps(document(job("a", "0 1 * * *", **REQUEST), job("b", "0 2 * * *", **REQUEST), app="fresh"))
        + "}}\n"
    )
    told = call("plan", "-f", str(path), "-o", "json", kube=kube)
    assert [item["action"] for item in json.loads(told.out)["items"]] == ["create", "create"], told.err


def test_plan_without_a_right_to_see_the_deployment_takes_the_image_of_the_cronjobs(
    kube: Kube, app: AppBehindTheProxy
) -> None:
    """A tenant seldom sees the operator's namespace."""
    kube.answers["/apis/apps/v1/deployments"] = Reply(403, {"reason": "Forbidden"})
    assert call("plan", "billing", kube=kube).code == 0


def test_doctor_names_each_fault_with_what_to_do(kube: Kube, app: AppBehindTheProxy) -> None:
    """Exit 1, and the words a search finds."""
    told = call("doctor", kube=kube)
    assert (told.code, "JobsInvalid" in told.out) == (1, True)
    kube.answers["/apis/apps/v1/deployments"] = Reply(200, {"items": []})
    kube.no_crd = True
    kube.denied |= {("create", "jobs"), ("get", "secrets")}
    told = call("doctor", kube=kube, now=NOW.replace(minute=20))
    for words in (
        "is not installed",
        "helm install cronix",
        "no create jobs: run, backfill",
        "20m01s apart",
        "no get secrets",
    ):
        assert words in told.out, told.out
