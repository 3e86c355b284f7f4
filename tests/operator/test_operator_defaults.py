"""The cluster's CA bundle is trusted by fetch and run alike, where a CronixApp names no CA of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cronix_operator.core.defaults import with_defaults
from cronix_operator.settings import SettingsInvalid, read_settings
from operator_fakes.builders import LIMITS, NAMESPACE, make_app, served
from operator_fakes.world import World, in_loop

BUNDLE = dataclasses.replace(LIMITS, ca_config_map=("trust", "ca.crt"))


def volumes(world: World) -> list[Any]:
    (live,) = world.api.cron_jobs().values()
    found = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    return [source for volume in found for source in volume.get("projected", {}).get("sources", [])]


@in_loop
async def test_without_the_bundle_in_its_namespace_an_app_says_which_config_map_is_missing() -> None:
    world = World(BUNDLE)
    world.site.answer = served("tick")
    world.apply()
    await world.walk()
    ready = world.condition("Ready")
    assert (ready["reason"], "trust" in ready["message"]) == ("ConfigMapNotFound", True)


@in_loop
async def test_the_bundle_is_mounted_into_the_signer_too() -> None:
    world = World(BUNDLE)
    world.api.put("configmaps", NAMESPACE, "trust", data={"ca.crt": "-----BEGIN CERTIFICATE-----"})
    world.site.answer = served("tick")
    world.apply()
    await world.walk()
    assert world.condition("Ready")["status"] == "True"
    mounted = [source["configMap"]["name"] for source in volumes(world) if "configMap" in source]
    assert mounted == ["trust"]


@pytest.mark.parametrize(
    "ca",
    [
        {"caConfigMapKeyRef": {"name": "own", "key": "ca.pem"}},
        {"caSecretKeyRef": {"name": "own", "key": "ca.pem"}},
    ],
)
def test_an_app_s_own_ca_wins(ca: dict[str, Any]) -> None:
    app = make_app(connection={"tls": ca})
    assert app.connection.ca_config_map is not None or app.connection.ca_secret is not None
    assert with_defaults(app, BUNDLE) == app


@pytest.mark.parametrize("text", ["trust", "/ca.crt", "trust/"])
def test_half_a_reference_is_refused(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="chart: caBundle"):
        read_settings({"CRONIX_SIGNER_IMAGE": "x", "CRONIX_CA_CONFIG_MAP": text})


def test_the_reference_of_the_chart_is_read() -> None:
    found = read_settings({"CRONIX_SIGNER_IMAGE": "x", "CRONIX_CA_CONFIG_MAP": "trust/ca.crt"})
    assert found.ca_config_map == ("trust", "ca.crt")
