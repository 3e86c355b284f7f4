"""`timeline` and `report`: the day as it is by the schedules in force and the runs that are known."""

from __future__ import annotations

import html.parser
import json
import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from cli.cli_helpers import NOW, Kube, assert_golden, call
from cli.cli_world import busy_shop, shop
from cronix_cli.day import day_of, slots_in
from cronix_cli.lines import Line
from operator_fakes.builders import NAMESPACE

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def kube() -> Kube:
    return busy_shop()


def _line(schedule: str, zone: str = "UTC", **status: str) -> Line:
    live = {"metadata": {"name": "x", "creationTimestamp": "2026-11-24T03:01:00Z"}, "spec": {}, "status": status}
    return Line("shop", "billing", "x", 0, schedule, zone, live)


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 11, 24), 24), (date(2027, 3, 28), 23), (date(2026, 10, 25), 25)]
)
def test_a_day_is_as_long_as_it_is(day: date, hours: int) -> None:
    """Where the clocks change it has 23 or 25 hours, and an hourly job fires as often."""
    found = day_of(day, PARIS)
    assert (found.end.astimezone(UTC) - found.start.astimezone(UTC)).total_seconds() == hours * 3600
    assert len(list(slots_in(_line("0 * * * *", "Europe/Paris"), found))) == hours


def test_every_is_counted_from_its_last_slot_and_never_before_its_creation() -> None:
    """`@every` has no wall clock."""
    day = day_of(date(2026, 11, 24), UTC)
    slots = list(slots_in(_line("@every 5h", lastScheduleTime="2026-11-24T08:01:00Z"), day))
    assert [f"{slot:%H:%M}" for slot in slots] == ["08:01", "13:01", "18:01", "23:01"]


@pytest.mark.parametrize("width", [80, 160])
def test_what_a_person_sees(kube: Kube, width: int) -> None:
    """Golden captures, looked at."""
    assert_golden(f"timeline-{width}", call("timeline", "--tz", "Europe/Paris", kube=kube, width=width).out)


def test_the_timeline_as_json_counts_slots_and_runs(kube: Kube) -> None:
    """The numbers behind the picture."""
    found = json.loads(call("timeline", "-o", "json", kube=kube).out)
    rows = {f"{row['app']}/{row['job']}/{row['index']}": row for row in found["items"]}
    assert sum(rows["billing/reconcile-payments/0"]["fires"]) == 96
    assert sum(rows["billing/reconcile-payments/0"]["succeeded"]) == 3
    assert rows["billing/settle-invoices/0"]["failed"].index(1) == 2  # 01:00 UTC, in half hours
    assert sum(rows["billing/report/0"]["fires"]) == 0  # suspended
    assert found["busiestMinute"] == {"time": "2026-11-24T13:30:00Z", "starts": 3}


class _Page(html.parser.HTMLParser):
    """Tags in order, text, and whatever could load or run something."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _page(kube: Kube, *arguments: str) -> str:
    told = call("report", *arguments, kube=kube)
    assert told.code == 0, told.err
    return told.out


def test_the_page_loads_nothing_and_runs_nothing(kube: Kube) -> None:
    """One file, no script, every tag closed; a policy forbids the rest."""
    text = _page(kube)
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.tags & {"script", "img", "link", "iframe", "object", "embed", "form", "base", "a"} == set()
    assert [name for name, _ in page.attributes if name.startswith("on") or name in {"src", "href"}] == []
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert "prefers-color-scheme:dark" in text


def test_what_others_wrote_arrives_as_text(kube: Kube) -> None:
    """A hostile app or tenant: names, messages and answers cannot become markup (attack C7)."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=y>\x1b[31m"
    app = kube.objects["cronixapps", NAMESPACE, "billing"]
    app["status"]["conditions"][0] |= {"message": evil, "reason": evil, "status": "False"}
    app["status"]["invalidJobs"] = [{"name": evil, "reason": evil, "message": evil}]
    for (kind, _, _), body in kube.objects.items():
        if kind == "cronjobs":
            body["metadata"]["annotations"]["cronix.dev/job-name"] = evil
        if kind == "pods":
            for status in body["status"]["containerStatuses"]:
                ended = status["state"].get("terminated")
                if ended:
                    told = json.loads(ended["message"])
                    ended["message"] = json.dumps(
                        told | {"message": evil[:200], "excerpt": evil[:150], "run_id": evil[:60]}
                    )
    text = _page(kube, "--title", evil)
    page = _Page()
    page.feed(text)
    assert page.tags & {"script", "img"} == set()
    assert "\x1b" not in text
    assert text.count("&lt;script&gt;") > 10


def test_the_page_tells_what_is_late_and_what_fails_first(kube: Kube) -> None:
    """Before any table."""
    text = re.sub(r"<style>.*?</style>", "", _page(kube), flags=re.DOTALL)
    before = text[: text.index("<h2>The day</h2>")]
    for words in (
        "shipping/sweep/0: the slot of 2026-11-24T09:30:00Z",
        "RetriesExhausted",
        "2 in a row",
        "JobsInvalid",
    ):
        assert words in before
    assert '<b class="bad">1/2</b>' in before


def test_a_quiet_place_says_so() -> None:
    """No news in one line."""
    kube = shop()
    kube.objects["cronixapps", NAMESPACE, "billing"]["status"]["conditions"][0] |= {"status": "True"}
    now = datetime(2026, 11, 24, 9, 46, tzinfo=UTC)
    for (kind, _, name), body in kube.objects.items():
        if kind == "cronjobs":
            body["metadata"]["creationTimestamp"] = "2026-11-24T09:45:30Z"
            assert name
    assert "Nothing is late, nothing fails" in call("report", kube=kube, now=now).out
    assert now < NOW
