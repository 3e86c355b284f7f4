"""ETag and 304: what has not changed is not sent again, a hostile ETag is not sent back, no removal hangs on a 304."""

from __future__ import annotations

import base64

import pytest

from cronix_operator.core.conditional import usable_etag
from cronix_operator.core.errors import Waiting
from cronix_operator.core.model import App, Endpoint, Fetched, KeyMaterial, SecretKey, SigningKey
from cronix_operator.core.prune import CONFIRM_SECONDS
from cronix_operator.edges.source import HttpSource
from operator_fakes.builders import NAMESPACE, make_app, served
from operator_fakes.hostile import Handler, HostileServer, answers, says, serving
from operator_fakes.world import GONE, KEY, RANDOM_KEY, Site, World, in_loop

HOST = "billing.example.com"
APP = make_app(source={"url": f"http://{HOST}"}, allowInsecureHTTP=True)
MATERIAL = KeyMaterial(((SigningKey("current", SecretKey("keys", "current")), KEY),))
GOOD = '"v1"'


async def ask(handler: Handler, etag: str | None = None) -> tuple[Fetched, HostileServer]:
    async def loopback(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    source = HttpSource(resolver=loopback, is_forbidden=lambda address: False)
    async with serving(handler) as server:
        fetched = await source.fetch(APP, Endpoint(f"http://{HOST}:{server.port}/"), MATERIAL, 1_763_812_800, etag)
    return fetched, server


@in_loop
async def test_an_etag_is_kept_and_sent_back_as_it_came() -> None:
    fetched, server = await ask(answers(200, b"{}", ETag=GOOD))
    assert fetched == Fetched(b"{}", GOOD)
    assert b"if-none-match" not in server.requests[0].lower()

    fetched, server = await ask(answers(304, ETag=f"W/{GOOD}"), GOOD)
    assert fetched == Fetched(None, GOOD)
    assert b'\r\nif-none-match: "v1"\r\n' in server.requests[0].lower()

    fetched, _ = await ask(answers(200, b"{}", ETag='"v2"'), GOOD)
    assert fetched == Fetched(b"{}", '"v2"')


HOSTILE = {
    "huge": '"' + "x" * 5000 + '"',
    "a little too long": '"' + "x" * 251 + '"',
    "without quotes": "v1",
    "with a quote inside": '"a"b"',
    "beyond ASCII": '"\xe4"',
    "with a tab": '"a\tb"',
    "with a blank": '"a b"',
    "empty": "",
    "nothing in quotes": '""',
    "two": '"a", "b"',
}


@pytest.mark.parametrize("etag", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_etag_is_not_sent_back(etag: str) -> None:
    """J1, C6: the manifest counts, its ETag does not; it is neither stored nor put into a request."""

    @in_loop
    async def run() -> None:
        fetched, _ = await ask(answers(200, b"{}", ETag=etag))
        assert fetched == Fetched(b"{}", None)

    run()


@pytest.mark.parametrize("etag", ['"a\r\nX-Evil: 1"', '"a\n"', '"a"\n', '"\x00"', '"\x7f"', None])
def test_no_line_end_or_control_character_passes(etag: str | None) -> None:
    """C6: even if an HTTP library let it through."""
    assert usable_etag(etag) is None


@in_loop
async def test_a_folded_etag_smuggles_no_header() -> None:
    """C6: obs-fold, the one way to get a line end into a header's value."""
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "a\r\n X-Evil: 1"\r\n\r\n{}'
    fetched, _ = await ask(says(head))
    assert fetched == Fetched(b"{}", None)


@pytest.mark.parametrize(
    ("sent", "answered"), [(None, GOOD), (None, None), (GOOD, '"v2"')], ids=["unasked", "bare", "for another"]
)
def test_a_304_to_a_question_that_was_not_asked_is_a_fault(sent: str | None, answered: str | None) -> None:
    """K4: nothing good is known that it could stand for."""

    @in_loop
    async def run() -> None:
        handler = answers(304) if answered is None else answers(304, ETag=answered)
        with pytest.raises(Waiting, match="not asked; see what caches") as caught:
            await ask(handler, sent)
        assert caught.value.reason == "FetchFailed"

    run()


async def started(etag: str | None = GOOD, *jobs: str) -> World:
    world = World()
    world.site.answer, world.site.etag = served(*(jobs or ("sync",))), etag
    world.apply()
    await world.walk()
    assert world.condition("Ready")["status"] == "True"
    return world


@in_loop
async def test_a_304_is_a_good_fetch_of_the_last_good_manifest_and_costs_no_write() -> None:
    """Promise 4; and drift is repaired by the same walk."""
    world = await started()
    assert world.status()["manifest"]["etag"] == GOOD
    world.clear_writes()
    for _ in range(3):
        await world.until_due()
    assert world.site.compared == [None, GOOD, GOOD, GOOD]
    assert world.writes() == []

    world.api.objects.pop(("cronjobs", "shop", "cronix-billing-sync-0"))
    await world.until_due()
    assert world.site.compared[-1:] == [GOOD]
    assert world.names() == {"cronix-billing-sync-0"}
    assert world.status()["consecutiveFailures"] == 0


@in_loop
async def test_a_new_manifest_comes_with_its_own_etag() -> None:
    world = await started()
    world.site.answer, world.site.etag = served("sync", "other"), '"v2"'
    await world.until_due()
    await world.until_due()
    assert world.site.compared == [None, GOOD, '"v2"']
    assert world.status()["manifest"]["etag"] == '"v2"'

    world.site.answer, world.site.etag = served("sync"), None
    await world.until_due()
    await world.until_due()
    assert world.site.compared[-1:] == [None]
    assert "etag" not in world.status()["manifest"]


@in_loop
async def test_an_etag_that_changes_all_the_time_costs_no_write() -> None:
    """Promise 4: some apps put the time into it."""
    world = await started()
    world.clear_writes()
    for n in range(3):
        world.site.etag = f'"v{n + 2}"'
        await world.until_due()
    assert world.writes() == []


@in_loop
async def test_the_whole_manifest_is_asked_for_when_a_person_asks_and_after_a_fault() -> None:
    """After an edit of the CronixApp, reconcile-at, a restart and a fetch that failed no cache may answer."""
    world = await started()
    world.apply(jobDefaults={"jitterSeconds": 5})
    await world.walk()
    world.apply(jobDefaults={"jitterSeconds": 5}, annotations={"cronix.dev/reconcile-at": "now"})
    await world.walk()
    assert world.site.compared == [None, None, None]

    good, world.site.answer = world.site.answer, GONE
    await world.until_due()
    world.site.answer = good
    await world.until_due()
    await world.until_due()
    assert world.site.compared[3:] == [GOOD, None, GOOD]

    world.restart()
    world.watch()
    await world.walk()
    assert world.site.compared[-1:] == [None]


@in_loop
async def test_a_304_never_confirms_a_removal() -> None:
    """K4: the second look at a shorter manifest is a full answer, whatever ETag came with the first."""
    world = await started(GOOD, "sync", "other")
    world.site.answer, world.site.etag = served("sync"), '"v2"'
    await world.until_due()
    assert world.names() == {"cronix-billing-sync-0", "cronix-billing-other-0"}
    waited = await world.until_due()
    assert waited >= CONFIRM_SECONDS
    assert world.site.compared[-1:] == [None]
    assert world.names() == {"cronix-billing-sync-0"}


@in_loop
async def test_a_cron_job_that_turns_up_while_304_is_answered_goes_after_a_full_answer() -> None:
    """Somebody creates again what had left the manifest: a 304 may begin to miss it, a full answer confirms."""
    world = await started(GOOD, "sync", "other")
    gone = world.api.objects["cronjobs", "shop", "cronix-billing-other-0"]
    world.site.answer, world.site.etag = served("sync"), '"v2"'
    await world.until_due()
    await world.until_due()
    assert len(world.names()) == 1
    await world.until_due()

    world.api.put("cronjobs", "shop", "cronix-billing-other-0", **gone)
    await world.until_due()
    assert world.site.compared[-1:] == ['"v2"']
    assert "cronix-billing-other-0" in world.names()
    await world.until_due()
    assert world.site.compared[-1:] == [None]
    assert world.names() == {"cronix-billing-sync-0"}


@in_loop
async def test_with_two_keys_there_is_no_304() -> None:
    """The answer then tells, too, which key the app accepts: what looks at the ETag only must not be believed."""
    world = World()
    secret = {
        name: base64.b64encode(text.encode()).decode() for name, text in (("current", KEY), ("previous", KEY[::-1]))
    }
    world.api.put("secrets", NAMESPACE, "keys", data=secret)
    world.site.answer, world.site.etag = served("sync"), GOOD
    world.apply()
    await world.walk()
    await world.until_due()
    assert world.site.compared == [None, None]


class Deployed(Site):
    """An app that verifies nothing, and of which another version answers from the second request on."""

    async def fetch(
        self, app: App, endpoint: Endpoint, material: KeyMaterial, timestamp: int, etag: str | None = None
    ) -> Fetched:
        self.accepts = {KEY, RANDOM_KEY}
        answered = await super().fetch(app, endpoint, material, timestamp, etag)
        self.answer, self.etag = served("new"), '"v2"' if self.etag else None
        return answered


@in_loop
async def test_what_another_request_was_answered_is_not_taken_for_the_manifest() -> None:
    """Between the fetch and the look at a random key the app changed: the next fetch still sees that it did.

    Neither the ETag nor the bytes of the later answer may stand for the manifest that came with the earlier one.
    """
    for etag in (GOOD, None):
        world = World()
        world.site = Deployed()
        world.restart()
        world.site.answer, world.site.etag = served("old"), etag
        world.apply()
        await world.walk()
        assert world.site.signed == [KEY, RANDOM_KEY]
        assert world.names() == {"cronix-billing-old-0"}
        await world.until_due()
        assert "cronix-billing-new-0" in world.names()


@in_loop
async def test_the_same_bytes_are_read_once() -> None:
    """Served again they are the manifest that is in memory; with one byte more they are read; an edit is heard, too."""
    world = World()
    world.site.answer = served("sync")
    world.apply()
    await world.walk()
    first = world.controller._tenants[NAMESPACE, "billing"].memory.good
    await world.until_due()
    again = world.controller._tenants[NAMESPACE, "billing"].memory.good
    assert first is not None
    assert again is not None
    assert again.manifest is first.manifest
    assert again.fetched_at > first.fetched_at
    world.site.answer = served("sync") + b"\n"
    await world.until_due()
    spaced = world.controller._tenants[NAMESPACE, "billing"].memory.good
    assert spaced is not None
    assert spaced.manifest is not first.manifest
    assert (spaced.digest, spaced.changed_at) == (first.digest, first.changed_at)
    world.apply(app="other")
    await world.walk()
    assert world.condition("Ready")["reason"] == "AppMismatch"
