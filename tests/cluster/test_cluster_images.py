"""An image's tag is its content: it changes when an input changes, and only then."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from cluster.cluster_helpers import paths_below
from cronix_cluster import images, own_cluster
from cronix_cluster.errors import ClusterError
from cronix_cluster.image_builds import host_arguments
from cronix_cluster.image_inputs import ImageSource, content_tag, find_sources, input_files, stage_context
from cronix_cluster.paths import REPOSITORY


@pytest.fixture
def source(tmp_path: Path) -> ImageSource:
    repository = tmp_path / "repo"
    folder = repository / "images" / "signer"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM docker.io/library/debian:trixie-slim AS a\nFROM scratch\nCOPY shim/ /\n")
    (folder / "inputs.txt").write_text("# comment\n\nshim/\nspec/*.py\n")
    for name, text in {"shim/a.py": "a", "shim/deep/b.py": "b", "spec/c.py": "c", "spec/c.md": "text"}.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    return ImageSource("signer", folder, repository)


def test_inputs_are_the_dockerfile_and_what_the_list_names(source: ImageSource) -> None:
    """A folder with all that is in it, a glob; comments and blank lines mean nothing; compiled files are left out."""
    cache = source.repository / "shim" / "__pycache__"
    cache.mkdir()
    (cache / "a.cpython-311.pyc").write_text("x")
    files = [str(path) for path in input_files(source)]
    assert files == ["images/signer/Dockerfile", "shim/a.py", "shim/deep/b.py", "spec/c.py"]


def test_the_tag_changes_with_content_name_mode_and_dockerfile_and_not_otherwise(source: ImageSource) -> None:
    """12 hex digits; a file outside the list changes nothing."""
    tags = [content_tag(source)]
    (source.repository / "spec" / "c.md").write_text("other text")
    assert content_tag(source) == tags[0]
    (source.repository / "shim" / "a.py").write_text("A")
    tags.append(content_tag(source))
    (source.repository / "shim" / "a.py").rename(source.repository / "shim" / "z.py")
    tags.append(content_tag(source))
    (source.repository / "shim" / "z.py").chmod(0o755)
    tags.append(content_tag(source))
    source.dockerfile.write_text("FROM scratch\n")
    tags.append(content_tag(source))
    assert len(set(tags)) == len(tags)
    assert all(len(tag) == 12 and set(tag) <= set("0123456789abcdef") for tag in tags)


def test_the_context_holds_nothing_but_the_inputs(source: ImageSource, tmp_path: Path) -> None:
    """So a file that the list forgot fails the build at once, instead of making tags that lie."""
    stage_context(source, tmp_path / "context")
    staged = {str(p.relative_to(tmp_path / "context")) for p in (tmp_path / "context").rglob("*") if p.is_file()}
    assert staged == {str(path) for path in input_files(source)}


def test_a_list_that_names_what_is_not_there_is_an_error(source: ImageSource) -> None:
    """The message names list and pattern."""
    (source.folder / "inputs.txt").write_text("nowhere/*.py\n")
    with pytest.raises(ClusterError, match=r"images/signer/inputs.txt names nowhere/\*.py"):
        input_files(source)


def test_an_unknown_image_is_an_error_that_lists_the_images(source: ImageSource) -> None:
    """A typing mistake in `build NAME`."""
    with pytest.raises(ClusterError, match=r"no images/singer/Dockerfile; there are: signer"):
        find_sources(source.repository, ["singer"])
    assert [found.name for found in find_sources(source.repository, [])] == ["signer"]


def test_the_debian_base_is_found_in_the_dockerfile(source: ImageSource) -> None:
    """Only the suites that a FROM names are made by mmdebstrap."""
    assert source.debian_suites() == ["trixie"]


def test_the_projects_own_images_have_complete_lists() -> None:
    """Every COPY from the context is covered by inputs.txt (which also names folders that make fills)."""
    for source in find_sources(REPOSITORY, []):
        listed = [
            line.strip().rstrip("/")
            for line in (source.folder / "inputs.txt").read_text().splitlines()
            if line.strip() and not line.startswith("#")
        ]
        for line in source.dockerfile.read_text().replace("\\\n", " ").splitlines():
            words = line.split()
            if not words or words[0] != "COPY" or any(word.startswith("--from") for word in words):
                continue
            for copied in (word.rstrip("/") for word in words[1:-1] if not word.startswith("--")):
                covered = any(
                    copied == entry or copied.startswith(f"{entry}/") or Path(copied).match(entry) for entry in listed
                )
                covered = covered or any(entry.startswith(f"{copied}/") for entry in listed)
                assert covered, f"images/{source.name}: {copied} is copied but not in inputs.txt"


def test_proxies_go_into_the_build_and_pip_settings_only_where_declared() -> None:
    """Build arguments that are set in the environment; an undeclared one would be refused by the builder."""
    env = {"HTTPS_PROXY": "http://p:1", "http_proxy": "", "PIP_INDEX_URL": "https://i", "PIP_CERT": "/c"}
    assert host_arguments("FROM x\n", env) == ["--build-arg", "HTTPS_PROXY=http://p:1"]
    assert host_arguments("FROM x\nARG PIP_INDEX_URL\n", env)[2:] == ["--build-arg", "PIP_INDEX_URL=https://i"]


def test_the_pause_image_is_one_layer_with_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docker archive under two names; the layer's hash in the configuration is the layer's hash."""
    fake = tmp_path / "busybox"
    fake.write_text("#!/bin/sh\nprintf 'busybox\\nsh\\nsleep\\n'\n")
    fake.chmod(0o755)
    monkeypatch.setattr(images, "_busybox", lambda: fake)
    with tarfile.open(fileobj=io.BytesIO(images.pause_archive())) as archive:
        assert set(archive.getnames()) == {"layer.tar", "config.json", "manifest.json"}
        (manifest,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]  # a file, not a folder
        layer = archive.extractfile("layer.tar")
        assert layer is not None
        with tarfile.open(fileobj=layer) as content:
            assert content.getmember("bin/sh").linkname == "busybox"
            assert content.getmember("bin/busybox").mode == 0o755
    assert manifest["RepoTags"] == [images.pause_reference(), images.BUSYBOX_REFERENCE]


def test_a_kubeconfig_of_ones_own_without_a_way_for_images_is_one_line(tmp_path: Path) -> None:
    """Not the local cluster by surprise, not a stack trace."""
    paths = paths_below(tmp_path)
    with pytest.raises(ClusterError, match="IMAGE_REGISTRY") as refusal:
        own_cluster.is_wanted(paths, {"KUBECONFIG": "/home/me/.kube/config"})
    assert "\n" not in str(refusal.value)
    assert not own_cluster.is_wanted(paths, {})
    assert not own_cluster.is_wanted(paths, {"KUBECONFIG": str(paths.kubeconfig)})
    assert own_cluster.is_wanted(paths, {"KUBECONFIG": "x", "IMAGE_REGISTRY": "kind"})


@pytest.mark.parametrize(
    ("registry", "programs", "told"),
    [
        ("kind", {"docker"}, "`kind`, which is not installed"),
        ("k3d:demo", {"docker"}, "`k3d`, which is not installed"),
        ("registry.example.com/x", set(), "docker or buildah"),
    ],
)
def test_a_missing_program_for_ones_own_cluster_is_one_line(
    source: ImageSource, registry: str, programs: set[str], told: str
) -> None:
    """Told before anything is built."""
    with pytest.raises(ClusterError, match=told) as refusal:
        own_cluster.deliver(source, {"IMAGE_REGISTRY": registry}, lambda name: name if name in programs else None)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("registry.example.com/x/", [["docker", "build"], ["docker", "push"]]),
        ("kind:demo", [["docker", "build"], ["docker", "save"], ["kind", "load", "image-archive"]]),
        ("k3d", [["docker", "build"], ["docker", "save"], ["k3d", "image", "import"]]),
    ],
)
def test_images_go_where_image_registry_says(
    source: ImageSource, registry: str, expected: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pushed to a registry under its name, or side-loaded into kind and k3d under the local name."""
    calls: list[list[str]] = []
    monkeypatch.setattr(own_cluster, "_run", calls.append)
    reference = own_cluster.deliver(source, {"IMAGE_REGISTRY": registry}, lambda name: name)
    assert [call[: len(start)] for call, start in zip(calls, expected, strict=True)] == expected
    prefix = "registry.example.com/x" if registry.startswith("registry") else "cronix.local"
    assert reference == f"{prefix}/signer:{content_tag(source)}"
    if registry == "kind:demo":
        assert calls[-1][-2:] == ["--name", "demo"]
