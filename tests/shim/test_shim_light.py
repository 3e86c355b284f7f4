"""The signer is the standard library and little of it: what it may import, and what a run over http loads."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cronix_shim import __version__
from shim.shim_helpers import ROOT

SIGNER = sorted((ROOT / "shim/cronix_shim").glob("*.py"))
PROTOCOL = sorted((ROOT / "spec/cronix_protocol").rglob("*.py"))


@pytest.mark.parametrize("path", [*SIGNER, *PROTOCOL], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_folder_is_standard_library_only(path: Path) -> None:
    """No import, at top or inside a function, but of the standard library (3.12's too), the protocol and itself."""
    own = {"cronix_protocol"} | ({"cronix_shim"} if path in SIGNER else set())
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names | {"_sha1", "_sha2"} | own, (
                f"{path.name} imports {name}"
            )


def test_signer_loads_none_of_the_heavy_modules() -> None:
    """What a run over http imports; each of these would cost milliseconds at every start in every pod."""
    heavy = "argparse dataclasses datetime email enum functools hashlib hmac http inspect json logging os pathlib re "
    heavy += "selectors signal socket ssl subprocess threading traceback typing unicodedata urllib"
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'spec')!r}, {str(ROOT / 'shim')!r}]\n"
        "import cronix_shim.__main__\n"
        f"print(*sorted(set({heavy!r}.split()) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    allowed = set() if sys.version_info >= (3, 12) else {"hashlib"}  # _sha2 came with 3.12
    assert set(done.stdout.split()) - allowed == set()


def test_version_is_the_distributions() -> None:
    """The User-Agent tells the truth."""
    assert __version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
