"""Runs in the metrics: each counted once under its word, and the series of a job go with the job."""

from __future__ import annotations

from typing import Any

import pytest

from cronix_operator.core.catalogue import JOB_LABELS
from cronix_operator.core.history import Totals
from cronix_operator.core.jobfacts import parse_job, parse_pod
from cronix_operator.core.model import Subject
from cronix_operator.core.runs import ADVICE, Run, run_of
from cronix_operator.core.samples import Sample
from cronix_operator.edges.metrics import Metrics
from operator_fakes.builders import APP_UID, NAMESPACE, served
from operator_fakes.jobs import ORIGIN, SLOT, ended, job, pod, said, terminated
from operator_fakes.scrape import of_app, of_job, value
from operator_fakes.world import World, in_loop

KEY = (NAMESPACE, "billing")
WHO = Subject(NAMESPACE, "billing", APP_UID)
APP = {"namespace": NAMESPACE, "name": "billing"}
SYNC = {**APP, "cronix_job": "sync", "index": "0"}


def met(*, per_job: bool = True) -> Metrics:
    metrics = Metrics(per_job=per_job)
    metrics.meet(KEY)
    there(metrics, "sync")
    return metrics


def there(metrics: Metrics, *jobs: str) -> None:
    """A walk found CronJobs of these jobs in step."""
    metrics.set_jobs(KEY, [Sample("cronix_job_suspended", (*KEY, name, "0"), 0) for name in jobs])


def run(*words: str, **fields: Any) -> Run:
    """A run, a minute's slot, whose pods said these words one after the other."""
    body = job()
    done = ended(body, 9) if words[-1] == "Succeeded" else ended(body, 9, "PodFailurePolicy")
    pods = [pod(body, n, state=terminated(0, said(word, **fields), at=3 + n)) for n, word in enumerate(words)]
    facts = parse_job(done)
    assert facts is not None
    return run_of(ORIGIN, facts, [known for known in map(parse_pod, pods) if known is not None])


def test_a_run_is_counted_under_its_word_with_what_it_took() -> None:
    metrics = met()
    metrics.ran(WHO, run("RetriesExhausted", attempts=4, http_status=503))
    assert value(metrics, "cronix_runs_total", **SYNC, outcome="RetriesExhausted") == 1
    assert value(metrics, "cronix_run_attempts_total", **SYNC) == 4
    assert value(metrics, "cronix_http_responses_total", **APP, code_class="5xx") == 1
    assert value(metrics, "cronix_run_duration_seconds_sum", **APP) == 7
    assert value(metrics, "cronix_run_start_delay_seconds_sum", **APP) == 2
    assert value(metrics, "cronix_run_duplicates_total", **APP) == 0


@pytest.mark.parametrize("word", ADVICE)
def test_every_end_of_a_run_can_be_counted(word: str) -> None:
    metrics = met()
    metrics.ran(WHO, Run("c", "sync", 0, "j", "uid", "run", None, True, run("Succeeded").created, outcome=word))
    assert value(metrics, "cronix_runs_total", **SYNC, outcome=word) == 1
    assert value(metrics, "cronix_http_responses_total", **APP, code_class="none") == 1
    assert value(metrics, "cronix_run_duration_seconds_count", **APP) == 0


def test_a_slot_that_two_pods_ran_is_a_duplicate() -> None:
    """Both requests had the same run id; whoever needs it once must refuse the second."""
    metrics = met()
    metrics.ran(WHO, run("Succeeded", "Succeeded", http_status=200))
    assert value(metrics, "cronix_run_duplicates_total", **APP) == 1
    assert value(metrics, "cronix_runs_total", **SYNC, outcome="Succeeded") == 1


def test_a_pod_that_was_replaced_before_an_answer_is_no_duplicate() -> None:
    metrics = met()
    metrics.ran(WHO, run("Interrupted", "Succeeded", http_status=200))
    assert value(metrics, "cronix_run_duplicates_total", **APP) == 0


def test_a_job_starts_at_zero_so_that_its_first_run_is_an_increase() -> None:
    metrics = met()
    metrics.began(WHO, ORIGIN, Totals())
    there(metrics, "sync")
    for word in ("Succeeded", "AppRejected", "RetriesExhausted"):
        assert value(metrics, "cronix_runs_total", **SYNC, outcome=word) == 0
    for code_class in ("2xx", "4xx", "5xx", "none"):
        assert value(metrics, "cronix_http_responses_total", **APP, code_class=code_class) == 0
    assert value(metrics, "cronix_run_attempts_total", **SYNC) == 0
    metrics.ran(WHO, run("Succeeded", http_status=200))
    there(metrics, "sync")
    assert value(metrics, "cronix_runs_total", **SYNC, outcome="Succeeded") == 1


def test_the_counters_of_a_job_go_with_it() -> None:
    metrics = met()
    metrics.ran(WHO, run("AppRejected", http_status=404))
    there(metrics, "sync", "other")
    assert of_job(metrics, "sync")
    there(metrics, "other")
    assert of_job(metrics, "sync") == {}
    assert of_job(metrics, "other")


def test_a_job_that_cannot_be_changed_for_a_while_keeps_its_count() -> None:
    """The API server refuses an update: the CronJob is not in step, but it is there and fires."""
    metrics = met()
    known = [Sample("cronix_job_active_runs", (*KEY, "sync", "0"), 0)]
    metrics.watch(lambda: 0, lambda: 0.0, lambda: known)
    there(metrics, "sync")
    metrics.ran(WHO, run("Succeeded", http_status=200))
    there(metrics)
    assert value(metrics, "cronix_runs_total", **SYNC, outcome="Succeeded") == 1
    there(metrics, "sync")
    assert value(metrics, "cronix_runs_total", **SYNC, outcome="Succeeded") == 1
    known.clear()
    there(metrics)
    assert of_job(metrics, "sync") == {}


def test_a_run_that_ends_after_its_job_went_leaves_no_series_for_good() -> None:
    """Its CronJob was pruned while the news was under way."""
    metrics = met()
    there(metrics, "sync")
    there(metrics)
    assert of_job(metrics, "sync") == {}
    metrics.ran(WHO, run("Succeeded", http_status=200))
    assert of_job(metrics, "sync") == {}


def test_the_counters_of_an_app_go_with_it() -> None:
    metrics = met()
    metrics.ran(WHO, run("Succeeded", http_status=200))
    metrics.forget(KEY)
    metrics.ran(WHO, run("Succeeded", http_status=200))
    assert of_app(metrics) == set()


def test_an_app_that_comes_again_starts_at_zero() -> None:
    metrics = met()
    metrics.ran(WHO, run("Succeeded", http_status=200))
    metrics.forget(KEY)
    metrics.meet(KEY)
    metrics.began(WHO, ORIGIN, Totals())
    there(metrics, "sync")
    assert value(metrics, "cronix_runs_total", **SYNC, outcome="Succeeded") == 0


def test_without_series_per_job_runs_are_counted_per_app() -> None:
    metrics = met(per_job=False)
    there(metrics, "sync")
    metrics.ran(WHO, run("Succeeded", http_status=200))
    nameless = dict.fromkeys(JOB_LABELS[2:], "")
    assert value(metrics, "cronix_runs_total", **APP, **nameless, outcome="Succeeded") == 1
    assert of_job(metrics, "sync") == {}
    metrics.forget(KEY)
    assert of_app(metrics) == set()


class Minutely:
    """A World with one job of each minute, and what the watches tell of its runs."""

    def __init__(self) -> None:
        self.world = World()
        self.jobs: list[Any] = []

    async def start(self) -> None:
        self.world.site.answer = served(
            {"name": "sync", "schedule": "* * * * *", "request": {"url": "http://billing/x"}}
        )
        self.world.apply()
        await self.world.walk()
        await self.watch()

    async def watch(self) -> None:
        """A watch begins with a list: the CronJob, and every Job that is there."""
        (cron_job,) = self.world.api.cron_jobs().values()
        self.world.controller.saw_cron_job(cron_job, deleted=False)
        for body in self.jobs:
            self.world.controller.runs.saw_job(body, deleted=False)
        await self.world.controller.runs.look(KEY)

    async def runs(self, number: int) -> None:
        """The run of this minute comes and goes with success; the operator learns of it if there is one."""
        (cron_job,) = self.world.api.cron_jobs().values()
        body = ended(job(number, cron_job_uid=cron_job["metadata"]["uid"]), 60 * number + 5)
        self.jobs.append(body)
        self.world.seconds = 30.0 + 60 * number + 10

    async def sees(self, number: int) -> None:
        await self.runs(number)
        self.world.controller.runs.saw_job(self.jobs[-1], deleted=False)
        await self.world.controller.runs.look(KEY)
        self.world.wait(5)
        await self.world.controller.runs.look(KEY)
        await self.world.walk()

    def succeeded(self) -> float | None:
        return value(self.world.metrics, "cronix_runs_total", **SYNC, outcome="Succeeded")


@in_loop
async def test_a_restart_counts_no_run_again_and_none_too_few() -> None:
    """Two runs are counted, the operator goes, one ends in its absence: the next process goes on with that one."""
    minutely = Minutely()
    await minutely.start()
    await minutely.sees(0)
    await minutely.sees(1)
    assert minutely.succeeded() == 2
    await minutely.world.controller.stop()
    minutely.world.restart()
    await minutely.runs(2)
    minutely.world.watch()
    await minutely.world.walk()
    await minutely.watch()
    assert minutely.succeeded() == 2, "what status says, before anything else is counted"
    minutely.world.wait(11)
    await minutely.world.controller.runs.look(KEY)
    assert minutely.succeeded() == 2, "counted, but not marked yet: the next process would count it again"
    await minutely.world.walk()
    assert minutely.succeeded() == 3
    assert value(minutely.world.metrics, "cronix_job_consecutive_failures", **SYNC) == 0


@in_loop
async def test_the_gauges_of_runs_are_as_of_the_scrape() -> None:
    """Not as of the last walk, which may be minutes ago."""
    minutely = Minutely()
    await minutely.start()
    assert value(minutely.world.metrics, "cronix_job_last_run_timestamp_seconds", **SYNC) is None
    await minutely.sees(0)
    minutely.world.wait(60)
    ended_at = SLOT.timestamp() + 5
    assert value(minutely.world.metrics, "cronix_job_last_run_timestamp_seconds", **SYNC) == ended_at
    assert value(minutely.world.metrics, "cronix_job_last_success_timestamp_seconds", **SYNC) == ended_at
    assert value(minutely.world.metrics, "cronix_job_active_runs", **SYNC) == 0
    assert value(minutely.world.metrics, "cronix_job_missed_slots", **SYNC) == 0
    created = value(minutely.world.metrics, "cronix_job_created_timestamp_seconds", **SYNC)
    assert created is not None
    assert created <= SLOT.timestamp()
