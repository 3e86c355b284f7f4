"""Events: few, never the same twice in ten minutes, and the memory of what was said has an end."""

from __future__ import annotations

from typing import Any, cast

from cronix_operator.core.announce import Announcement
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.events import MAX_REMEMBERED, QUIET_SECONDS, EventRecorder
from operator_fakes.builders import at, make_app
from operator_fakes.world import in_loop

APP = make_app()


class Api:
    """Counts what is posted."""

    def __init__(self) -> None:
        self.posted: list[str] = []

    async def request(self, method: str, path: str, *, body: dict[str, Any]) -> None:
        self.posted.append(body["message"])


async def say(recorder: EventRecorder, text: str, seconds: float = 0.0) -> None:
    now = at(seconds)
    await recorder.post(APP.subject, Announcement("Warning", "Word", text), now.utc, lambda: now.monotonic)


@in_loop
async def test_a_hot_loop_of_walks_posts_one_event_in_ten_minutes() -> None:
    """C8: Events live in etcd; whatever goes wrong again and again is said once, and again after the pause."""
    api = Api()
    recorder = EventRecorder(cast("ApiServer", api), "pod")
    for second in range(500):
        await say(recorder, "the same", second)
    assert api.posted == ["the same"]
    await say(recorder, "the same", QUIET_SECONDS + 1)
    assert len(api.posted) == 2


@in_loop
async def test_ever_new_messages_do_not_fill_the_memory() -> None:
    """C8: an app that words its fault anew each time costs no more than the bound."""
    recorder = EventRecorder(cast("ApiServer", Api()), "pod")
    for n in range(MAX_REMEMBERED + 500):
        await say(recorder, f"fault {n}")
    assert len(recorder._said) == MAX_REMEMBERED


@in_loop
async def test_a_long_message_is_cut() -> None:
    """C8."""
    api = Api()
    await say(EventRecorder(cast("ApiServer", api), "pod"), "x" * 100_000)
    assert len(api.posted[0]) == 1024
