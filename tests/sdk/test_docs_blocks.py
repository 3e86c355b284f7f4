"""Every fenced `python` block of the docs runs; the blocks of one page share their names, as in a reader's session."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/migrate").glob("*.md")])
FENCE = re.compile(r"^```(?P<kind>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """Line, kind and text of each fenced block."""
    text = page.read_text()
    return [(text[: found.start()].count("\n") + 1, found["kind"], found["text"]) for found in FENCE.finditer(text)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(kind == "python" for _, kind, _ in blocks(page))], ids=str
)
def test_the_python_of_a_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the order of the page, with a key in CRON_SECRET and in KEY_FOLDER/current."""
    monkeypatch.setenv("CRON_SECRET", "whsec_docs_0123456789abcdef")
    monkeypatch.setenv("KEY_FOLDER", str(tmp_path))
    (tmp_path / "current").write_text("whsec_docs_0123456789abcdef\n")
    names: dict[str, object] = {"__name__": "docs"}
    for line, kind, text in blocks(page):
        if kind == "python":
            # Line numbers of a failure are those of the page.
            exec(compile("\n" * line + text, str(page), "exec"), names)  # noqa: S102 - our own docs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_says_what_it_is(page: Path) -> None:
    """An unnamed block would be run by nobody."""
    assert [line for line, kind, _ in blocks(page) if not kind] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Files exist, and a heading that a link names is there."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, target
