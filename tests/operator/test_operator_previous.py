"""The ConfigMap of last successes, through the real controller: what it holds, when it is written, whose it may be."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronix_operator.core.model import Subject
from cronix_operator.core.previous import (
    MAX_JOBS,
    Mounted,
    config_map,
    config_map_name,
    mounts_success,
    newest_times,
    replaced,
)
from cronix_operator.core.specreader import OBJECT_NAME
from cronix_operator.edges.api import Reply
from operator_fakes.builders import NAMESPACE, desired, job, make_app, served
from operator_fakes.jobs import SLOT, ended
from operator_fakes.run_world import NAME, Runs
from operator_fakes.world import in_loop

CONFIG_MAP = "cronix-billing-previous-success"
ASKS = {"jobDefaults": {"previousSuccessTime": True}}
CONDITION = "PreviousSuccessUnknown"


def end_of(number: int) -> str:
    """When `Runs.succeeds(number)` has ended."""
    return str(int(SLOT.timestamp()) + 60 * number + 5)


def held(runs: Runs) -> dict[str, str] | None:
    """What the ConfigMap holds; None while it is not there."""
    found = runs.world.api.objects.get(("configmaps", NAMESPACE, CONFIG_MAP))
    return None if found is None else found.get("data", {})


def writes(runs: Runs) -> list[str]:
    return [method for method, _ in runs.world.writes("configmaps")]


async def switched(runs: Runs, **spec: Any) -> None:
    """The CronixApp is edited; the walk and the looks that follow."""
    runs.world.apply(**spec)
    await runs.world.walk()
    runs.watch()
    await runs.look()
    await runs.look()
    await runs.world.walk()


@in_loop
async def test_a_success_is_written_and_a_failure_moves_nothing() -> None:
    runs = await Runs.standing(**ASKS)
    assert held(runs) == {}, "a name that is taken, a right that is missing: told when it is switched on"
    await runs.succeeds(0)
    assert held(runs) == {"sync": end_of(0)}
    await runs.fails(1)
    await runs.succeeds(2)
    assert held(runs) == {"sync": end_of(2)}
    assert writes(runs) == ["PUT", "PUT"]
    await runs.world.walk()
    assert runs.world.status()["previousSuccessConfigMap"] == CONFIG_MAP
    body = runs.world.api.objects["configmaps", NAMESPACE, CONFIG_MAP]
    (owner,) = body["metadata"]["ownerReferences"]
    assert owner == runs.cron_job()["metadata"]["ownerReferences"][0]
    labels = runs.cron_job()["metadata"]["labels"]
    assert body["metadata"]["labels"].items() <= labels.items()


@in_loop
async def test_many_successes_in_ten_seconds_are_one_write() -> None:
    runs = await Runs.standing(**ASKS)
    await runs.to(20)
    for number in range(3):
        runs.saw(ended(runs.job(number), 20 + number))
        await runs.to(20 + 4 * number)
        await runs.to(24 + 4 * number)
    await runs.to(40)
    assert writes(runs) == ["PUT", "PUT"], "at the first, and ten seconds later for the others"
    assert held(runs) == {"sync": str(int(SLOT.timestamp()) + 22)}


@in_loop
async def test_nothing_new_writes_nothing_also_after_a_restart() -> None:
    runs = await Runs.standing(**ASKS)
    await runs.succeeds(0)
    await runs.world.walk()
    runs.world.clear_writes()
    await runs.to(400)
    runs.world.restart()
    runs.world.watch()
    await runs.look()
    await runs.world.walk()
    await runs.look()  # the walk has listed the CronJobs, the watch has not told of them
    runs.watch()
    await runs.to(420)
    await runs.world.walk()
    assert writes(runs) == []
    assert held(runs) == {"sync": end_of(0)}


@in_loop
async def test_a_time_survives_the_cron_job_that_somebody_deleted() -> None:
    """It is made again without any history; the job has not forgotten."""
    runs = await Runs.standing(**ASKS)
    await runs.succeeds(0)
    gone = runs.world.api.objects.pop(("cronjobs", NAMESPACE, NAME))
    runs.world.controller.saw_cron_job(gone, deleted=True)
    await runs.look()
    await runs.world.walk()
    runs.watch()
    await runs.to(60)
    assert held(runs) == {"sync": end_of(0)}


@in_loop
async def test_switched_off_it_is_removed_with_what_status_says_of_it() -> None:
    runs = await Runs.standing(**ASKS)
    await runs.succeeds(0)
    await runs.world.walk()
    runs.world.wait(20)
    await switched(runs)
    assert held(runs) is None
    assert not mounts_success(runs.cron_job())
    assert "previousSuccessConfigMap" not in runs.world.status()


@in_loop
async def test_a_process_killed_before_the_removal_leaves_it_to_the_next() -> None:
    runs = await Runs.standing(**ASKS)
    await runs.succeeds(0)
    await runs.world.walk()
    runs.world.apply()
    runs.world.restart()
    runs.world.watch()
    await runs.look()
    assert held(runs) is not None, "what is not seen yet is not gone"
    await runs.world.walk()
    runs.watch()
    await runs.look()
    assert held(runs) is None


@in_loop
async def test_what_somebody_else_holds_is_left_alone_and_told() -> None:
    """T5, in a ConfigMap's clothes; and once it is gone ours is made."""
    runs = await Runs.standing()
    runs.world.api.put("configmaps", NAMESPACE, CONFIG_MAP, data={"sync": "7"})
    await switched(runs, **ASKS)
    told = runs.world.condition(CONDITION)
    assert (told["reason"], f"kubectl delete configmap {CONFIG_MAP}" in told["message"]) == ("NameConflict", True)
    assert runs.world.condition("Ready")["status"] == "True"
    await runs.succeeds(0)
    assert (held(runs), writes(runs)) == ({"sync": "7"}, [])
    await switched(runs)
    assert runs.world.condition(CONDITION) == {}
    assert held(runs) == {"sync": "7"}
    await switched(runs, **ASKS)
    del runs.world.api.objects["configmaps", NAMESPACE, CONFIG_MAP]
    await runs.to(100)
    assert held(runs) == {"sync": end_of(0)}
    await runs.world.walk()
    assert runs.world.condition(CONDITION) == {}


@in_loop
async def test_a_missing_right_is_told_with_the_role_and_used_when_it_is_there() -> None:
    runs = await Runs.standing()
    handle = runs.world.api._handle

    def refuse(method: str, path: str, body: Any) -> Reply:
        if "/configmaps" in path and method != "GET":
            return Reply(403, {"message": 'configmaps is forbidden: User "x" cannot create resource "configmaps"'})
        return handle(method, path, body)

    runs.world.api._handle = refuse  # type: ignore[method-assign]  # the server's roles, for a while
    await switched(runs, **ASKS)
    told = runs.world.condition(CONDITION)
    assert told["reason"] == "Forbidden"
    assert f'"verbs":["update","delete"],"resourceNames":["{CONFIG_MAP}"]' in told["message"]
    assert told["message"].endswith("EOF"), "the whole command, ready to be pasted"
    runs.world.api._handle = handle  # type: ignore[method-assign]  # granted
    await runs.to(60)
    assert held(runs) == {}


@in_loop
async def test_a_quota_is_told_in_the_server_s_words() -> None:
    runs = await Runs.standing()
    handle = runs.world.api._handle
    words = 'configmaps "x" is forbidden: exceeded quota: few, requested: count/configmaps=1'
    runs.world.api._handle = lambda method, path, body: (  # type: ignore[method-assign]  # a quota
        Reply(403, {"message": words}) if method == "POST" and "/configmaps" in path else handle(method, path, body)
    )
    await switched(runs, **ASKS)
    told = runs.world.condition(CONDITION)
    assert (told["reason"], told["message"]) == ("ApplyFailed", f'ConfigMap "{CONFIG_MAP}": {words}')


@in_loop
async def test_what_others_did_to_it_is_put_right() -> None:
    """Nonsense for the job, and a job that nobody has."""
    runs = await Runs.standing(**ASKS)
    await runs.succeeds(0)
    runs.world.api.touch(
        "configmaps", NAMESPACE, CONFIG_MAP, lambda body: body.update(data={"sync": "-1 ", "ghost": "5"})
    )
    await runs.world.walk()
    await runs.to(400)
    assert held(runs) == {"sync": end_of(0)}


@in_loop
async def test_who_was_faster_wins_and_is_looked_at_again() -> None:
    runs = await Runs.standing(**ASKS)
    others = iter([lambda body: body["metadata"].setdefault("annotations", {}).update(a="b")])

    def interfere(method: str, path: str) -> None:
        if method == "PUT" and "/configmaps/" in path and (change := next(others, None)):
            runs.world.api.touch("configmaps", NAMESPACE, CONFIG_MAP, change)

    runs.world.api.before = interfere
    await runs.succeeds(0)
    assert held(runs) == {}
    await runs.to(7)
    assert held(runs) == {"sync": end_of(0)}
    body = runs.world.api.objects["configmaps", NAMESPACE, CONFIG_MAP]
    assert body["metadata"]["annotations"] == {"a": "b"}, "what is not ours stays"


@in_loop
async def test_it_goes_on_while_the_spec_makes_no_sense() -> None:
    """The CronJobs fire on; an old time would be a lie."""
    runs = await Runs.standing(**ASKS)
    runs.world.apply(source={})
    await runs.world.walk()
    await runs.succeeds(0)
    assert held(runs) == {"sync": end_of(0)}


@in_loop
async def test_two_schedules_of_a_job_share_its_time() -> None:
    runs = await Runs.standing(**ASKS)
    entry = {"name": "sync", "schedules": ["* * * * *", "0 3 * * *"], "request": {"url": "http://billing/x"}}
    runs.world.site.answer = served(entry)
    runs.world.apply(annotations={"cronix.dev/reconcile-at": "now"}, jobDefaults=ASKS["jobDefaults"])
    await runs.world.walk()
    other = runs.world.api.cron_jobs()["cronix-billing-sync-1"]
    late = {**other, "status": {"lastSuccessfulTime": "2026-11-22T12:00:50Z"}}
    runs.world.controller.saw_cron_job(late, deleted=False)
    await runs.to(0)
    assert held(runs) == {"sync": str(int(SLOT.timestamp()) - 10)}
    await runs.succeeds(0)
    await runs.to(20)
    assert held(runs) == {"sync": end_of(0)}


def test_only_the_jobs_that_ask_mount_it_and_each_its_own_key() -> None:
    app = make_app(overrides=[{"jobs": ["a*"], "previousSuccessTime": True}])
    wanted = {want.job: want.body for want in desired(app, job("ab"), job("b")).cron_jobs}
    assert {name: mounts_success(body) for name, body in wanted.items()} == {"ab": True, "b": False}
    (*_, volume) = wanted["ab"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    assert volume["configMap"]["items"] == [{"key": "ab", "path": "time"}]
    assert volume["configMap"]["optional"] is True


@pytest.mark.parametrize(
    "body", [{}, {"spec": None}, {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"volumes": ["x"]}}}}}}]
)
def test_what_has_no_volumes_mounts_nothing(body: dict[str, Any]) -> None:
    assert not mounts_success(body)


NAMES = st.text(string.ascii_lowercase + string.digits + "-.", min_size=1, max_size=253).filter(
    lambda name: OBJECT_NAME.fullmatch(name) is not None
)


@pytest.mark.law
@given(one=NAMES, other=NAMES)
def test_every_name_of_a_cronix_app_gives_a_legal_name_of_its_own(one: str, other: str) -> None:
    names = [config_map_name(name) for name in (one, other, "x" * 253, "x" * 252 + "y")]
    assert all(OBJECT_NAME.fullmatch(name) for name in names)
    assert (names[0] == names[1]) == (one == other)
    assert names[2] != names[3]


INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@pytest.mark.law
@given(
    before=st.dictionaries(st.sampled_from("abcd"), st.text("0123456789 -x", max_size=13)),
    times=st.dictionaries(st.sampled_from("abc"), st.none() | INSTANTS),
    wanted=st.none() | st.frozensets(st.sampled_from("abcd")),
)
def test_no_time_goes_back_and_none_that_is_asked_for_is_dropped(
    before: dict[str, str], times: dict[str, datetime | None], wanted: frozenset[str] | None
) -> None:
    mounted = Mounted("billing", times)
    after = newest_times(before, mounted, wanted)
    kept = {key: int(value) for key, value in before.items() if value.isdigit() and len(value) <= 12}
    for key, number in kept.items():
        if key in times or wanted is None or key in wanted:
            assert int(after[key]) >= number
        else:
            assert key not in after
    for key, moment in times.items():
        if moment is not None:
            assert int(after[key]) >= int(moment.timestamp())
    assert newest_times(after, mounted, wanted) == after


def test_it_is_bounded_and_keeps_the_newest() -> None:
    """1 MiB is what a ConfigMap may hold."""
    times = {f"{n:063}": datetime.fromtimestamp(10**9 + n, UTC) for n in range(MAX_JOBS + 5)}
    data = newest_times({}, Mounted("billing", times), None)
    assert len(data) == MAX_JOBS
    assert f"{4:063}" not in data
    body = config_map(Subject("n" * 63, "a" * 253, "u" * 36), "b" * 63, data)
    assert len(str(body)) < 1024 * 1024 // 2
    assert replaced({**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}, body) is None
