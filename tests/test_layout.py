"""The shape of the tree: what may import what, where things live, how long they may get, and what no file may hold."""

from __future__ import annotations

import ast
import fnmatch
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTAINERS = ("operator", "spec", "shim", "sdk", "cli", "cluster", "tests")
STDLIB_ONLY = ("spec/cronix_protocol", "shim", "sdk")
CORE = "operator/cronix_operator/core"

# Every module that the core may import, besides our own: values in, values out. `zoneinfo` reads the rules of a zone,
# which are constants as far as the core is concerned.
PURE = frozenset(
    {"__future__", "abc", "bisect", "collections", "copy", "dataclasses", "datetime", "enum", "fnmatch", "functools"}
    | {"hashlib", "hmac", "heapq", "ipaddress", "itertools", "json", "math", "re", "string", "types", "typing"}
    | {"unicodedata", "urllib.parse", "zoneinfo", "cronix_operator.core", "cronix_protocol"}
)
# The interpreter's own hashes, tried before hashlib; `_sha2` came with 3.12.
STDLIB = frozenset({*sys.stdlib_module_names, "_sha1", "_sha2"})
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "now", "utcnow", "today", "available_timezones"})
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400


def sources(*folders: str) -> list[Path]:
    """Every Python file below the folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(node: ast.AST) -> list[str]:
    """The modules that one statement names; a relative import is our own and left out."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module]
    return []


def all_imports(tree: ast.AST) -> list[str]:
    """Every import, wherever it stands."""
    return [name for node in ast.walk(tree) for name in imported(node)]


def module_level_imports(node: ast.AST) -> Iterator[str]:
    """The imports that run when the module is imported: not those in functions or under `if TYPE_CHECKING`."""
    yield from imported(node)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from module_level_imports(other)
            continue
        yield from module_level_imports(child)


def is_below(name: str, parents: frozenset[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[: i + 1]) in parents for i in range(len(parts)))


def impurities(text: str) -> list[str]:
    """What in a module of the core reaches outside of it."""
    tree = ast.parse(text)
    found = [name for name in all_imports(tree) if not is_below(name, PURE)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in IMPURE_CALLS:
                found.append(f"{called}()")
    return found


def foreign_at_import(text: str) -> list[str]:
    """The modules that a file imports when it is imported and that are neither standard library nor ours."""
    allowed = {*STDLIB, "cronix_protocol", "cronix_shim", "cronix_sdk"}
    return [name for name in module_level_imports(ast.parse(text)) if name.split(".")[0] not in allowed]


def test_container_folders_are_not_packages() -> None:
    """ADR 0001: `operator/__init__.py` would shadow the standard library's `operator` and break the interpreter."""
    packages = [name for name in CONTAINERS if (ROOT / name / "__init__.py").exists()]
    packages += [name_of(path) for path in (ROOT / "tests").rglob("__init__.py")]
    assert packages == []
    assert not (ROOT / "operator.py").exists()


def test_the_standard_library_wins_with_the_root_on_the_path() -> None:
    """What ADR 0001 is for: this very process has the folders on its path."""
    import operator

    assert operator.__file__ is not None
    assert not Path(operator.__file__).is_relative_to(ROOT / "operator")


def test_every_test_module_has_a_name_of_its_own() -> None:
    """Without packages two modules of one name are one module to mypy and to importlib mode."""
    names = [path.name for path in sources("tests") if path.name != "conftest.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("folder", STDLIB_ONLY)
def test_wire_signer_and_sdk_are_standard_library_only(folder: str) -> None:
    """The signer's image is a copy of two folders, and an app that takes the SDK takes nothing else with it."""
    # A framework's adapter is imported by the method that mounts that framework, and by nothing else.
    files = [path for path in sources(folder) if path.parent.name != "adapters"]
    assert files
    offenders = {name_of(path): found for path in files if (found := foreign_at_import(path.read_text()))}
    assert offenders == {}


def test_an_adapter_is_imported_inside_a_function_only() -> None:
    """`import cronix_sdk` must work where no framework is installed."""
    for path in sources("sdk"):
        if path.parent.name == "adapters":
            continue
        eager = [name for name in module_level_imports(ast.parse(path.read_text())) if "adapters" in name]
        assert eager == [], name_of(path)


def test_an_adapter_imports_its_own_framework_only() -> None:
    """FastAPI is Starlette, and Flask is Werkzeug; the asgi and wsgi adapters need neither."""
    frameworks = {
        "asgi": set(),
        "wsgi": set(),
        "django": {"django", "asgiref"},
        "fastapi": {"fastapi"},
        "flask": {"flask", "werkzeug"},
        "starlette": {"starlette"},
        "__init__": set[str](),
    }
    for path in (ROOT / "sdk/cronix_sdk/adapters").glob("*.py"):
        roots = {name.split(".")[0] for name in foreign_at_import(path.read_text())}
        assert roots <= frameworks[path.stem], name_of(path)


@pytest.mark.parametrize("folder", ["spec/cronix_protocol", "shim"])
def test_wire_and_signer_know_no_other_library_even_inside_functions(folder: str) -> None:
    """In the signer's image there is none."""
    allowed = {*STDLIB, "cronix_protocol", "cronix_shim"}
    for path in sources(folder):
        foreign = [name for name in all_imports(ast.parse(path.read_text())) if name.split(".")[0] not in allowed]
        assert foreign == [], name_of(path)


def test_the_core_is_pure() -> None:
    """Whoever reads the core need not think of time, chance, threads or failure; import-linter sees modules only."""
    files = sources(CORE)
    assert files
    assert {name_of(path): found for path in files if (found := impurities(path.read_text()))} == {}


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        ("import os", ["os"]),
        ("import os.path as p", ["os.path"]),
        ("from time import time", ["time"]),
        ("import urllib.request", ["urllib.request"]),
        ("def f():\n    import logging", ["logging"]),
        ("if TYPE_CHECKING:\n    import kopf", ["kopf"]),
        ("from cronix_operator.edges.api import Reply", ["cronix_operator.edges.api"]),
        ("x = datetime.now(UTC)", ["now()"]),
        ("async def f():\n    await asyncio.sleep(1)\nimport asyncio", ["asyncio"]),
        ("text = open('x').read()", ["open()"]),
        ("from urllib.parse import urlsplit", []),
        ("from cronix_protocol.schedule import Schedule", []),
        ("from . import naming", []),
    ],
)
def test_a_planted_impurity_is_seen(planted: str, seen: list[str]) -> None:
    """The guard above can fail."""
    assert impurities(planted) == seen


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        ("import fastapi", ["fastapi"]),
        ("try:\n    from flask import Flask\nexcept ImportError:\n    pass", ["flask"]),
        ("class A:\n    import httpx", ["httpx"]),
        ("if TYPE_CHECKING:\n    import django\nelse:\n    import flask", ["flask"]),
        ("def f():\n    import fastapi", []),
        ("if typing.TYPE_CHECKING:\n    from starlette.routing import Route", []),
        ("import json, hmac\nfrom cronix_protocol import sign", []),
    ],
)
def test_a_planted_framework_is_seen(planted: str, seen: list[str]) -> None:
    """The guard on the standard library can fail."""
    assert foreign_at_import(planted) == seen


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("kopf", {"handlers.py"}),
        ("kubernetes", {"edges/api.py"}),
        ("httpx", {"edges/source.py"}),
        ("prometheus_client", {"edges/metrics.py"}),
    ],
)
def test_a_library_has_one_home_in_the_operator(library: str, homes: set[str]) -> None:
    """ADR 0002: replacing one of them is a change of these files."""
    base = ROOT / "operator/cronix_operator"
    users = {
        path.relative_to(base).as_posix()
        for path in sources("operator")
        if any(name.split(".")[0] == library for name in all_imports(ast.parse(path.read_text())))
    }
    assert users == homes


def test_operator_signer_and_sdk_do_not_know_each_other() -> None:
    """They meet in cronix_protocol only; imports inside functions and for types are no exception."""
    parts = {"operator": "cronix_operator", "shim": "cronix_shim", "sdk": "cronix_sdk", "spec": "cronix_protocol"}
    for folder, own in parts.items():
        others = set(parts.values()) - {own, "cronix_protocol"}
        for path in sources(folder):
            used = {name.split(".")[0] for name in all_imports(ast.parse(path.read_text()))}
            assert used & others == set(), name_of(path)


def oversized(path: Path) -> Iterator[str]:
    """Functions and files beyond the hard stops."""
    text = path.read_text()
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{name_of(path)}: {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{name_of(path)}:{node.lineno} {node.name}: {length} lines"


def test_functions_and_files_stay_short() -> None:
    """The rule of the house is 40 and 300; these are the hard stops."""
    files = sources("operator", "shim", "spec", "sdk", "cli", "cluster")
    assert len(files) > 50
    assert [found for path in files for found in oversized(path)] == []


def ignored_patterns() -> tuple[list[str], list[str]]:
    """What .gitignore leaves out: at the root only, and anywhere."""
    lines = [line.strip() for line in (ROOT / ".gitignore").read_text().splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")] + ["/.git"]
    return [p.strip("/") for p in patterns if p.startswith("/")], [p.strip("/") for p in patterns if p[0] != "/"]


def project_files() -> Iterator[Path]:
    """Every file that is in git or would be with `git add .`; found without git, which an image need not have."""
    at_root, anywhere = ignored_patterns()
    for folder, folders, names in os.walk(ROOT):
        ignored = [*anywhere, *(at_root if Path(folder) == ROOT else [])]
        folders[:] = [name for name in folders if not any(fnmatch.fnmatch(name, p) for p in ignored)]
        yield from (Path(folder, name) for name in names if not any(fnmatch.fnmatch(name, p) for p in ignored))


def private_hosts() -> set[str]:
    """The hosts from which this machine gets its packages; no file of the project names one."""
    hosts = set()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "GOPROXY", "GOSUMDB"):
        for address in re.split(r"[\s,|]+", os.environ.get(name, "")):
            hosts.add(urlsplit(address).hostname or "")
    return {host for host in hosts if "." in host}


# The words are put together here, so that this file does not hold them itself.
MACHINE_PATHS = re.compile(
    "|".join(
        (
            r"(?<![\w.~-])/(?:wo" + r"rk|ro" + r"ot)/",
            r"/(?:usr|ho" + r"me|var|tmp)/\S*(?:site|dist)-pack" + r"ages",
            r"--(?:extra-)?index-u" + r"rl[ =]\S",
            r"\b(?:artifac" + r"tory|codeartif" + r"act|jfr" + r"og|nex" + r"us3?)\.[a-z]",
        )
    )
)


def leaks(text: str, hosts: set[str]) -> list[str]:
    """Paths of a machine and hosts of private indexes in a text."""
    return [*MACHINE_PATHS.findall(text), *(host for host in hosts if host in text)]


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """A path or an index of one machine breaks on every other, and says more than anyone need know."""
    hosts = private_hosts()
    checked, offenders = 0, {}
    for path in project_files():
        try:
            text = path.read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # a binary; or a file that a test running beside us removed
            continue
        checked += 1
        if found := leaks(text, hosts):
            offenders[name_of(path)] = found
    assert checked > 100
    assert offenders == {}


@pytest.mark.parametrize(
    "planted",
    [
        "cd /wo" + "rk/main",
        "path=/ro" + "ot/.cache",
        "/usr/lib/python3/dist-pack" + "ages/x",
        "--index-u" + "rl https://x",
        "https://artifac" + "tory.example.com/x",
        "https://pypi.private.example/simple",
    ],
)
def test_a_planted_machine_path_is_seen(planted: str) -> None:
    """The guard can fail."""
    assert leaks(planted, {"pypi.private.example"})


@pytest.mark.parametrize(
    "harmless", ["COPY --from=build /build/ro" + "ot/ /", "https://x/wo" + "rk", "/opt/cronix/lib"]
)
def test_what_only_looks_like_a_machine_path_is_let_through(harmless: str) -> None:
    """A path inside an image, a path of a URL."""
    assert leaks(harmless, set()) == []
