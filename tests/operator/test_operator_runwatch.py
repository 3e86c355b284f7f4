"""News of runs through the real controller: what is counted, told and written, and when; over a restart, too."""

from __future__ import annotations

import copy
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronix_operator.runbook import MAX_JOBS_PER_CRON_JOB
from cronix_operator.tenants import STARTS_WAIT_SECONDS, STATUS_COALESCE_SECONDS
from operator_fakes.builders import NAMESPACE
from operator_fakes.jobs import Object, ended, job, pod, running, terminated, waiting, when
from operator_fakes.run_world import AFTER, NAME, POLICY, Runs, last_word, refused
from operator_fakes.world import GONE, in_loop


@in_loop
async def test_a_failed_run_is_counted_told_and_shown() -> None:
    runs = await Runs.standing()
    await runs.fails(0)
    assert [run.outcome for run in runs.world.ended] == ["AppRejected"]
    (event,) = runs.world.events.seen[1:]
    assert (event.type, event.reason) == ("Warning", "AppRejected")
    assert "sync/0: AppRejected, HTTP 404 (slot 2026-11-22T12:01:00Z" in event.message
    assert 'The app said: "no such job"' in event.message
    assert runs.world.due_in() == 0, "nothing was written for ten seconds: the row is due at once"
    await runs.world.walk()
    row = runs.row()
    assert (row["lastRun"]["outcome"], row["lastRun"]["httpStatus"], row["consecutiveFailures"]) == (
        "AppRejected",
        404,
        1,
    )
    status = runs.world.status()
    assert status["summary"]["failing"] == 1
    assert status["lastFailure"]["job"] == "sync/0"
    assert runs.world.condition("Ready")["status"] == "True", "a failing run does not change Ready"


@in_loop
async def test_what_only_a_start_moved_waits_and_does_not_hold_up_the_end() -> None:
    """One write for both, at the run's end: with it come the counters, which people wait for more than for a start."""
    runs = await Runs.standing()
    world, body = runs.world, runs.job(0)
    await runs.to(0)
    runs.saw(body, pod(body, state=running(2)))
    await runs.to(2)
    assert world.due_in() == STARTS_WAIT_SECONDS
    last = pod(body, state=terminated(1, refused(0), at=7))
    runs.saw(last, ended(body, 7, POLICY))
    await runs.to(8)
    assert world.due_in() == 0
    await world.walk()
    assert [run.outcome for run in world.ended] == ["AppRejected"]
    assert len(world.writes("cronixapps")) == 1
    await runs.look()
    assert world.due_in() > STATUS_COALESCE_SECONDS, "nothing more is to be written"


@in_loop
async def test_a_walk_during_a_run_does_not_spend_the_write_of_its_end() -> None:
    """The manifest is read every few minutes, whatever runs do."""
    runs = await Runs.standing()
    world, body = runs.world, runs.job(0)
    for number, due in enumerate((STARTS_WAIT_SECONDS, STARTS_WAIT_SECONDS - 3)):
        runs.saw(body, pod(body, state=running(2)))
        await runs.to(2 + 3 * number)
        await world.walk()
        assert (world.writes("cronixapps"), world.due_in()) == ([], due)
    runs.saw(pod(body, state=terminated(1, refused(0), at=7)), ended(body, 7, POLICY))
    await runs.to(8)
    await world.walk()
    assert len(world.writes("cronixapps")) == 1
    runs.saw(runs.job(1))
    await runs.to(60)
    await world.walk()
    assert world.due_in() == STARTS_WAIT_SECONDS, "the next start waits as long, not less"


@in_loop
async def test_the_row_of_a_run_that_goes_on_does_not_wait_for_its_end() -> None:
    runs = await Runs.standing()
    body = runs.job(0)
    await runs.to(0)
    runs.saw(body, pod(body, state=running(2)))
    await runs.to(2)
    assert await runs.world.until_due() == STARTS_WAIT_SECONDS < 15
    assert runs.row()["activeRun"]["jobName"] == body["metadata"]["name"]
    assert runs.world.status()["summary"]["active"] == 1


@in_loop
async def test_ends_in_one_moment_are_one_write_and_the_next_comes_ten_seconds_later() -> None:
    """C8: at most one write in ten seconds, however many runs there are."""
    runs = await Runs.standing()
    world, writes = runs.world, list[float]()
    for second in range(60):
        if second % 3 == 0:
            body = runs.job(second, name=f"burst-{second}")
            runs.saw(ended(body, second, POLICY), pod(body, state=terminated(1, refused(0), at=second)))
        await runs.to(second)
        if world.due_in() <= 0:
            await world.walk()
        if len(world.writes("cronixapps")) > len(writes):
            writes.append(world.seconds)
    assert {later - earlier for earlier, later in itertools.pairwise(writes)} == {STATUS_COALESCE_SECONDS}
    assert len(writes) == 6


@in_loop
async def test_a_restart_counts_no_run_twice_and_forgets_none() -> None:
    """Also the run that ended while nobody looked."""
    runs = await Runs.standing()
    await runs.fails(0)
    await runs.fails(1)
    await runs.world.walk()
    world = runs.world
    before = world.status()
    world.restart()
    world.watch()
    runs.watch()
    for number in range(3):
        body = runs.job(number)
        done = ended(body, 60 * number + 5, POLICY)
        runs.saw(done, pod(body, state=terminated(1, refused(number), at=60 * number + 4)))
    await runs.to(200)
    assert [run.slot.minute for run in world.ended if run.slot] == [1, 2, 3]
    await world.walk()
    assert runs.row()["consecutiveFailures"] == 3
    assert before["jobs"][0]["consecutiveFailures"] == 2


@in_loop
async def test_a_restart_before_any_news_writes_nothing() -> None:
    """Promise 4: the rows speak of runs as they did, whichever watch comes first."""
    runs = await Runs.standing()
    await runs.fails(0)
    await runs.world.walk()
    runs.world.restart()
    runs.world.clear_writes()
    runs.world.watch()
    await runs.world.walk()
    runs.watch()
    await runs.look()
    await runs.world.walk()
    assert runs.world.writes() == []


@in_loop
async def test_the_last_write_of_a_process_marks_what_it_counted() -> None:
    """A run counted a second before SIGTERM is not counted by the next process."""
    runs = await Runs.standing()
    await runs.fails(0)
    await runs.world.walk()
    runs.world.clear_writes()
    await runs.fails(1)
    await runs.world.controller.stop()
    assert runs.row()["consecutiveFailures"] == 2
    assert len(runs.world.writes("cronixapps")) == 1


@in_loop
async def test_the_last_write_of_a_process_takes_nothing_away() -> None:
    """Promise 4: without news SIGTERM costs no write, and with news the next run, the keys and all else stay told."""
    runs = await Runs.standing()
    await runs.fails(0)
    await runs.world.walk()
    before = runs.world.status()
    runs.world.clear_writes()
    await runs.world.controller.stop()
    assert runs.world.writes() == []
    await runs.fails(1)
    await runs.world.controller.stop()
    after = runs.world.status()
    assert "nextRun" in before
    assert {field: after.get(field) for field in before.keys() - {"jobs", "summary", "lastFailure"}} == {
        field: value for field, value in before.items() if field not in {"jobs", "summary", "lastFailure"}
    }


@in_loop
async def test_a_replaced_run_is_superseded_and_its_trouble_goes_with_it() -> None:
    """Replace deletes the Job of a pod that never starts: Kubernetes itself keeps no trace of it."""
    runs = await Runs.standing()
    runs.world.api.touch("cronjobs", NAMESPACE, NAME, lambda body: body["spec"].update(concurrencyPolicy="Replace"))
    runs.watch()
    body = runs.job(0)
    runs.saw(body, pod(body, state=waiting("ImagePullBackOff")))
    await runs.to(10)
    runs.saw(body, deleted=True)
    runs.saw(runs.job(1))
    await runs.to(61)
    (run,) = runs.world.ended
    assert run.outcome == "Superseded"
    await runs.world.walk()
    assert runs.world.condition("RunStuck") == {}
    assert runs.row()["lastRun"]["outcome"] == "Superseded"


@in_loop
async def test_what_kept_a_pod_from_starting_is_still_told_when_its_job_is_given_up() -> None:
    """Job deadline, pod deleted: its last state has no reason any more."""
    runs = await Runs.standing()
    body = runs.job(0)
    runs.saw(body, pod(body, state=waiting("ErrImagePull", "no such tag")))
    dying = pod(body, state=waiting("ContainerCreating"))
    dying["metadata"]["deletionTimestamp"] = when(700)
    runs.saw(dying, pod(body, phase="Failed"), deleted=True)
    runs.saw(ended(body, 700, "DeadlineExceeded", "Job was active longer than specified deadline"))
    await runs.to(700)
    await runs.to(704)
    assert [(run.outcome, run.message) for run in runs.world.ended] == [("NeverStarted", "ErrImagePull: no such tag")]


@in_loop
async def test_a_job_s_end_waits_a_moment_for_its_pod_s_last_word() -> None:
    """They come by two watches."""
    runs = await Runs.standing()
    body = runs.job(0)
    await runs.to(5)
    runs.saw(ended(body, 5, POLICY))
    await runs.look()
    assert runs.world.ended == []
    runs.saw(pod(body, state=terminated(1, refused(0), at=4)))
    await runs.to(6)
    assert [run.http_status for run in runs.world.ended] == [404]
    await runs.to(65)
    runs.saw(ended(runs.job(1), 65, POLICY))
    await runs.to(69)
    assert runs.world.ended[-1].outcome == "NeverStarted", "after three seconds it is told as it is"


@in_loop
async def test_a_job_whose_end_is_seen_with_its_deletion_is_counted_at_once() -> None:
    """failedJobsHistoryLimit and ttlSecondsAfterFinished may take a Job within a second."""
    runs = await Runs.standing()
    await runs.to(5)
    runs.saw(ended(runs.job(0), 5, POLICY), deleted=True)
    await runs.look()
    await runs.to(60)
    assert len(runs.world.ended) == 1


@in_loop
async def test_missed_slots_are_counted_while_the_controller_stands_still() -> None:
    runs = await Runs.standing(jobDefaults={"startingDeadlineSeconds": 10})
    runs.world.api.touch(
        "cronjobs", NAMESPACE, NAME, lambda body: body.update(status={"lastScheduleTime": "2026-11-22T12:01:00Z"})
    )
    await runs.to(1)
    runs.watch()
    await runs.to(60)
    assert runs.world.events.seen[1:] == []
    await runs.to(74)
    (event,) = runs.world.events.seen[1:]
    assert (event.reason, "2026-11-22T12:02:00Z" in event.message) == ("SlotMissed", True)
    await runs.world.walk()
    assert (runs.row()["missedSlots"], runs.row()["lastMissedSlot"]) == (1, "2026-11-22T12:02:00Z")


@in_loop
async def test_what_another_controls_is_never_counted() -> None:
    """T5: our labels, our names, and even the name of our CronJob, but another UID or a copy under another name."""
    runs = await Runs.standing()
    foreign = job(0, cron_job_uid="somebody-else")
    runs.saw(ended(foreign, 5, POLICY), pod(foreign, state=terminated(1, refused(0))))
    theirs = copy.deepcopy(runs.cron_job())
    theirs["metadata"] |= {"name": "copy-of-it", "uid": "copy"}
    runs.world.controller.saw_cron_job(theirs, deleted=False)
    copied = job(1, cron_job_uid="copy")
    runs.saw(ended(copied, 65, POLICY), pod(copied, state=terminated(1, refused(0))))
    elsewhere = runs.job(2)
    elsewhere["metadata"]["namespace"] = "another"
    runs.saw(ended(elsewhere, 125, POLICY))
    await runs.to(200)
    assert runs.world.ended == []


@in_loop
async def test_a_job_that_went_in_a_gap_of_the_watch_is_over() -> None:
    """Nobody knows what it was like at its end; without this the run would be under way for ever."""
    runs = await Runs.standing()
    body = runs.job(0)
    runs.saw(body, pod(body, state=running()))
    await runs.to(5)
    await runs.world.until_due()
    assert runs.row()["activeRun"]["jobName"] == body["metadata"]["name"]
    runs.world.controller.runs.job_went(NAMESPACE, body["metadata"]["name"], body["metadata"]["uid"])
    await runs.to(10)
    await runs.to(60)
    assert [run.outcome for run in runs.world.ended] == ["Removed"]
    await runs.world.walk()
    assert "activeRun" not in runs.row()


@in_loop
async def test_a_job_that_had_ended_and_went_in_a_gap_of_the_watch_is_counted_once() -> None:
    runs = await Runs.standing()
    await runs.succeeds(0)
    meta = runs.job(0)["metadata"]
    runs.world.controller.runs.job_went(NAMESPACE, meta["name"], meta["uid"])
    await runs.to(60)
    runs.world.controller.runs.job_went(NAMESPACE, meta["name"], meta["uid"])
    await runs.to(120)
    assert [run.outcome for run in runs.world.ended] == ["Succeeded"]


@in_loop
async def test_a_cron_job_that_went_in_a_gap_of_the_watch_is_made_anew() -> None:
    """K6: all that is known of it is which one it was."""
    runs = await Runs.standing()
    meta = runs.cron_job()["metadata"]
    await runs.world.walk()
    del runs.world.api.objects["cronjobs", NAMESPACE, NAME]
    assert runs.world.due_in() > 0
    runs.world.controller.cron_job_went(NAMESPACE, NAME, meta["uid"])
    assert runs.world.due_in() == 0
    await runs.world.walk()
    assert runs.cron_job()["metadata"]["uid"] != meta["uid"]
    await runs.look()
    assert list(runs.world.controller.run_samples()) == [], "the new one is not met yet, the old one is forgotten"


@in_loop
async def test_what_is_gone_is_forgotten() -> None:
    """Memory: a job each minute for a week, with the history limits of Kubernetes; and a flood of Jobs."""
    runs = await Runs.standing()
    book = runs.world.controller.runs._book
    for number in range(500):
        await runs.fails(number)
        if number >= 3:
            gone = ended(runs.job(number - 3), 60 * (number - 3) + 5, POLICY)
            runs.saw(gone, deleted=True)
            runs.saw(pod(gone, state=terminated(1, refused(0))), deleted=True)
    await runs.look()
    (jobs,) = book._jobs.values()
    (log,) = book._logs.values()
    assert (len(jobs), len(book._parents), len(book._orphan_pods)) == (3, 3, 0)
    assert len(log.history.counted) == 3
    for number in range(2 * MAX_JOBS_PER_CRON_JOB):
        runs.saw(runs.job(0, name=f"flood-{number}"))
    assert len(jobs) == len(book._parents) == MAX_JOBS_PER_CRON_JOB
    runs.world.controller.saw_app(runs.world.api.objects["cronixapps", NAMESPACE, "billing"], deleted=True)
    assert (book._jobs, book._logs, book._owned, book._parents) == ({}, {}, {}, {})


@in_loop
async def test_a_walk_that_gets_nowhere_still_shows_the_runs() -> None:
    """After a restart with the app away and a CronJob edited, the manifest is unknown; runs go on all the same."""
    runs = await Runs.standing()
    world = runs.world
    nexts = world.status()["nextRun"]
    world.site.answer = GONE
    world.api.touch("cronjobs", NAMESPACE, NAME, lambda body: _job_file(body).update(value="{}"))
    world.restart()
    world.watch()
    runs.watch()
    await runs.fails(0)
    await world.walk()
    assert world.condition("Ready")["reason"] == "FetchFailed"
    assert runs.row()["lastRun"]["outcome"] == "AppRejected"
    assert world.status()["summary"]["failing"] == 1
    assert world.status()["nextRun"] == nexts


def _job_file(cron_job: Object) -> Object:
    env: list[Object] = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"]
    return env[0]


@pytest.mark.law
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 20))
def test_any_order_of_events_gives_the_same_history(seed: int, restart_after: int) -> None:
    """Jobs, pods and the CronJob come by three watches, each in its own order; a restart replays what is there."""

    @in_loop
    async def run() -> None:
        rng = random.Random(seed)
        runs = await Runs.standing()
        world = runs.world
        threads: list[list[Object]] = []
        words = [rng.choice(["Succeeded", "AppRejected", "RetriesExhausted"]) for _ in range(6)]
        for number, word in enumerate(words):
            body, end, good = runs.job(number), 60 * number + 5, word == "Succeeded"
            last = pod(body, state=terminated(0 if good else 1, last_word(word, number), at=end - 1))
            threads += [[body, ended(body, end, "" if good else POLICY)], [pod(body, state=running(end - 3)), last]]
        world.seconds = AFTER + 400
        for count in itertools.count():
            going = [thread for thread in threads if thread[1:]]
            if not going:
                break
            thread = rng.choice(going)
            runs.saw(thread[0])
            del thread[0]
            if rng.random() < 0.3:
                await runs.look()
            if count == restart_after:
                await world.walk()
                world.restart()
                world.watch()
                runs.watch()
                runs.saw(*(thread[0] for thread in rng.sample(threads, len(threads))))
        runs.saw(*(thread[0] for thread in rng.sample(threads, len(threads))))
        await runs.to(401)
        await world.walk()
        assert sorted(run.job_name for run in world.ended) == [thread[0]["metadata"]["name"] for thread in threads[::2]]
        trailing = len(words) if "Succeeded" not in words else words[::-1].index("Succeeded")
        assert runs.row().get("consecutiveFailures", 0) == trailing
        assert runs.row()["lastRun"]["outcome"] == words[-1]

    run()
