"""Nothing on the host is changed without a yes, and whoever cannot run this is told what to do instead."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cluster.cluster_helpers import paths_below
from cronix_cluster import __main__ as command_line
from cronix_cluster import cleanup, host, network, toolchain
from cronix_cluster.errors import ClusterError
from cronix_cluster.paths import BINARIES_MODULE

PLAN = host.changes(["containerd"], binaries_built=False, bridge="cronix0", network="10.166.0.0/16")


@pytest.mark.parametrize(("platform", "uid"), [("darwin", 0), ("win32", -1), ("linux", 1000)])
def test_not_linux_or_not_root_is_one_line_with_what_to_do_instead(platform: str, uid: int) -> None:
    """kind or k3d with the very variables to set."""
    with pytest.raises(ClusterError, match="KUBECONFIG=… IMAGE_REGISTRY=") as refusal:
        host.require_linux_root(platform, uid)
    assert "\n" not in str(refusal.value)
    host.require_linux_root("linux", 0)


def test_the_command_line_exits_1_with_that_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, nothing on standard output."""
    monkeypatch.setattr("sys.platform", "darwin")
    assert command_line.main(["up"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: the local cluster needs Linux, this is darwin")
    assert err.count("\n") == 1


def test_the_plan_names_packages_bridge_iptables_folders_disk_and_time() -> None:
    """What a person agrees to is complete."""
    for part in (
        "apt-get install containerd",
        "cronix0",
        "iptables",
        "/var/lib/cronix-cluster",
        "GB",
        "minutes",
        "down",
    ):
        assert part in PLAN
    done = host.changes([], binaries_built=True, bridge="cronix0", network="10.166.0.0/16")
    assert "apt-get" not in done
    assert "minutes" not in done, "nothing is built again"


def test_without_a_terminal_and_without_yes_nothing_happens() -> None:
    """One line says how to agree."""
    with pytest.raises(ClusterError, match="YES=1") as refusal:
        host.agree(PLAN, {}, terminal=False)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("env", [{"YES": "1"}, {"CI": "true"}])
def test_yes_or_ci_goes_on_without_asking(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """But the plan is still printed."""
    host.agree(PLAN, env, terminal=False)
    assert "cronix0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "goes_on"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_on_a_terminal_only_yes_goes_on(answer: str, *, goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter alone is no."""
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    if goes_on:
        host.agree(PLAN, {}, terminal=True)
    else:
        with pytest.raises(ClusterError, match="nothing was changed"):
            host.agree(PLAN, {}, terminal=True)


def test_only_missing_programs_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with another provider of containerd (Docker's) keeps it: the program counts, not the package."""
    monkeypatch.setattr(host, "cni_folder", lambda: host.CNI_FOLDERS[0])
    missing = host.missing_packages(need_python_venv=False, find=lambda name: None if name == "socat" else name)
    assert missing == ["socat"]
    monkeypatch.setattr(host, "cni_folder", lambda: None)
    assert "containernetworking-plugins" in host.missing_packages(need_python_venv=False, find=lambda name: name)


def test_without_apt_the_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another distribution a person installs them by hand."""
    monkeypatch.setattr(host, "find_program", lambda _: None)
    with pytest.raises(ClusterError, match=r"no apt-get.*: runc socat;"):
        host.install(["runc", "socat"])


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.19.8 linux/amd64", (1, 19, 8)),
        ("go1.27rc1", (1, 27, 0)),
        ("command not found", ()),
    ],
)
def test_go_versions_compare(text: str, version: tuple[int, ...]) -> None:
    """Debian 12's Go 1.19 is older than the module asks for."""
    assert toolchain.go_version(text) == version


def test_the_module_says_which_go_it_needs_and_which_kubernetes_it_is() -> None:
    """Read from go.mod, so that there is one place to change."""
    go_mod = (BINARIES_MODULE / "go.mod").read_text()
    assert toolchain.required_go(go_mod) >= (1, 24, 0)
    version = toolchain.module_version("k8s.io/kubernetes", go_mod)
    assert version.startswith("v1.34.")
    assert f"gitVersion={version} " in toolchain.link_flags(version)
    with pytest.raises(ClusterError, match=r"does not require k8s\.io/nothing"):
        toolchain.module_version("k8s.io/nothing", go_mod)


def test_the_cache_key_is_the_content_of_the_module(tmp_path: Path) -> None:
    """A changed main.go or a changed dependency is another build."""
    for name in ("go.mod", "go.sum", "main.go"):
        (tmp_path / name).write_text(name)
    key = toolchain.module_key(tmp_path)
    (tmp_path / "README.md").write_text("x")
    assert toolchain.module_key(tmp_path) == key
    (tmp_path / "main.go").write_text("other")
    assert toolchain.module_key(tmp_path) != key


def test_installing_binaries_again_replaces_them_by_rename(tmp_path: Path) -> None:
    """A running binary cannot be overwritten ("text file busy"), but its name can be given to another."""
    for key in ("cluster-a", "cluster-b"):
        (tmp_path / key).mkdir()
        (tmp_path / key / "hyper").write_text(key)
        (tmp_path / key / "helm").write_text(key)
    toolchain.install(tmp_path / "cluster-a", tmp_path / "bin")
    with (tmp_path / "bin" / "hyper").open() as running:
        toolchain.install(tmp_path / "cluster-b", tmp_path / "bin")
        assert running.read() == "cluster-a"
    assert (tmp_path / "bin" / "kubectl").read_text() == "cluster-b"


def test_mounts_below_our_folders_are_found_last_first_and_no_others() -> None:
    """A neighbour whose name starts like ours is not ours; blanks are escaped in mountinfo."""
    rows = ["/", "/run/x", "/run/x/a\\040b", "/run/x/a\\040b/c", "/run/xy", "/home/run/x"]
    text = "\n".join(f"{i} 1 0:1 / {point} rw - tmpfs tmpfs rw" for i, point in enumerate(rows))
    assert cleanup.mount_points(text, (Path("/run/x"),)) == ["/run/x/a b/c", "/run/x/a b", "/run/x"]


def test_deleting_stops_before_anything_that_is_still_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting through a bind mount would delete somebody's files."""
    paths = paths_below(tmp_path)
    paths.etcd_data.mkdir(parents=True)
    monkeypatch.setattr(cleanup, "_ours", lambda _: [str(paths.run / "volume")])
    with pytest.raises(ClusterError, match="still mounted"):
        cleanup.delete_run_state(paths)
    assert paths.etcd_data.exists()


def test_the_pods_network_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where 10.166.0.0/16 is somebody's VPN."""
    monkeypatch.setenv("CRONIX_POD_CIDR", "10.99.0.0/16")
    assert network.node_address() == "10.99.0.1"
