"""The report in a real browser: laid out, readable in light and dark, nothing beside the page, nothing loaded.

`make test-browser` installs Debian's chromium when it is not there. CRONIX_SCREENSHOT=FILE takes the docs' picture.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.cli_helpers import call
from cli.cli_world import busy_shop

# Measures the page from inside. Only the copy that is measured has it: the report itself has no script.
PROBE = """<script>addEventListener("load", () => {
  const root = document.documentElement, style = getComputedStyle(document.body);
  const texts = [...document.querySelectorAll("h1,h2,h3,p,li,.tile,header")];
  const cut = texts.filter(e => e.scrollWidth > e.clientWidth + 1);
  const rects = document.querySelectorAll("svg rect");
  const box = document.querySelector("svg").getBoundingClientRect();
  const told = {wide: root.scrollWidth, inner: innerWidth, ground: style.backgroundColor, ink: style.color,
    cut: cut.map(e => e.textContent), rects: rects.length, chart: [box.width, box.height],
    loaded: performance.getEntriesByType("resource").length,
    bad: getComputedStyle(document.querySelector(".bad")).color};
  root.setAttribute("data-told", JSON.stringify(told));
});</script></body>"""


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.fail("no browser: apt-get install chromium, or make test-browser as root", pytrace=False)
    return found


@pytest.fixture
def browse(chromium: str, tmp_path: Path) -> Callable[..., str]:
    """`browse(page, width, dark, *flags)`: what a fresh browser prints."""

    def open_page(page: Path, width: int, dark: bool, *flags: str) -> str:
        command = [
            chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1400",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}", *flags, page.as_uri(),
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    return open_page


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(call("report", "--tz", "Europe/Paris", kube=busy_shop()).out)
    return path


def _measured(browse: Callable[..., str], page: Path, width: int, *, dark: bool) -> dict[str, Any]:
    text = page.read_text()
    copy = page.with_name("measured.html")
    copy.write_text(re.sub(r"<meta http-equiv=[^>]*>", "", text).replace("</body>", PROBE))
    dom = browse(copy, width, dark, "--dump-dom")
    found = re.search(r'data-told="([^"]*)"', dom)
    assert found is not None, dom[:500]
    told: dict[str, Any] = json.loads(html.unescape(found[1]))
    return told


def _luminance(color: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1240, 500])
def test_the_page_fits_and_can_be_read(browse: Callable[..., str], page: Path, width: int, dark: bool) -> None:
    """Nothing sticks out, nothing is cut, the contrast is WCAG AA's (4.5), the chart is drawn, nothing is loaded."""
    told = _measured(browse, page, width, dark=dark)
    assert told["wide"] <= told["inner"]
    assert told["cut"] == []
    assert told["rects"] > 100
    assert told["chart"][0] >= 700
    assert told["loaded"] == 0
    assert (_luminance(told["ground"]) < 0.1) is dark
    assert _contrast(told["ground"], told["ink"]) >= 4.5
    assert _contrast(told["ground"], told["bad"]) >= 4.5


def test_the_page_can_be_photographed(browse: Callable[..., str], page: Path, tmp_path: Path) -> None:
    """The report as it is, its policy included; the picture is that of the docs."""
    target = Path(os.environ.get("CRONIX_SCREENSHOT") or tmp_path / "report.png")
    browse(page, 1240, False, f"--screenshot={target.resolve()}")
    assert target.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert target.stat().st_size > 50_000
