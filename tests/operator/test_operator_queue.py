"""The queue gives each key to one worker at a time; settings say what is wrong with the environment."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from cronix_operator.settings import SettingsInvalid, read_settings
from cronix_operator.workqueue import WorkQueue
from operator_fakes.world import in_loop


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


async def ready(queue: WorkQueue[str]) -> str | None:
    """What `get` gives right now."""
    task = asyncio.create_task(queue.get())
    for _ in range(3):
        await asyncio.sleep(0)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


@in_loop
async def test_many_adds_are_one() -> None:
    queue = WorkQueue[str](Clock())
    for _ in range(5):
        queue.add("a")
    assert (len(queue), await ready(queue), await ready(queue)) == (1, "a", None)


@in_loop
async def test_a_key_is_with_one_worker_at_a_time_and_nothing_is_lost() -> None:
    queue = WorkQueue[str](Clock())
    queue.add("a")
    assert await ready(queue) == "a"
    queue.add("a")
    queue.add("b")
    assert (await ready(queue), await ready(queue)) == ("b", None)
    queue.done("a")
    assert await ready(queue) == "a"


@in_loop
async def test_a_delay_is_waited_for_and_the_earlier_time_wins() -> None:
    clock = Clock()
    queue = WorkQueue[str](clock)
    queue.add("a", 60)
    queue.add("a", 600)
    queue.add("b", 5)
    assert await ready(queue) is None
    clock.seconds += 5
    assert await ready(queue) == "b"
    clock.seconds += 55
    assert await ready(queue) == "a"
    queue.done("a")
    queue.add("a", 60)
    queue.add("a")
    assert await ready(queue) == "a"


@in_loop
async def test_the_longest_due_comes_first() -> None:
    clock = Clock()
    queue = WorkQueue[str](clock)
    queue.add("late", 2)
    queue.add("early", 1)
    clock.seconds += 9
    assert (await ready(queue), await ready(queue)) == ("early", "late")


@in_loop
async def test_a_waiting_worker_is_woken_by_an_add_and_by_a_done() -> None:
    queue = WorkQueue[str](Clock())
    first = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await asyncio.wait_for(first, 5) == "a"
    queue.add("a")
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.done("a")
    assert await asyncio.wait_for(second, 5) == "a"


@in_loop
async def test_a_real_delay_ends_by_itself() -> None:
    queue = WorkQueue[str](asyncio.get_running_loop().time)
    queue.add("a", 0.01)
    assert await asyncio.wait_for(queue.get(), 5) == "a"


@in_loop
async def test_what_is_forgotten_does_not_come() -> None:
    queue = WorkQueue[str](Clock())
    queue.add("a")
    queue.forget("a")
    queue.forget("never seen")
    assert await ready(queue) is None


ENV = {"CRONIX_SIGNER_IMAGE": "registry.example.com/signer:1"}


def test_the_environment_of_the_chart_is_read() -> None:
    found = read_settings(
        {
            **ENV,
            "CRONIX_WATCH_NAMESPACES": "a, b,c",
            "CRONIX_LOG_LEVEL": "debug",
            "CRONIX_MAX_CRONJOBS_PER_APP": "7",
            "CRONIX_RESYNC_SECONDS": "",
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        }
    )
    assert (found.watch_namespaces, found.log_level, found.max_cron_jobs_per_app) == (("a", "b", "c"), "DEBUG", 7)
    assert (found.resync_seconds, found.denied_addresses) == (600.0, frozenset({"10.96.0.1"}))


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"CRONIX_SIGNER_IMAGE": ""}, "CRONIX_SIGNER_IMAGE"),
        ({"CRONIX_LOG_FORMAT": "xml"}, "json or text"),
        ({"CRONIX_LOG_LEVEL": "loud"}, "CRONIX_LOG_LEVEL"),
        ({"CRONIX_SIGNER_IMAGE_PULL_POLICY": "always"}, "CRONIX_SIGNER_IMAGE_PULL_POLICY"),
        ({"CRONIX_WORKERS": "0"}, "from 1 to 256"),
        ({"CRONIX_WORKERS": "\u0663"}, "CRONIX_WORKERS"),
        ({"CRONIX_WORKERS": "9" * 5000}, "CRONIX_WORKERS"),
        ({"CRONIX_RESYNC_SECONDS": "1.5"}, "CRONIX_RESYNC_SECONDS"),
    ],
)
def test_a_wrong_environment_is_told_by_its_variable(env: Mapping[str, str], told: str) -> None:
    with pytest.raises(SettingsInvalid, match=told):
        read_settings({**ENV, **env})


def test_a_wrong_environment_ends_the_program_with_2_and_one_line() -> None:
    """2 is the exit code of a wrong use of a program; 1 would be that of a failure."""
    env = os.environ | {"CRONIX_SIGNER_IMAGE": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "cronix_operator"], env=env, capture_output=True, text=True, check=False
    )
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout, line[:37]) == (2, "", "cronix-operator: CRONIX_SIGNER_IMAGE ")
