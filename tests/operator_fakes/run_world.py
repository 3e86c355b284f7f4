"""A World with one job each minute, and short words for what Kubernetes tells of its runs."""

from __future__ import annotations

import copy
from typing import Any

from operator_fakes.builders import NAMESPACE, served
from operator_fakes.jobs import SLOT, Object, ended, job, pod, running, said, terminated
from operator_fakes.world import World

# The slot of job(0) is START + 30 s.
AFTER = 30.0


KEY = (NAMESPACE, "billing")


NAME = "cronix-billing-sync-0"


POLICY = "PodFailurePolicy"


def last_word(word: str, number: int, **fields: Any) -> str:
    """What the signer of the run of this slot says at its end."""
    return said(word, run_id=f"run-{number}", scheduled_time=int(SLOT.timestamp()) + 60 * number, **fields)


def refused(number: int) -> str:
    return last_word("AppRejected", number, http_status=404, excerpt="no such job")


class Runs:
    """A World with one job each minute, and short words for what Kubernetes tells of it."""

    def __init__(self, world: World) -> None:
        self.world = world

    @classmethod
    async def standing(cls, **spec: Any) -> Runs:
        world = World()
        world.site.answer = served({"name": "sync", "schedule": "* * * * *", "request": {"url": "http://billing/x"}})
        world.apply(**spec)
        await world.walk()
        self = cls(world)
        self.watch()
        await self.look()
        world.clear_writes()
        return self

    def watch(self) -> None:
        """The watch delivers the CronJob."""
        self.world.controller.saw_cron_job(self.cron_job(), deleted=False)

    def cron_job(self) -> Object:
        return self.world.api.cron_jobs()[NAME]

    def job(self, number: int = 0, **fields: Any) -> Object:
        return job(number, cron_job_uid=self.cron_job()["metadata"]["uid"], **fields)

    def saw(self, *bodies: Object, deleted: bool = False) -> None:
        for body in bodies:
            see = self.world.controller.runs.saw_job if body["kind"] == "Job" else self.world.controller.runs.saw_pod
            see(copy.deepcopy(body), deleted=deleted)

    async def look(self) -> None:
        await self.world.controller.runs.look(KEY)

    async def to(self, seconds: float) -> None:
        """Time passes until so many seconds after the first slot."""
        self.world.seconds = AFTER + seconds
        await self.look()

    async def fails(self, number: int) -> None:
        """One whole run that the app refuses."""
        body, end = self.job(number), 60 * number + 5
        self.saw(body, pod(body, state=running(60 * number + 2)))
        done = ended(body, end, POLICY)
        self.saw(pod(body, state=terminated(1, refused(number), at=end - 1)), done)
        await self.to(end)

    async def succeeds(self, number: int) -> None:
        body, end = self.job(number), 60 * number + 5
        self.saw(
            body,
            pod(body, state=terminated(0, last_word("Succeeded", number, http_status=200), at=end - 1)),
            ended(body, end),
        )
        await self.to(end)

    def row(self) -> Object:
        (row,) = self.world.status()["jobs"]
        return dict(row)
