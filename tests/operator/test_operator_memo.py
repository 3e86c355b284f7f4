"""What is kept from one walk to the next, or from one job to the next, never stands for something that has changed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronix_operator.core.memory import Known
from cronix_operator.core.mold import Hole, Mold
from cronix_operator.core.render import render, spec_hash
from cronix_operator.core.touchup import has_run, is_news, seen
from cronix_protocol.jobfile import parse_job_file
from cronix_protocol.manifest import ManifestInvalid
from operator_fakes.builders import ENDPOINT, LIMITS, NAMESPACE, ZONES, desired, job, make_app, manifest, one, served
from operator_fakes.world import World, in_loop

NAME = "cronix-billing-sync-0"


async def in_step(world: World) -> Known:
    """What is known of the one CronJob, once its app is in step."""
    world.site.answer = served("sync")
    world.apply()
    await world.walk()
    await world.walk()
    return known(world)


def known(world: World) -> Known:
    return world.controller._tenants[NAMESPACE, "billing"].memory.pairs[NAME]


@in_loop
async def test_a_resync_without_a_change_makes_nothing_anew() -> None:
    """What was known of a version of a CronJob is the same object after one more walk: no hash of it was made again."""
    world = World()
    first = await in_step(world)
    await world.walk()
    assert known(world) is first


@in_loop
async def test_another_version_is_looked_at_anew() -> None:
    """A CronJob that ran or that another tool annotated has a new version; after the walk it is what is known."""
    for change in (_ran, _annotated):
        world = World()
        first = await in_step(world)
        world.api.touch("cronjobs", NAMESPACE, NAME, change)
        live = world.api.cron_jobs()[NAME]
        tenant = world.controller._tenants[NAMESPACE, "billing"]
        moved = seen(tenant.memory, live, keep=False)
        assert is_news(tenant.memory, moved) or has_run(tenant.memory, moved)
        await world.walk()
        assert known(world).version == live["metadata"]["resourceVersion"] != first.version
        assert not is_news(tenant.memory, moved)
        assert not has_run(tenant.memory, moved)


def _ran(live: dict[str, Any]) -> None:
    live["status"] = {"lastScheduleTime": "2026-11-22T12:00:00Z"}


def _annotated(live: dict[str, Any]) -> None:
    live["metadata"]["annotations"]["example.com/team"] = "shop"


@in_loop
async def test_what_a_webhook_wrote_becomes_what_is_declared() -> None:
    """The object stays as it is, its version too, but it is as rendered now: the pair says so; nothing is written."""
    world = World()
    world.api.admit = lambda body: body["spec"].update(successfulJobsHistoryLimit=7)
    pair = await in_step(world)
    assert pair.rendered != pair.live
    world.clear_writes()
    world.apply(jobDefaults={"successfulJobsHistoryLimit": 7})
    await world.walk()
    assert world.writes("cronjobs") == []
    assert known(world).rendered == known(world).live == pair.live


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
HOLES = st.sampled_from(["text", "number", "flag"])
TREES = st.recursive(
    LEAVES | HOLES.map(Hole),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=12,
)


@pytest.mark.law
@settings(max_examples=200, deadline=None)
@given(
    tree=st.dictionaries(st.text(max_size=3), TREES, max_size=4),
    owns=st.lists(
        st.fixed_dictionaries({"text": st.text(max_size=6), "number": st.integers(), "flag": st.booleans()}),
        min_size=2,
        max_size=3,
    ),
)
def test_what_comes_out_of_a_mold_is_what_was_put_in(tree: dict[str, Any], owns: list[dict[str, Any]]) -> None:
    """Each has its own values and no other's, and its text, from which its hash is made, is that of the value."""
    mold = Mold({**tree, "a hole": Hole("text")})
    made = [(own, mold.filled(own), mold.text(own)) for own in owns]
    for own, value, text in made:
        assert value == _with({**tree, "a hole": Hole("text")}, own)
        assert text == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _with(value: Any, own: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _with(below, own) for key, below in value.items()}
    if isinstance(value, list):
        return [_with(below, own) for below in value]
    return own[value] if isinstance(value, Hole) else value


ODD = st.text(st.sampled_from('a$&<\u00fc\u20ac\U0001f600\u2028\x00\x7f\t\n"\\ '), max_size=6)
JOBS = st.lists(
    st.builds(
        lambda name, schedule, **fields: job(name, schedule, **{k: v for k, v in fields.items() if v}),
        st.sampled_from(["a", "b-1", "b-2", "c", "form"]),
        st.lists(st.sampled_from(["0 * * * *", "@every 5m", "@every5M", "1 2 3 4 *"]), min_size=1, max_size=2),
        timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
        # Most of it is sound: what is wrong with one job must not keep the others from being compared.
        request=st.fixed_dictionaries(
            {
                "url": st.sampled_from(
                    [*["https://billing.example.com/?$y", "https://api.example.com/"] * 4, "http://x y/"]
                )
            },
            optional={
                "body": ODD,
                "method": st.sampled_from(["GET", "POST"]),
                "headers": st.dictionaries(
                    st.sampled_from(["X-A", "x-a", "Content-Type"]),
                    st.sampled_from(["b", "$(C)", "\t", "d\n"]),
                    max_size=2,
                ),
            },
        ),
        policy=st.sampled_from(
            [
                *[{}, {"timeout_seconds": 600}, {"concurrency": "Allow"}, {"retries": {"max_attempts": 10}}] * 2,
                *[{"retries": {"max_seconds": 10**9 + 1}}, {"retries": {"min_seconds": 9, "max_seconds": 10**6}}],
            ]
        ),
        auth=st.sampled_from([{}, {"secret_refs": ["NEW"]}, {"secret_refs": ["OLD", "NEW"]}, {"secret_refs": ["a/b"]}]),
    ),
    min_size=2,
    max_size=5,
    unique_by=lambda entry: str(entry["name"]),
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "overrides": st.sampled_from(
            [[{"jobs": ["b-*"], "pod": {"labels": {"team": "red"}}}, {"jobs": ["*-1", "c"], "jitterSeconds": 9}]]
        ),
        "jobDefaults": st.sampled_from([{"previousSuccessTime": True}, {"pod": {"annotations": {"a": "job_file"}}}]),
        "signing": st.sampled_from(
            [
                {"secretRef": {"name": "keys"}, "extraSchemes": [
                    {"type": "SignedForm", "secretKeyRef": {"name": "rails", "key": "k"}, "jobs": ["form", "a"]},
                    {"type": "GitHub", "secretKeyRef": {"name": "hub", "key": "k"}, "jobs": ["b-*"]}]},
                {"keys": [{"name": n, "secretKeyRef": {"name": "keys", "key": n.lower()}} for n in ("NEW", "OLD")]},
            ]
        ),
        "targets": st.just({"allowedHosts": ["*.example.com"]}),
        "suspend": st.booleans(),
    },
)  # fmt: skip


@pytest.mark.law
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(jobs=JOBS, spec=SPECS, other=SPECS)
def test_a_job_among_others_is_rendered_as_if_it_were_alone(
    jobs: list[dict[str, Any]], spec: dict[str, Any], other: dict[str, Any]
) -> None:
    """Whatever is shared between the jobs of an app, or stays from another app or an earlier walk, none of it shows.

    And whatever is rendered, the signer reads, though only the first job file of each kind was read to see that.
    """
    app = make_app(**spec)
    try:
        together = desired(app, *jobs)
    except ManifestInvalid:
        return
    desired(make_app(**other), *jobs)
    alone = [desired(app, entry) for entry in sorted(jobs, key=lambda entry: str(entry["name"]))]
    assert together.cron_jobs == tuple(want for one in alone for want in one.cron_jobs)
    assert together.faults == tuple(fault for one in alone for fault in one.faults)
    for want in together.cron_jobs:
        assert want.spec_hash == spec_hash(want.body["spec"])
        container = want.body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
        assert parse_job_file(container["env"][0]["value"]).job == want.job


def test_changed_defaults_and_a_changed_image_are_rendered_at_once() -> None:
    """A walk knows nothing of how the one before rendered."""
    before = one(make_app())
    app = make_app(jobDefaults={"successfulJobsHistoryLimit": 9})
    limits = dataclasses.replace(LIMITS, signer_image="registry.example.com/cronix-signer:2")
    assert one(app).body["spec"]["successfulJobsHistoryLimit"] == 9
    (rolled,) = render(make_app(), manifest("sync"), ENDPOINT, limits, ZONES).cron_jobs
    container = rolled.body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == limits.signer_image
    assert len({before.spec_hash, one(app).spec_hash, rolled.spec_hash}) == 3
    assert one(make_app()) == before
