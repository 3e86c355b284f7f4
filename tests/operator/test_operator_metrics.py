"""The operator's numbers: what a walk is worth in metrics, when series go, and what a scrape reads."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from cronix_operator.core.catalogue import FAMILIES, JOB_LABELS
from cronix_operator.core.errors import Waiting
from cronix_operator.core.memory import Memory
from cronix_operator.core.model import Endpoint, Fetched, KeyMaterial
from cronix_operator.core.samples import Sample, api_call, app_samples
from cronix_operator.edges.api import ApiServer, Reply
from cronix_operator.edges.metrics import MeasuredSource, Metrics, MetricsServer
from cronix_operator.settings import read_settings
from cronix_operator.workqueue import WorkQueue
from operator_fakes.builders import APP_UID, NAMESPACE, START, job, make_app, served
from operator_fakes.scrape import of_app, of_job, read, value
from operator_fakes.world import GONE, World, in_loop

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
BILLING = {"namespace": NAMESPACE, "name": "billing"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gauges_of(metrics: Metrics, job_name: str) -> dict[str, float]:
    return {name: number for name, number in of_job(metrics, job_name).items() if name.startswith("cronix_job_")}


async def running(*jobs: dict[str, Any] | str, **spec: Any) -> World:
    world = World()
    world.site.answer = served(*jobs)
    world.apply(**spec)
    await world.walk()
    return world


@in_loop
async def test_an_app_in_step_is_told() -> None:
    metrics = (await running("a", "b")).metrics
    assert value(metrics, "cronix_app_info", **BILLING, app="billing") == 1
    assert value(metrics, "cronix_app_condition", **BILLING, type="Ready", status="True") == 1
    assert value(metrics, "cronix_app_condition", **BILLING, type="Ready", status="False") == 0
    assert value(metrics, "cronix_app_cronjobs", **BILLING, state="active") == 2
    assert value(metrics, "cronix_app_interval_seconds", **BILLING) == 300
    assert value(metrics, "cronix_app_suspended", **BILLING) == 0
    assert value(metrics, "cronix_app_manifest_last_success_timestamp_seconds", **BILLING) == START.timestamp()
    assert value(metrics, "cronix_app_fetch_total", **BILLING, result="Succeeded", code_class="2xx") == 1
    assert value(metrics, "cronix_app_fetch_duration_seconds_count", **BILLING) == 2, "and one with a random key"
    assert value(metrics, "cronix_app_drift_corrected_total", **BILLING) == 0
    assert value(metrics, "cronix_app_pruned_total", **BILLING) == 0


@in_loop
async def test_a_job_with_two_schedules_has_its_series_twice() -> None:
    """START is a Sunday; from Friday 09:00 to Monday 09:00 is the largest gap."""
    metrics = (await running(job("report", ["0 9 * * 1-5", "@every 90m"], timezone="UTC"))).metrics
    assert gauges_of(metrics, "report") == {
        "cronix_job_suspended/0": 0,
        "cronix_job_period_seconds/0": 3 * 86400,
        "cronix_job_next_run_timestamp_seconds/0": datetime(2026, 11, 23, 9, tzinfo=UTC).timestamp(),
        "cronix_job_suspended/1": 0,
        "cronix_job_period_seconds/1": 5400,
        "cronix_job_next_run_timestamp_seconds/1": START.timestamp() + 5400,
    }


@in_loop
async def test_on_a_sunday_the_pause_since_friday_is_in_the_period() -> None:
    """Else every weekend would look like an outage to the alert about overdue jobs."""
    world = await running(job("office", "0 9-17 * * 1-5", timezone="UTC"))
    friday = {"lastScheduleTime": "2026-11-20T17:00:00Z"}
    world.api.touch("cronjobs", NAMESPACE, "cronix-billing-office-0", lambda body: body.update(status=friday))
    await world.walk()
    assert gauges_of(world.metrics, "office")["cronix_job_period_seconds/0"] == (7 + 48 + 9) * 3600


@in_loop
async def test_a_suspended_app_has_no_next_run() -> None:
    metrics = (await running("a", suspend=True)).metrics
    assert value(metrics, "cronix_app_suspended", **BILLING) == 1
    assert value(metrics, "cronix_app_cronjobs", **BILLING, state="suspended") == 1
    assert gauges_of(metrics, "a") == {"cronix_job_suspended/0": 1, "cronix_job_period_seconds/0": 3600}


@in_loop
async def test_a_schedule_that_never_fires_has_no_period_and_no_next_run() -> None:
    metrics = (await running(job("never", "0 0 31 2 *"))).metrics
    assert "cronix_job_period_seconds/0" not in of_job(metrics, "never")
    assert "cronix_job_next_run_timestamp_seconds/0" not in of_job(metrics, "never")


@in_loop
async def test_a_fetch_that_fails_is_counted_and_the_series_of_the_jobs_stay() -> None:
    world = await running("a")
    world.site.answer = GONE
    await world.until_due()
    assert value(world.metrics, "cronix_app_fetch_total", **BILLING, result="FetchFailed", code_class="none") == 1
    assert value(world.metrics, "cronix_app_consecutive_failures", **BILLING) == 1
    assert value(world.metrics, "cronix_app_condition", **BILLING, type="FetchFailed", status="True") == 1
    assert value(world.metrics, "cronix_app_manifest_last_success_timestamp_seconds", **BILLING) == START.timestamp()
    assert of_job(world.metrics, "a")
    world.site.answer = served("a")
    await world.until_due()
    assert value(world.metrics, "cronix_app_consecutive_failures", **BILLING) == 0
    assert value(world.metrics, "cronix_app_condition", **BILLING, type="FetchFailed", status="True") is None


@in_loop
async def test_an_answer_that_is_no_success_is_counted_by_its_class() -> None:
    """The class, not the status: 900 different ones would be the app's to choose."""

    class Refuses:
        async def fetch(self, *_arguments: object) -> Fetched:
            fault = Waiting("FetchFailed", "answered 503")
            fault.http_status = 503
            raise fault

    metrics, app = Metrics(), make_app()
    metrics.meet(app.key)
    source = MeasuredSource(Refuses(), metrics, lambda: 0.0)
    with pytest.raises(Waiting):
        await source.fetch(app, Endpoint("http://x/"), KeyMaterial(()), 0)
    assert value(metrics, "cronix_app_fetch_total", **BILLING, result="FetchFailed", code_class="5xx") == 1


@in_loop
async def test_drift_and_prune_are_counted() -> None:
    world = await running("stays", "goes")
    world.api.touch("cronjobs", NAMESPACE, "cronix-billing-stays-0", lambda body: body["spec"].update(suspend=True))
    await world.walk()
    assert value(world.metrics, "cronix_app_drift_corrected_total", **BILLING) == 1
    world.site.answer = served("stays")
    await world.until_due()
    assert value(world.metrics, "cronix_app_cronjobs", **BILLING, state="orphaned") == 1
    await world.until_due()
    assert value(world.metrics, "cronix_app_pruned_total", **BILLING) == 1
    assert value(world.metrics, "cronix_app_cronjobs", **BILLING, state="orphaned") == 0
    assert of_job(world.metrics, "goes") == {}
    assert of_job(world.metrics, "stays") != {}


@in_loop
async def test_what_the_cluster_itself_rewrites_is_no_foreign_change_put_right() -> None:
    """A webhook that came later: the write changes nothing, and nobody has anything to look for."""

    def inject(body: dict[str, Any]) -> None:
        body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["hostAliases"] = [{"ip": "10.0.0.1"}]

    world = await running("a")
    world.api.admit = inject
    world.api.touch("cronjobs", NAMESPACE, "cronix-billing-a-0", lambda body: None)
    await world.walk()
    assert "ServerMutation" in world.events.reasons()
    assert value(world.metrics, "cronix_app_drift_corrected_total", **BILLING) == 0


@in_loop
async def test_a_spec_that_cannot_be_read_is_told_by_its_condition() -> None:
    world = await running("a")
    world.apply(source={"service": {"name": "billing"}, "url": "https://x.example.com"})
    await world.walk()
    assert value(world.metrics, "cronix_app_condition", **BILLING, type="Ready", status="True") == 0
    assert value(world.metrics, "cronix_app_condition", **BILLING, type="Stalled", status="True") == 1
    assert value(world.metrics, "cronix_app_cronjobs", **BILLING, state="active") == 1


@in_loop
async def test_a_deleted_app_leaves_no_series() -> None:
    world = await running("a")
    assert len(of_app(world.metrics)) > 10
    world.controller.saw_app(world.api.objects["cronixapps", NAMESPACE, "billing"], deleted=True)
    assert of_app(world.metrics) == set()


@in_loop
async def test_what_comes_for_a_deleted_app_brings_no_series_back() -> None:
    """A fetch or a walk may still be under way when the CronixApp goes."""
    world = await running("a")
    key = (NAMESPACE, "billing")
    world.metrics.forget(key)
    world.metrics.fetched(key, "Succeeded", 200, 0.1)
    world.metrics.wrote(key, 1, 1)
    world.metrics.set_app(key, [Sample("cronix_app_suspended", key, 1)])
    world.metrics.set_jobs(key, [Sample("cronix_job_suspended", (*key, "a", "0"), 1)])
    assert of_app(world.metrics) == set()


@in_loop
async def test_a_replica_that_does_not_lead_tells_of_no_app_and_of_no_loop_that_stands_still() -> None:
    """Whoever is gone when it leads again must not be told for ever, and its rest is no stall."""
    world = await running("a")
    loop = "cronix_operator_last_loop_timestamp_seconds"
    assert value(world.metrics, "cronix_operator_leader") == 1
    assert value(world.metrics, loop) is not None
    world.metrics.rest()
    assert of_app(world.metrics) == set()
    assert value(world.metrics, "cronix_operator_leader") == 0
    assert value(world.metrics, loop) is None


@in_loop
async def test_two_apps_do_not_mix_and_one_goes_alone() -> None:
    world = await running("a")
    world.api.objects["services", NAMESPACE, "second"] = world.api.objects["services", NAMESPACE, "billing"]
    world.apply("second", app="second")
    body = world.api.objects["cronixapps", NAMESPACE, "second"]
    body["metadata"]["uid"] = APP_UID[:-1] + "9"
    world.watch("second")
    world.site.answer = served("z", app="second")
    await world.walk("second")
    assert of_job(world.metrics, "z")
    world.controller.saw_app(body, deleted=True)
    assert of_app(world.metrics, "second") == set()
    assert of_job(world.metrics, "z") == {}
    assert of_job(world.metrics, "a")


@in_loop
async def test_series_of_jobs_can_be_left_out() -> None:
    world = await running("a")
    quiet = Metrics(per_job=False)
    quiet.meet((NAMESPACE, "billing"))
    quiet.set_app((NAMESPACE, "billing"), app_samples(make_app(), Memory(), world.status()))
    quiet.set_jobs((NAMESPACE, "billing"), [Sample("cronix_job_suspended", (NAMESPACE, "billing", "a", "0"), 1)])
    assert of_job(quiet, "a") == {}
    assert of_app(quiet)


@in_loop
async def test_after_a_restart_with_the_app_away_the_manifest_is_as_old_as_it_is() -> None:
    """The stale manifest must not look fresh, nor the series be missing, just because the operator was restarted."""
    world = await running("a")
    world.restart()
    world.site.answer = GONE
    world.wait(3600)
    world.watch()
    await world.walk()
    assert value(world.metrics, "cronix_app_manifest_last_success_timestamp_seconds", **BILLING) == START.timestamp()
    assert value(world.metrics, "cronix_app_manifest_last_change_timestamp_seconds", **BILLING) == START.timestamp()


@in_loop
async def test_a_worker_counts_its_walks_by_the_reason_they_led_to() -> None:
    world = World()
    world.site.answer = served("a")
    world.apply()
    world.controller.start()
    async with asyncio.timeout(20):
        while value(world.metrics, "cronix_operator_reconcile_duration_seconds_count") == 0:  # noqa: ASYNC110  # all that there is to wait for
            await asyncio.sleep(0.01)
    await world.controller.stop()
    assert value(world.metrics, "cronix_operator_reconcile_total", result="Succeeded") == 1
    assert value(world.metrics, "cronix_operator_reconcile_duration_seconds_count") == 1
    assert value(world.metrics, "cronix_operator_event_lag_seconds_count") == 1


def test_a_status_that_somebody_filled_with_nonsense_breaks_no_scrape() -> None:
    """T8: anybody with the right to write status could else silence the metrics of all apps."""
    status = {"manifest": {"lastFetchTime": "yesterday", "lastChangeTime": 7}, "conditions": []}
    names = {sample.name for sample in app_samples(make_app(), Memory(), status)}
    assert "cronix_app_info" in names
    assert not any("manifest" in name for name in names)


@pytest.mark.parametrize(
    "evil", ['a"b', "a\\b", "a\nb", 'x"} 1\ncronix_app_suspended{name="forged', "ü", "", "{}", "\\n"]
)
def test_a_label_cannot_break_out_of_its_quotes(evil: str) -> None:
    """C7: what comes from a manifest must not forge a series or make the whole scrape unreadable."""
    metrics, key = Metrics(), (NAMESPACE, "billing")
    metrics.meet(key)
    metrics.set_app(key, [Sample("cronix_app_info", (*key, evil), 1)])
    assert value(metrics, "cronix_app_info", **BILLING, app=evil) == 1
    assert not any(("name", "forged") in labels for _, labels in read(metrics))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/apis/batch/v1/namespaces/a/cronjobs", ("list", "cronjobs")),
        ("GET", "/apis/batch/v1/namespaces/a/cronjobs/x", ("get", "cronjobs")),
        ("POST", "/apis/batch/v1/namespaces/a/cronjobs", ("create", "cronjobs")),
        ("PUT", "/apis/batch/v1/namespaces/a/cronjobs/x", ("update", "cronjobs")),
        ("DELETE", "/apis/batch/v1/namespaces/a/cronjobs/x", ("delete", "cronjobs")),
        ("PATCH", "/apis/batch/v1/namespaces/a/cronjobs/x/status", ("patch", "cronjobs/status")),
        ("PATCH", "/apis/cronix.dev/v1alpha1/namespaces/a/cronixapps/b/status", ("patch", "cronixapps/status")),
        ("GET", "/api/v1/namespaces/a/secrets/s", ("get", "secrets")),
        ("GET", "/apis/batch/v1/cronjobs", ("list", "cronjobs")),
        ("GET", "/api/v1/namespaces/namespaces/services/namespaces", ("get", "services")),
        ("GET", "/version", ("list", "version")),
    ],
)
def test_a_request_is_counted_under_the_words_of_rbac(method: str, path: str, expected: tuple[str, str]) -> None:
    assert api_call(method, path) == expected


@in_loop
async def test_requests_to_the_api_server_are_counted_with_and_without_an_answer() -> None:
    """One is answered 404 by a server that is there, one goes to a port where nobody listens."""
    metrics = Metrics()
    port = free_port()
    server = MetricsServer(port, metrics)
    await server.start()
    api = ApiServer("/nonexistent", requested=metrics.requested)
    assert (await _ask(api, port)).status == 404
    with pytest.raises(Waiting, match="did not answer"):
        await _ask(api, 1)
    await server.stop()
    counted = {dict(labels)["code"]: n for (name, labels), n in read(metrics).items() if "api_requests_total" in name}
    assert counted == {"404": 1, "none": 1}


async def _ask(api: ApiServer, port: int) -> Reply:
    from kubernetes.aio import client

    api._configuration.host = f"http://127.0.0.1:{port}"
    api._client = client.ApiClient(api._configuration)
    try:
        return await api.request("GET", "/api/v1/namespaces/a/secrets/s")
    finally:
        await api.__aexit__()


@in_loop
async def test_the_endpoint_speaks_the_text_format_whatever_is_asked_for() -> None:
    """OpenMetrics would bring a `_created` series with each counter, which no page explains."""
    metrics = Metrics(version="1.2.3")
    metrics.meet((NAMESPACE, "billing"))
    port = free_port()
    server = MetricsServer(port, metrics)
    await server.start()
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with (
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics", headers=headers) as answer,
    ):
        text = await answer.text()
    await server.stop()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'cronix_build_info{python_version="' in text
    assert 'version="1.2.3"' in text
    assert "_created" not in text


def test_the_queue_tells_its_depth_and_how_long_a_key_had_been_due() -> None:
    clock, lags = [100.0], list[float]()
    queue: WorkQueue[str] = WorkQueue(lambda: clock[0], lags.append)
    queue.add("now")
    queue.add("later", 60)
    assert queue.depth() == 1
    clock[0] += 2.5
    assert asyncio.run(queue.get()) == "now"
    assert (queue.depth(), lags) == (0, [2.5])
    queue.add("now")
    assert queue.depth() == 0, "it is being worked on"


def rows() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Name, kind and labels of each metric in the tables of the page."""
    for line in PAGE.read_text().splitlines():
        if match := re.match(r"\| `(cronix_\w+)` \| (\w+) \| ([^|]*) \|", line):
            yield match[1], match[2], tuple(re.findall(r"`(\w+)`", match[3]))


def test_the_page_has_each_metric_and_no_other() -> None:
    """The same page is compared with a live endpoint by an end-to-end test."""
    assert sorted(rows()) == sorted((family.name, family.kind, family.labels) for family in FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_have_units_and_no_label_is_prometheus_own(family: Any) -> None:
    assert not {"job", "instance", "le", "quantile"} & set(family.labels)
    assert family.name.endswith("_total") == (family.kind == "counter")
    if family.kind == "histogram" or "timestamp" in family.name:
        assert family.name.endswith("_seconds")
    assert bool(family.buckets) == (family.kind == "histogram")
    assert family.per_job == (family.labels[:4] == JOB_LABELS)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, (None, True, "unknown")),
        (
            {"CRONIX_METRICS_PORT": "8080", "CRONIX_METRICS_PER_JOB": "false", "CRONIX_VERSION": "0.1.0"},
            (8080, False, "0.1.0"),
        ),
        ({"CRONIX_METRICS_PORT": "0"}, (None, True, "unknown")),
    ],
)
def test_the_environment_says_whether_and_where(env: dict[str, str], expected: tuple[object, ...]) -> None:
    settings = read_settings({"CRONIX_SIGNER_IMAGE": "x", **env})
    assert (settings.metrics_port, settings.metrics_per_job, settings.version) == expected
