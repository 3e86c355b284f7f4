"""What the documents say is so: links lead somewhere, targets of make exist, examples are valid and run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from crd.crd_helpers import strict_validator
from cronix_sdk import Cron
from cronix_sdk.testing import CronTestClient

ROOT = Path(__file__).resolve().parents[1]
IGNORED = {".git", ".venv", "build", "dist", "node_modules"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(p in IGNORED or p.startswith(".") for p in path.relative_to(ROOT).parts)
)
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
FENCE = re.compile(r"^```(?P<kind>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MAKE = re.compile(r"(?<![\w-])make ((?:-[a-z]+ )?)([a-z][a-z0-9-]*)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """The page without its fenced blocks: a link in an example is not a link."""
    return FENCE.sub("", text)


def blocks(text: str, kind: str) -> list[str]:
    return [found["text"] for found in FENCE.finditer(text) if found["kind"] == kind]


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> Iterator[str]:
    """Relative links of a page that lead to no file, or to no heading of it."""
    for target in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (
            anchor and file.suffix == ".md" and anchor not in anchors(text if file == page else file.read_text())
        ):
            yield target


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def in_code(text: str) -> str:
    """Everything of a page that is written as code: shell blocks and words in backticks."""
    return "\n".join([*blocks(text, "sh"), *re.findall(r"`([^`\n]+)`", prose(text))])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """Files exist, and so do the headings that a link names."""
    assert list(broken_links(page, page.read_text())) == []


def test_a_broken_link_is_seen() -> None:
    """The check above can fail, for a file and for a heading, and is not fooled by examples."""
    text = "# A b\n[x](nowhere.md) [y](#a-b) [z](#a-c) [w](README.md#nothing) [v](https://x/y)\n```sh\n[u](gone)\n```\n"
    assert list(broken_links(ROOT / "README.md", text)) == ["nowhere.md", "#a-c", "README.md#nothing"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md"])
def test_every_target_of_make_that_a_page_names_is_there(page: str) -> None:
    """A reader types what stands there."""
    named = {target for _, target in MAKE.findall(in_code((ROOT / page).read_text()))}
    assert named <= make_targets()
    assert named or page == "docs/README.md"


def test_make_knows_the_targets_of_the_readme() -> None:
    """make itself says so, not only a pattern: a dry run of each target finds its rule."""
    named = sorted({target for _, target in MAKE.findall(in_code((ROOT / "README.md").read_text()))})
    assert {"demo", "test", "check"} <= set(named)
    done = subprocess.run(["make", "-n", *named], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def cronix_apps() -> list[Any]:
    """Every CronixApp that a page or an example shows, with where it stands."""
    found = []
    texts = [(name_of(page), text) for page in PAGES for text in blocks(page.read_text(), "yaml")]
    texts += [(name_of(path), path.read_text()) for path in sorted((ROOT / "examples").rglob("*.yaml"))]
    for where, text in texts:
        for number, document in enumerate(yaml.safe_load_all(text)):
            if isinstance(document, dict) and document.get("kind") == "CronixApp":
                found.append(pytest.param(document, id=f"{where}-{document['metadata']['name']}-{number}"))
    return found


@pytest.mark.parametrize("document", cronix_apps())
def test_every_cronixapp_that_is_shown_is_valid(document: dict[str, Any]) -> None:
    """Against the CRD's schema, unknown fields refused as the API server does with kubectl."""
    assert [f"{error.json_path}: {error.message}" for error in strict_validator().iter_errors(document)] == []


def test_the_keys_of_the_page_on_stores_are_those_that_its_cronixapp_names() -> None:
    """What External Secrets writes, and what the CronixApp reads: the Secret and its data keys."""
    (block,) = blocks((ROOT / "docs/keys-from-a-store.md").read_text(), "yaml")
    objects = {document["kind"]: document for document in yaml.safe_load_all(block)}
    external, signing = objects["ExternalSecret"]["spec"], objects["CronixApp"]["spec"]["signing"]
    written = {entry["secretKey"] for entry in external["data"]}
    refs = [scheme["secretKeyRef"] for scheme in signing["extraSchemes"]]
    assert {signing["secretRef"]["name"], *(ref["name"] for ref in refs)} == {external["target"]["name"]}
    assert {"current", "previous", *(ref["key"] for ref in refs)} == written
    assert external["secretStoreRef"]["name"] == objects["SecretStore"]["metadata"]["name"]


def test_the_readme_shows_a_cronixapp() -> None:
    """Else the test above would say nothing about it."""
    assert any("README.md-billing" in str(parameter.id) for parameter in cronix_apps())


def test_the_cronixapp_of_the_demo_in_the_readme_is_the_one_that_is_applied() -> None:
    """The output is a capture; what it shows as the whole configuration must still be the file."""
    text = (ROOT / "README.md").read_text()
    assert (ROOT / "examples/hello/cronixapp.yaml").read_text().strip() in text


def test_the_receiver_of_the_readme_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its job is declared in the manifest, and a signed trigger runs it; an unsigned one does not."""
    (program,) = blocks((ROOT / "README.md").read_text(), "python")
    key = "whsec_readme_0123456789abcdef"
    (tmp_path / "current").write_text(key + "\n")
    names: dict[str, Any] = {"__name__": "billing"}
    exec(compile(program.replace("/etc/billing/keys", str(tmp_path)), "README.md", "exec"), names)  # noqa: S102  # our own page
    cron = names["cron"]
    assert isinstance(cron, Cron)
    client = CronTestClient(cron, secret=key)
    assert b"reconcile-payments" in client.manifest().body
    slot = datetime(2026, 1, 1, 10, 15, tzinfo=UTC)
    assert client.fire("reconcile-payments", run_id="r-1", fire_time=slot).status == 200
    assert "reconcile r-1 for the slot 2026-01-01 10:15:00+00:00" in capsys.readouterr().out
    path = "/api/v1/scheduled/reconcile-payments"
    assert cron.handle(method="POST", path=path, headers={}, body=b"").code == "MissingSignature"


def test_the_readme_says_ten_lines_and_means_it() -> None:
    """Blank lines not counted."""
    (program,) = blocks((ROOT / "README.md").read_text(), "python")
    assert len([line for line in program.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", ADRS, ids=name_of)
def test_a_decision_has_the_four_parts(page: Path) -> None:
    """Context, options, decision, consequences, in this order, and a title with its number."""
    text = page.read_text()
    number = page.name[:4]
    assert re.match(rf"# {number} \S", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Options", "Decision", "Consequences"]


def test_decisions_are_numbered_without_gaps_and_all_are_in_the_index() -> None:
    """Whoever adds one adds its line."""
    assert [page.name[:4] for page in ADRS] == [f"{n:04}" for n in range(1, len(ADRS) + 1)]
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in ADRS if f"(adr/{page.name})" not in index] == []


def test_every_page_of_the_docs_is_in_the_index() -> None:
    """A page that nothing leads to is read by nobody."""
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(index.read_text())}
    pages = [page for page in PAGES if name_of(page).startswith("docs/") and page != index]
    assert [name_of(page) for page in pages if page not in linked] == []


def test_a_decision_that_the_code_names_is_there() -> None:
    """`docs/adr/0001` in a comment or in a setting leads to a file."""
    numbers = {page.name[:4] for page in ADRS}
    files = [ROOT / "pyproject.toml", ROOT / "Makefile"]
    files += [
        path for part in ("operator", "shim", "spec", "sdk", "cluster", "tests") for path in (ROOT / part).rglob("*.py")
    ]
    named = {found for path in files for found in re.findall(r"(?:docs/adr/|\bADR )(\d{4})", path.read_text())}
    assert "0001" in named
    assert named <= numbers
