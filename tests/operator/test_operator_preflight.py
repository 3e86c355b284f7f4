"""Rights are looked at before anything is watched, what is missing is told by name, and nothing is died of."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import yaml

from cronix_operator.core.errors import Waiting
from cronix_operator.core.grants import MAX_CHARS
from cronix_operator.core.rights import Right, Scope, judge, needed
from cronix_operator.edges.access import AccessReviews
from cronix_operator.edges.api import Reply
from cronix_operator.edges.health import HealthServer
from cronix_operator.life import NoLock, live
from cronix_operator.preflight import Preflight
from cronix_operator.settings import read_settings
from operator_fakes.builders import make_app
from operator_fakes.world import World, in_loop

BOTH = Scope(namespaces=("a", "b"))


def of(scope: Scope, namespace: str, resource: str = "") -> list[Right]:
    return [r for r in needed(scope) if r.namespace == namespace and resource in ("", r.resource)]


class Reviews:
    """Who may what; `looks` counts."""

    def __init__(self) -> None:
        self.denied: set[Right] = set()
        self.crd = True
        self.away = False
        self.looks = 0

    async def missing(self, rights: Iterable[Right]) -> tuple[Right, ...]:
        self.looks += 1
        if self.away:
            raise Waiting("ApiUnavailable", "the API server did not answer")
        return tuple(right for right in rights if right in self.denied)

    async def crd_served(self) -> bool:
        return self.crd


class Told:
    def __init__(self) -> None:
        self.sets: list[tuple[str, ...]] = []

    async def __call__(self, faults: tuple[str, ...]) -> None:
        self.sets.append(faults)


class Stage:
    """A preflight whose pauses are steps: before each, `script` may change the world."""

    def __init__(self, scope: Scope) -> None:
        self.reviews = Reviews()
        self.told = Told()
        self.pauses: list[float] = []
        self.script: list[Callable[[], object]] = []
        self.preflight = Preflight(scope, self.reviews, self.told, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)
        if not self.script:
            await asyncio.Event().wait()  # nothing more happens
        self.script.pop(0)()


@in_loop
async def test_with_every_right_all_namespaces_are_watched_and_nothing_is_told() -> None:
    stage = Stage(BOTH)
    assert stage.preflight.fault
    view = await stage.preflight.until_watchable()
    assert (view.watch, stage.preflight.fault, stage.told.sets) == (("a", "b"), "", [])


@in_loop
async def test_a_namespace_without_its_role_is_left_out_and_the_others_go_on() -> None:
    """Promise 7 for rights: the admin of one namespace cannot stop the operator for the others."""
    stage = Stage(BOTH)
    stage.reviews.denied = set(of(BOTH, "b"))
    view = await stage.preflight.until_watchable()
    assert view.watch == ("a",)
    ((told,),) = stage.told.sets
    assert told.startswith("the operator may not get, list, watch cronixapps.cronix.dev; ")
    assert 'get secrets in namespace "b"; CronixApps there are not looked after' in told
    assert stage.preflight.fault == told


@pytest.mark.parametrize("resource", ["cronixapps", "cronjobs", "jobs", "pods"])
@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_namespace_where_one_watch_is_refused_is_left_out(resource: str, verb: str) -> None:
    """kopf gives up as a whole where it may not watch one resource in one namespace."""
    denied = [right for right in of(BOTH, "b", resource) if right.verb == verb and not right.subresource]
    assert len(denied) == 1
    assert judge(BOTH, denied, crd_served=True).watch == ("a",)


@in_loop
async def test_a_right_that_only_some_walks_need_is_named_and_the_watch_begins() -> None:
    stage = Stage(Scope())
    stage.reviews.denied = {r for r in needed(Scope()) if r.resource in {"events", "secrets"}}
    view = await stage.preflight.until_watchable()
    assert view.watch == ("",)
    assert stage.preflight.fault == (
        "the operator may not create, patch events; get secrets in the cluster; what needs it fails and says so in the "
        "CronixApp's condition (chart: rbac)"
    )


@in_loop
async def test_without_rights_it_waits_says_it_once_and_starts_when_they_come() -> None:
    stage = Stage(Scope())
    stage.reviews.denied = set(needed(Scope()))
    stage.script = [lambda: None, lambda: None, stage.reviews.denied.clear]
    view = await stage.preflight.until_watchable()
    assert view.watch == ("",)
    assert [len(faults) for faults in stage.told.sets] == [1, 0], "once that they are missing, once that they are there"
    assert stage.pauses == [10.0, 10.0, 10.0]


@in_loop
async def test_without_the_crd_it_waits_and_says_what_to_install() -> None:
    stage = Stage(Scope())
    stage.reviews.crd = False
    stage.script = [lambda: setattr(stage.reviews, "crd", True)]
    await stage.preflight.until_watchable()
    ((told,), none) = stage.told.sets
    assert "CRD cronixapps.cronix.dev" in told
    assert "crds.install" in told
    assert none == ()


@in_loop
async def test_an_api_server_that_is_away_changes_no_verdict() -> None:
    stage = Stage(BOTH)
    await stage.preflight.until_watchable()
    stage.script = [lambda: setattr(stage.reviews, "away", True), lambda: None]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stage.preflight.until_changed(("a", "b")), 0.2)
    assert (stage.preflight.fault, stage.told.sets) == ("", [])


@in_loop
async def test_rights_that_are_gone_for_one_look_only_do_not_end_the_watch() -> None:
    """An API server that has just started may not know every role yet."""
    stage = Stage(BOTH)
    await stage.preflight.until_watchable()
    lost = lambda: stage.reviews.denied.update(of(BOTH, "b"))  # noqa: E731  # a step of the script
    stage.script = [lost, stage.reviews.denied.clear, lost, lambda: None]
    await asyncio.wait_for(stage.preflight.until_changed(("a", "b")), 5)
    assert stage.script == [], "the first loss was not believed, the second, seen twice, was"


@in_loop
async def test_many_namespaces_are_asked_about_less_often() -> None:
    scope = Scope(namespaces=tuple(f"n{i}" for i in range(200)))
    stage = Stage(scope)
    stage.script = [lambda: None]
    await stage.preflight.until_watchable()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stage.preflight.until_changed(scope.namespaces), 0.2)
    assert stage.pauses[0] >= len(needed(scope)) / 4


@in_loop
async def test_serving_begins_anew_with_what_can_be_watched_then() -> None:
    stage = Stage(BOTH)
    stage.reviews.denied = set(of(BOTH, "b"))
    stage.script = [stage.reviews.denied.clear, lambda: None]
    served: list[tuple[str, ...]] = []

    async def serve(namespaces: tuple[str, ...], stop: asyncio.Event) -> bool:
        served.append(namespaces)
        if len(served) == 2:
            return False  # SIGTERM
        await stop.wait()
        return True

    await asyncio.wait_for(live(stage.preflight, NoLock(), serve), 5)
    assert served == [("a",), ("a", "b")]
    assert len(asyncio.all_tasks()) == 1, "nothing is left running"


@in_loop
async def test_a_failure_while_serving_ends_the_process_with_its_reason() -> None:
    async def serve(namespaces: tuple[str, ...], stop: asyncio.Event) -> bool:
        raise RuntimeError("the watcher died")

    with pytest.raises(RuntimeError, match="the watcher died"):
        await live(Stage(BOTH).preflight, NoLock(), serve)


class Lock:
    """Somebody else takes the lease from the first stretch of serving; keeps a diary."""

    def __init__(self) -> None:
        self.diary: list[str] = []

    def fence(self) -> None:
        pass

    async def until_won(self) -> None:
        self.diary.append("won")

    async def until_lost(self) -> None:
        if self.diary.count("won") > 1:
            await asyncio.Event().wait()

    async def release(self) -> None:
        self.diary.append("released")


@in_loop
async def test_who_loses_the_lease_stops_serving_and_stands_by_again() -> None:
    """Given back only after serving has ended: the next holder meets no write of ours."""
    lock = Lock()

    async def serve(namespaces: tuple[str, ...], stop: asyncio.Event) -> bool:
        if lock.diary.count("won") == 2:
            return False  # SIGTERM
        await stop.wait()
        lock.diary.append("stopped")
        return True

    await asyncio.wait_for(live(Stage(BOTH).preflight, lock, serve), 5)
    assert lock.diary == ["won", "stopped", "released", "won", "released"]


def test_leases_are_needed_only_with_an_election_and_then_they_are_vital() -> None:
    assert not [r for r in needed(Scope()) if r.resource == "leases"]
    scope = Scope(lease=("home", "cronix"))
    leases = [r for r in needed(scope) if r.resource == "leases"]
    assert {(r.verb, r.name, r.namespace) for r in leases} == {
        ("create", "", "home"), ("get", "cronix", "home"), ("update", "cronix", "home"),
    }  # fmt: skip
    view = judge(scope, leases[1:], crd_served=True)
    assert view.watch == ()
    assert 'get, update leases.coordination.k8s.io "cronix" in namespace "home"' in view.faults[0]


@pytest.mark.parametrize(
    ("env", "places"),
    [
        ({}, {""}),
        ({"CRONIX_WATCH_NAMESPACES": "a,b"}, {"a", "b"}),
        ({"CRONIX_SECRETS_MODE": "namespaces", "CRONIX_SECRETS_NAMESPACES": "a"}, {"a"}),
        ({"CRONIX_SECRETS_MODE": "namespaces", "CRONIX_WATCH_NAMESPACES": "a,b"}, {"a", "b"}),
        ({"CRONIX_SECRETS_MODE": "none"}, set()),
    ],
)
def test_secrets_are_asked_for_where_the_chart_grants_them(env: dict[str, str], places: set[str]) -> None:
    scope = read_settings({"CRONIX_SIGNER_IMAGE": "x", **env}).scope
    assert {r.namespace for r in needed(scope) if r.resource == "secrets"} == places


@pytest.mark.parametrize(
    ("env", "places"),
    [
        ({}, set()),
        ({"CRONIX_WRITES_SUCCESSES": "true"}, {""}),
        ({"CRONIX_WRITES_SUCCESSES": "true", "CRONIX_WATCH_NAMESPACES": "a,b"}, {"a", "b"}),
    ],
)
def test_writing_config_maps_is_asked_for_where_the_chart_grants_it(env: dict[str, str], places: set[str]) -> None:
    scope = read_settings({"CRONIX_SIGNER_IMAGE": "x", **env}).scope
    written = [r for r in needed(scope) if r.resource == "configmaps" and r.verb != "get"]
    assert {r.namespace for r in written} == places
    assert {r.verb for r in written} == ({"create", "update", "delete"} if places else set())


class Speaks:
    """An API server that knows reviews only."""

    def __init__(self, status: int = 201, *, allowed: bool = True) -> None:
        self.status, self.allowed = status, allowed
        self.bodies: list[Any] = []

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> Reply:
        self.bodies.append(body)
        return Reply(self.status, {"status": {"allowed": self.allowed}, "resources": [{"name": "cronixapps"}]})


@in_loop
async def test_one_review_names_one_right() -> None:
    api = Speaks(allowed=False)
    right = Right("shop", "batch", "cronjobs", "patch", "status")
    assert await AccessReviews(api).missing([right]) == (right,)  # type: ignore[arg-type]  # a stand-in
    assert api.bodies[0]["spec"] == {
        "resourceAttributes": {
            "namespace": "shop", "group": "batch", "resource": "cronjobs", "subresource": "status", "verb": "patch"
        }
    }  # fmt: skip


@in_loop
async def test_an_api_server_in_trouble_is_no_missing_right() -> None:
    reviews = AccessReviews(Speaks(500))  # type: ignore[arg-type]  # a stand-in
    with pytest.raises(Waiting):
        await reviews.missing([Right("shop", "", "pods", "list")])
    with pytest.raises(Waiting):
        await reviews.crd_served()
    assert not await AccessReviews(Speaks(404)).crd_served()  # type: ignore[arg-type]  # a stand-in
    assert await AccessReviews(Speaks(200)).crd_served()  # type: ignore[arg-type]  # a stand-in


def printed(message: str) -> list[Any]:
    """The documents of the command in a message."""
    found = re.search(r"kubectl apply -f - <<'EOF'\n(.*)\nEOF$", message, re.DOTALL)
    assert found is not None, message
    return list(yaml.safe_load_all(found[1]))


@in_loop
async def test_a_forbidden_secret_comes_with_the_role_that_opens_all_the_app_names() -> None:
    """One command is enough, however many Secrets there are, and nothing else is opened by it."""
    world = World()
    handle = world.api._handle
    world.api._handle = lambda method, path, body: (  # type: ignore[method-assign]  # the server's refusal
        Reply(403, {"message": "no"}) if "/secrets/" in path else handle(method, path, body)
    )
    world.apply(
        connection={"headers": [{"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "tok", "key": "t"}}}]}
    )
    await world.walk()
    ready = world.condition("Ready")
    assert ready["reason"] == "Forbidden"
    role, binding = printed(ready["message"])
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["keys", "tok"]}
    ]
    assert role["metadata"] == binding["metadata"] == {"name": "cronix-billing-secrets", "namespace": "shop"}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "cronix-operator", "namespace": "cronix-system"}]


def test_a_role_that_would_not_fit_into_a_condition_is_not_cut_in_half() -> None:
    from cronix_operator.core.grants import grant

    keys = [{"name": f"k{i}", "secretKeyRef": {"name": f"{i}" + "s" * 200, "key": "k"}} for i in range(8)]
    text = grant(make_app(signing={"keys": keys}), "secrets", "x", "home:account")
    assert len(text) <= MAX_CHARS
    assert "all that are there" in text
    assert "resourceNames" not in printed(text)[0]["rules"][0]


def get(port: int, path: str, timeout_seconds: float = 10) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout_seconds) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@in_loop
async def test_health_tells_missing_rights_from_a_loop_that_stands_still() -> None:
    """A restart cures only the second: what is missing makes the pod not ready, and alive all the same."""
    state = {"ill": "", "unready": ""}
    port = free_port()
    server = HealthServer(port, lambda: state["ill"], lambda: state["unready"])
    await server.start()

    async def both() -> tuple[tuple[int, str], tuple[int, str]]:
        return await asyncio.to_thread(get, port, "/healthz"), await asyncio.to_thread(get, port, "/readyz")

    try:
        assert await both() == ((200, "ok\n"), (200, "ok\n"))
        state["unready"] = "the operator may not list pods"
        assert await both() == ((200, "ok\n"), (503, "the operator may not list pods\n"))
        state["ill"] = "the work loop has not turned for 30 s"
        assert await both() == ((503, state["ill"] + "\n"), (503, state["ill"] + "\n"))
    finally:
        await server.stop()


BLOCKED = """
import asyncio, signal, sys, time
from cronix_operator.edges.api import Reply
from cronix_operator.edges.health import HealthServer

async def main(port):
    server = HealthServer(port, lambda: "", lambda: "")
    await server.start()
    def block():
        print("blocked", flush=True)
        time.sleep(600)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, block)
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.fixture
def blockable() -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKED, str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield process, port
    process.kill()
    process.communicate()


def test_a_blocked_event_loop_fails_the_liveness_probe(blockable: tuple[subprocess.Popen[str], int]) -> None:
    """The probe is answered by the loop it is about, in a process of its own: blocked, it gives no answer at all."""
    process, port = blockable
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert get(port, "/healthz") == (200, "ok\n")
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == "blocked\n"
    with pytest.raises(TimeoutError):
        get(port, "/healthz", timeout_seconds=1)
