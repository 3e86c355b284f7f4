"""Numbers in, Prometheus' text out over HTTP; the only file that imports prometheus_client, and holder of the registry.

Only the text format is served: OpenMetrics would add a `_created` series to each counter.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import prometheus_client
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from cronix_operator.core.catalogue import APP_LABELS, FAMILIES
from cronix_operator.core.errors import ReconcileError
from cronix_operator.core.history import Totals
from cronix_operator.core.model import App, Endpoint, Fetched, KeyMaterial, Subject
from cronix_operator.core.runs import SUCCEEDED, Origin, Run
from cronix_operator.core.samples import Sample, api_call
from cronix_operator.edges.listener import Listener
from cronix_protocol.outcome import APP_REJECTED, RETRIES_EXHAUSTED

Key = tuple[str, str]
JobLabels = tuple[str, ...]  # namespace and name of the CronixApp, job, index
# There from the start at zero: to increase() a series that begins with one has had no increase.
USUAL = (SUCCEEDED, APP_REJECTED, RETRIES_EXHAUSTED)
_FAMILIES = {family.name: family for family in FAMILIES}


class Metrics(Collector):
    """The operator's numbers. What comes for a CronixApp that was never met, or was forgotten, is dropped.

    `per_job`: whether there are series for each CronJob.
    """

    def __init__(self, *, version: str = "unknown", per_job: bool = True) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's type is missing
        self.registry = prometheus_client.CollectorRegistry()
        self._version = version
        self._per_job = per_job
        self._apps: dict[Key, tuple[Sample, ...]] = {}
        self._jobs: dict[Key, tuple[Sample, ...]] = {}
        self._depth: Callable[[], int] = lambda: 0
        self._last_loop: Callable[[], float] | None = None
        self._look: Callable[[], Iterable[Sample]] = lambda: ()
        self._looked: tuple[Sample, ...] = ()
        self._now: dict[str, float] = {}
        # Plain numbers until somebody asks: for ten thousand CronJobs the library's own counters take 27 MiB, these 5.
        self._runs: dict[JobLabels, dict[str, int]] = {}  # by outcome
        self._attempts: dict[JobLabels, int] = {}
        self._reconciles = self._counter("cronix_operator_reconcile_total")
        self._reconcile_seconds = self._histogram("cronix_operator_reconcile_duration_seconds")
        self._requests = self._counter("cronix_operator_api_requests_total")
        self._lag_seconds = self._histogram("cronix_operator_event_lag_seconds")
        self._fetches = self._counter("cronix_app_fetch_total")
        self._fetch_seconds = self._histogram("cronix_app_fetch_duration_seconds")
        self._corrected = self._counter("cronix_app_drift_corrected_total")
        self._pruned = self._counter("cronix_app_pruned_total")
        self._run_seconds = self._histogram("cronix_run_duration_seconds")
        self._delay_seconds = self._histogram("cronix_run_start_delay_seconds")
        self._duplicates = self._counter("cronix_run_duplicates_total")
        self._responses = self._counter("cronix_http_responses_total")
        self.registry.register(self)

    def _counter(self, name: str) -> prometheus_client.Counter:
        family = _FAMILIES[name]
        return prometheus_client.Counter(name, family.help, family.labels, registry=self.registry)

    def _histogram(self, name: str) -> prometheus_client.Histogram:
        family = _FAMILIES[name]
        return prometheus_client.Histogram(
            name, family.help, family.labels, registry=self.registry, buckets=family.buckets
        )

    def watch(
        self, depth: Callable[[], int], last_loop: Callable[[], float], look: Callable[[], Iterable[Sample]]
    ) -> None:
        """A stretch of work begins; where a scrape looks: queue, the loop's last turn, and the gauges about runs."""
        self._depth, self._last_loop, self._look = depth, last_loop, look

    def rest(self) -> None:
        """The stretch is over (another replica leads, a right is missing): the next one meets those still there."""
        self._depth, self._last_loop, self._look = (lambda: 0), None, (lambda: ())
        for key in list(self._apps):
            self.forget(key)

    def refresh(self) -> None:
        """Before a scrape, in the loop: what `watch` named is nothing that another thread may walk through.

        The counters of a CronJob go here, once neither a walk nor the watch of runs knows it: one that the API server
        refused to change for a while is not in step, and must not begin at zero afterwards.
        """
        self._now = {
            "cronix_operator_leader": float(self._last_loop is not None),
            "cronix_operator_workqueue_depth": float(self._depth()),
            **({"cronix_operator_last_loop_timestamp_seconds": self._last_loop()} if self._last_loop else {}),
        }
        if not self._per_job:
            return
        self._looked = tuple(self._look())
        there = {sample.labels for samples in (*self._jobs.values(), self._looked) for sample in samples}
        for gone in self._runs.keys() - there:
            del self._runs[gone], self._attempts[gone]

    def meet(self, key: Key) -> None:
        """A CronixApp is there; its counters start at zero, so that the first step is seen as an increase."""
        self._apps.setdefault(key, ())
        for counter in (self._corrected, self._pruned, self._duplicates):
            counter.labels(*key)
        for histogram in (self._fetch_seconds, self._run_seconds, self._delay_seconds):
            histogram.labels(*key)
        for code_class in ("2xx", "4xx", "5xx", "none"):
            self._responses.labels(*key, code_class)

    def forget(self, key: Key) -> None:
        """A CronixApp went; so do all its series."""
        self._apps.pop(key, None)
        self._jobs.pop(key, None)
        for counted in [labels for labels in self._runs if labels[:2] == key]:
            del self._runs[counted], self._attempts[counted]
        labels = dict(zip(APP_LABELS, key, strict=True))
        for metric in (
            *(self._corrected, self._pruned, self._fetch_seconds, self._fetches, self._run_seconds),
            *(self._delay_seconds, self._duplicates, self._responses),
        ):
            metric.remove_by_labels(labels)

    def set_app(self, key: Key, samples: Iterable[Sample]) -> None:
        """The gauges of one CronixApp, all of them: what is not among them is gone."""
        if key in self._apps:
            self._apps[key] = tuple(samples)

    def set_jobs(self, key: Key, samples: Iterable[Sample]) -> None:
        """The gauges of all CronJobs of one CronixApp that are in step."""
        if key not in self._apps or not self._per_job:
            return
        self._jobs[key] = tuple(samples)

    def began(self, subject: Subject, origin: Origin, totals: Totals) -> None:
        """A CronJob's runs are watched from now on; its counters begin with what was ever counted, for status has it.

        So they go on where an earlier process left off, and a scraper sees neither a reset nor a jump.
        """
        key = (subject.namespace, subject.name)
        if key not in self._apps or not self._per_job:
            return
        labels = (*key, origin.job, str(origin.index))
        # Of a CronJob that was made anew the numbers are new as well.
        self._runs[labels] = {**dict.fromkeys(USUAL, 0), **totals.runs}
        self._attempts[labels] = totals.attempts

    def ran(self, subject: Subject, run: Run) -> None:
        """One run has ended and is in status; to be told once of each."""
        key = (subject.namespace, subject.name)
        if key not in self._apps:
            return
        # Without series per job their labels are empty, which to Prometheus is the same as not there.
        labels = (*key, run.job, str(run.index)) if self._per_job else (*key, "", "")
        outcomes = self._runs.setdefault(labels, {})
        outcomes[run.outcome] = outcomes.get(run.outcome, 0) + 1
        self._attempts[labels] = self._attempts.get(labels, 0) + run.attempts
        self._responses.labels(*key, _code_class(run.http_status)).inc()
        self._duplicates.labels(*key).inc(max(0, run.successes - 1))
        for histogram, seconds in (
            (self._run_seconds, run.duration_seconds),
            (self._delay_seconds, run.start_delay_seconds),
        ):
            if seconds is not None:
                histogram.labels(*key).observe(seconds)

    def reconciled(self, result: str, seconds: float) -> None:
        """One walk is over."""
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def wrote(self, key: Key, corrected: int, pruned: int) -> None:
        """One walk put so many foreign changes right and removed so many CronJobs."""
        if key in self._apps:
            self._corrected.labels(*key).inc(corrected)
            self._pruned.labels(*key).inc(pruned)

    def fetched(self, key: Key, result: str, http_status: int | None, seconds: float) -> None:
        """One manifest was fetched or not; `http_status` None: there was no answer."""
        if key in self._apps:
            self._fetches.labels(*key, result, _code_class(http_status)).inc()
            self._fetch_seconds.labels(*key).observe(seconds)

    def requested(self, method: str, path: str, http_status: int | None) -> None:
        """The API server was asked; `http_status` None: it did not answer."""
        verb, resource = api_call(method, path)
        self._requests.labels(verb, resource, "none" if http_status is None else str(http_status)).inc()

    def taken(self, lag_seconds: float) -> None:
        """A worker took a CronixApp that was due for so long."""
        self._lag_seconds.observe(lag_seconds)

    def collect(self) -> Iterator[Metric]:
        """Every gauge, as of now; called by the registry, possibly in another thread."""
        yield from self._own()
        yield from self._counters()
        found: dict[str, list[Sample]] = {}
        # Copied first: the loop may go on while a scrape is written.
        for samples in [*self._apps.values(), *self._jobs.values(), self._looked]:
            for sample in samples:
                found.setdefault(sample.name, []).append(sample)
        for family in FAMILIES:
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for sample in found.get(family.name, ()):
                metric.add_metric(sample.labels, sample.value)
            if metric.samples:
                yield metric

    def _own(self) -> Iterator[Metric]:
        values: dict[str, tuple[tuple[str, ...], float]] = {name: ((), value) for name, value in self._now.items()}
        values["cronix_build_info"] = ((self._version, platform.python_version()), 1.0)
        for name, (labels, value) in values.items():
            metric = GaugeMetricFamily(name, _FAMILIES[name].help, labels=_FAMILIES[name].labels)
            metric.add_metric(labels, value)
            yield metric

    def _counters(self) -> Iterator[Metric]:
        runs, attempts = (_counters_of(name) for name in ("cronix_runs_total", "cronix_run_attempts_total"))
        for labels, outcomes in list(self._runs.items()):
            for outcome, number in list(outcomes.items()):
                runs.add_metric((*labels, outcome), number)
        for labels, number in list(self._attempts.items()):
            attempts.add_metric(labels, number)
        yield from (runs, attempts)

    def text(self) -> bytes:
        """All of it as of the last `refresh`, in Prometheus' text format; may be called in any thread."""
        return generate_latest(self.registry)


def _counters_of(name: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, _FAMILIES[name].help, labels=_FAMILIES[name].labels)


def _code_class(http_status: int | None) -> str:
    return "none" if http_status is None else f"{http_status // 100}xx"


class SourcePort(Protocol):
    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched: ...


class MeasuredSource:
    """A source whose fetches are counted and timed."""

    def __init__(self, source: SourcePort, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._metrics = metrics
        self._monotonic = monotonic

    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched:
        """What the source gives."""
        start = self._monotonic()
        result, http_status = "InternalError", None
        try:
            fetched = await self._source.fetch(app, endpoint, material, timestamp, etag)
            result, http_status = "Succeeded", 304 if fetched.body is None else 200
        except ReconcileError as exc:
            result, http_status = exc.reason, exc.http_status
            raise
        finally:
            self._metrics.fetched(app.key, result, http_status, self._monotonic() - start)
        return fetched


class MetricsServer(Listener):
    """Serves /metrics on every interface, for the scraper calls from elsewhere; without a port it serves nothing."""

    def __init__(self, port: int | None, metrics: Metrics) -> None:
        super().__init__(port, {"/metrics": self._answer})
        self._metrics = metrics

    async def _answer(self, _request: web.Request) -> web.Response:
        # In a thread: some thousand series take longer to write than the loop may stand still.
        self._metrics.refresh()
        body = await asyncio.to_thread(self._metrics.text)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
