"""The operator killed at any moment while runs end: what its counters serve never goes back, and ends at the truth."""

from __future__ import annotations

import copy
import random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_operator.core.announce import Announcement
from cronix_operator.core.history import MAX_ROWS, History, Totals, recall, recall_beyond, row_of
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.events import EventRecorder
from operator_fakes.builders import NAMESPACE, at, make_app
from operator_fakes.jobs import Object, ended, pod, terminated
from operator_fakes.run_world import AFTER, NAME, POLICY, Runs, last_word
from operator_fakes.scrape import read
from operator_fakes.world import World, in_loop

COUNTERS = ("cronix_runs_total", "cronix_run_attempts_total")


def scraped(world: World) -> dict[Any, float]:
    """The counters of runs as they are served now."""
    return {key: number for key, number in read(world.metrics).items() if key[0] in COUNTERS}


class Killed:
    """A job of each minute, its runs, and an operator that does not live long."""

    def __init__(self, runs: Runs, seed: int) -> None:
        self.runs, self.world = runs, runs.world
        self.rng = random.Random(seed)
        self.there: list[Object] = []
        self.words: list[str] = []
        self.served: dict[Any, float] = {}
        self.events: list[Announcement] = []

    def one_ends(self) -> None:
        """A run, seen from its end."""
        number = len(self.words)
        word = self.rng.choice(["Succeeded", "AppRejected", "RetriesExhausted"])
        self.words.append(word)
        good, end = word == "Succeeded", 60 * number + 5
        body = self.runs.job(number)
        last = last_word(word, number, attempts=2)
        told = [ended(body, end, "" if good else POLICY), pod(body, state=terminated(0 if good else 1, last, at=end))]
        self.there += told
        self.world.seconds = max(self.world.seconds, AFTER + end)
        self.runs.saw(*told)

    async def looks(self) -> None:
        self.world.wait(1)
        await self.runs.look()

    async def walks(self) -> None:
        self.world.wait(self.rng.choice([1, 11]))
        await self.world.walk()

    async def dies_while_writing(self) -> None:
        """The server has the status, or has it not; the answer is on nobody's screen."""
        api = self.world.api
        api.fail_at, api.applied = len(api.writes) + 1, self.rng.random() < 0.5
        self.world.wait(11)
        await self.world.walk()
        api.fail_at = None
        self.scrape()
        await self.is_killed()

    async def is_killed(self) -> None:
        """And the next one begins, with a scrape at any moment."""
        self.events += self.world.events.seen
        self.world.events.seen = []
        self.world.restart()
        for step in self.rng.sample([self._app, self._cron_job, self._runs], 3):
            step()
            self.scrape()
        await self.world.walk()
        self.scrape()

    def _app(self) -> None:
        self.world.controller.saw_app(
            copy.deepcopy(self.world.api.objects["cronixapps", NAMESPACE, "billing"]), deleted=False
        )

    def _cron_job(self) -> None:
        self.runs.watch()

    def _runs(self) -> None:
        self.runs.saw(*self.rng.sample(self.there, len(self.there)))

    def scrape(self) -> None:
        """Prometheus takes a counter that has become less for one that began anew: its all would be an increase."""
        now = scraped(self.world)
        for key, number in now.items():
            assert number >= self.served.get(key, 0), "a counter went back"
        self.served |= now
        for (name, labels), number in now.items():
            if name == "cronix_runs_total":
                word = dict(labels)["outcome"]
                assert number <= self.words.count(word), "a run was counted twice"


@pytest.mark.law
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_whenever_it_is_killed_no_run_is_counted_twice_or_forgotten(seed: int) -> None:
    """Also between two scrapes, and in the middle of the write that marks a run as counted."""

    @in_loop
    async def run() -> None:
        killed = Killed(await Runs.standing(), seed)
        for _ in range(30):
            step = killed.rng.choice(["end", "end", "look", "look", "walk", "kill", "write"])
            if step == "end":
                killed.one_ends()
            else:
                await {
                    "look": killed.looks, "walk": killed.walks, "kill": killed.is_killed,
                    "write": killed.dies_while_writing,
                }[step]()  # fmt: skip
            killed.scrape()
        await killed.looks()
        killed.world.wait(11)
        await killed.world.walk()
        killed.scrape()
        served = {dict(labels).get("outcome"): number for (_, labels), number in scraped(killed.world).items()}
        attempts = served.pop(None)
        assert {word: number for word, number in served.items() if number} == {
            word: killed.words.count(word) for word in killed.words
        }
        assert attempts == 2 * len(killed.words)
        told = killed.events + killed.world.events.seen
        assert all(event.once for event in told if event.reason in {*killed.words, "Recovered"})

    run()


@in_loop
async def test_a_cron_job_whose_label_was_away_goes_on_counting_where_it_was() -> None:
    """Its series went with it. What comes back must be what status says: the next restart would be a jump."""
    runs = await Runs.standing()
    await runs.fails(0)
    await runs.world.walk()
    before = scraped(runs.world)
    await runs.fails(1)
    runs.world.controller.saw_cron_job(runs.cron_job(), deleted=True)
    runs.world.metrics.set_jobs((NAMESPACE, "billing"), ())
    assert scraped(runs.world) == {}
    runs.watch()
    await runs.look()
    assert scraped(runs.world) == before, "the second run is not in status yet"
    runs.world.wait(11)
    await runs.world.walk()
    assert sum(scraped(runs.world).values()) == sum(before.values()) + 2


@in_loop
async def test_a_cron_job_that_was_made_anew_begins_at_zero() -> None:
    runs = await Runs.standing()
    await runs.fails(0)
    await runs.world.walk()
    gone = runs.world.api.objects.pop(("cronjobs", NAMESPACE, NAME))
    runs.world.controller.saw_cron_job(gone, deleted=True)
    await runs.world.walk()
    runs.watch()
    await runs.look()
    assert set(scraped(runs.world).values()) == {0}


def test_a_cron_job_beyond_the_rows_of_status_takes_the_mark_of_the_others() -> None:
    """There is no row for its mark; all marks are written together. With few rows, one without is a new CronJob."""
    rows = [{"cronJobUID": f"u{n}", "runMark": f"2026-11-22T12:{n % 60:02}:00Z/"} for n in range(MAX_ROWS)]
    assert recall_beyond("other", rows).floor == at(0).utc.replace(hour=12, minute=59, second=0, microsecond=0)
    assert recall_beyond("other", rows[1:]).floor is None
    assert recall_beyond("other", [{**row, "runMark": "x"} for row in rows]).floor is None


def test_what_status_says_of_counts_is_believed_only_where_it_makes_sense() -> None:
    row = {
        "runCounts": {"Succeeded": 3, "AppRejected": -1, "Crashed": "x", "Nonsense": 9, "NoKey": True},
        "runAttempts": 7,
    }
    assert recall("u", row).totals == Totals({"Succeeded": 3}, 7)
    assert recall("u", {"runCounts": [1], "runAttempts": None}).totals == Totals()
    assert "runCounts" not in row_of(History("u"))


@in_loop
async def test_news_of_a_run_told_by_two_processes_is_one_event() -> None:
    """The API server refuses the second Event of a name; what may well happen twice gets another name each time."""
    names: list[str] = []

    class Api:
        async def request(self, method: str, path: str, *, body: dict[str, Any]) -> None:
            names.append(body["metadata"]["name"])

    app = make_app().subject
    for seconds in (0, 7):
        recorder = EventRecorder(cast("ApiServer", Api()), "pod")
        for event in (Announcement("Warning", "A", "run", "job-uid"), Announcement("Warning", "A", "text")):
            await recorder.post(app, event, at(seconds).utc, lambda: 0.0)
    assert names[0] == names[2]
    assert len(set(names)) == 3
