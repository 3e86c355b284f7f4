"""The table of components: order, options, and that a change of either restarts exactly what changed."""

from __future__ import annotations

import json
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from cluster.cluster_helpers import paths_below
from cronix_cluster import configs, supervise
from cronix_cluster.components import Component, by_name, components
from cronix_cluster.errors import ClusterError
from cronix_cluster.paths import Paths, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


def test_everything_starts_after_what_it_needs() -> None:
    """The order of the table is a starting order."""
    seen: set[str] = set()
    for component in components(Paths(), {}):
        assert seen.issuperset(component.needs), component.name
        seen.add(component.name)


def test_etcd_syncs_only_when_asked() -> None:
    """ETCD_FSYNC=1 is the durable one."""
    for env, syncs in (({}, False), ({"ETCD_FSYNC": "0"}, False), ({"ETCD_FSYNC": "1"}, True)):
        etcd = by_name(components(Paths(), env), "etcd")
        assert ("--unsafe-no-fsync" not in etcd.argv) is syncs


def test_the_controller_managers_limits_are_kubernetes_own_unless_asked() -> None:
    """The default ceiling is the truth that a benchmark should meet."""
    assert not any("qps" in flag for flag in by_name(components(Paths(), {}), "kcm").argv)
    assert "--kube-api-qps=200" in by_name(components(Paths(), {"KCM_QPS": "200"}), "kcm").argv
    with pytest.raises(ClusterError, match="KCM_QPS=many"):
        components(Paths(), {"KCM_QPS": "many"})


def test_names_and_their_usual_other_names() -> None:
    """And a wrong one lists the right ones."""
    table = components(Paths(), {})
    assert by_name(table, "kube-apiserver").name == "apiserver"
    with pytest.raises(ClusterError, match="no component 'docker'; there are: etcd, containerd, apiserver"):
        by_name(table, "docker")


def test_a_changed_flag_or_configuration_changes_the_fingerprint(tmp_path: Path) -> None:
    """That is how `up` knows what to restart."""
    config = tmp_path / "config"
    component = Component("x", ("x", "--a"), lambda: None, configs=(config,))
    first = component.fingerprint()
    config.write_text("1")
    assert component.fingerprint() != first
    assert (
        Component("x", ("x", "--b"), lambda: None).fingerprint() != Component("x", ("x",), lambda: None).fingerprint()
    )


def test_the_configuration_files_are_well_formed() -> None:
    """TOML and JSON; containerd shares nothing with another containerd of the host."""
    paths = Paths()
    folder = paths.state
    text = configs.containerd(paths, cni_bin=folder, snapshotter="overlayfs", sandbox_image="cronix.local/pause:1")
    parsed = tomllib.loads(text)
    assert parsed["root"].startswith("/var/lib/cronix-cluster")
    assert parsed["state"].startswith("/run/cronix-cluster")
    cri = parsed["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False
    for content in (configs.kubelet(paths), configs.kube_proxy(paths, bridge_is_filtered=True), configs.cni(paths)):
        json.loads(content)


def test_without_bridge_filtering_services_are_masqueraded() -> None:
    """Else the answer of a pod on the same bridge would come from an address that nobody asked."""
    for filtered in (True, False):
        config = json.loads(configs.kube_proxy(Paths(), bridge_is_filtered=filtered))
        assert config["iptables"]["masqueradeAll"] is not filtered


def test_a_component_that_dies_at_start_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """At most 20 lines, and the file to read on."""
    script = "print('\\n'.join(f'line {i}' for i in range(40)))"
    component = Component("etcd", (sys.executable, "-c", script), lambda: "no answer")
    paths = paths_below(tmp_path)
    with pytest.raises(ClusterError) as death:
        supervise.Starter(paths, (component,), lambda _: None).run()
    text = str(death.value)
    assert text.splitlines()[0] == f"etcd ended by itself; the last lines of {paths.logs}/etcd.log:"
    assert text.splitlines()[1:] == [f"line {i}" for i in range(20, 40)]


def test_what_runs_well_is_kept_and_what_changed_is_restarted(tmp_path: Path) -> None:
    """A second `up` starts nothing; another flag restarts that component only."""
    paths = paths_below(tmp_path)
    one, two = (Component(name, SLEEP, lambda: None) for name in ("one", "two"))
    try:
        first = supervise.Starter(paths, (one, two), lambda _: None)
        first.run()
        assert first.started == ["one", "two"]
        pids = {name: supervise.running(paths, name) for name in ("one", "two")}
        changed = Component("two", (*SLEEP, "--flag"), lambda: None, needs=("one",))
        second = supervise.Starter(paths, (one, changed), lambda _: None)
        second.run()
        assert second.started == ["two"]
        assert supervise.running(paths, "one") == pids["one"]
        assert supervise.running(paths, "two") != pids["two"]
    finally:
        for component in (one, two):
            supervise.stop(paths, component)


def test_a_component_that_was_killed_is_started_again(tmp_path: Path) -> None:
    """A pid file whose process is gone is no component."""
    paths = paths_below(tmp_path)
    component = Component("one", SLEEP, lambda: None)
    supervise.start(paths, component)
    supervise.stop(paths, component)
    write_atomically(paths.pids / "one", "rubbish of a crash")
    starter = supervise.Starter(paths, (component,), lambda _: None)
    try:
        starter.run()
        assert starter.started == ["one"]
    finally:
        supervise.stop(paths, component)
