"""spec/cronixapp.md against the CRD, field by field, in both directions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from crd.crd_helpers import PAGE, ROOT, load_crd, page_examples, spec_fields, status_fields, strict_validator

ROW = re.compile(r"^\| `(?P<path>\.(?:spec|status)[^`]*)` \|(?P<cells>.*)\|$", re.MULTILINE)
ALL_KNOBS = ".spec.overrides[].…"


def rows() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for match in ROW.finditer(PAGE.read_text("utf-8")):
        assert match["path"] not in found, f"{match['path']} is described twice"
        found[match["path"]] = [cell.strip() for cell in match["cells"].split(" | ")]
    return found


def documented_in_words() -> set[str]:
    """The fields that one row stands for: an override's are those of jobDefaults (test_crd_schema proves it)."""
    assert ALL_KNOBS in rows()
    return {path for path in spec_fields() if path.startswith(".spec.overrides[].")} - {".spec.overrides[].jobs"}


def test_every_field_of_the_crd_is_on_the_page_and_no_other() -> None:
    in_crd = {*spec_fields(), *status_fields()} - documented_in_words()
    on_page = set(rows()) - {ALL_KNOBS}
    assert {"not on the page": in_crd - on_page, "not in the CRD": on_page - in_crd} == {
        "not on the page": set(),
        "not in the CRD": set(),
    }


def test_the_page_follows_the_order_of_the_crd() -> None:
    ours = [path for path in rows() if path.startswith(".spec") and path != ALL_KNOBS]
    assert ours == [path for path in spec_fields() if path in set(ours)]


@pytest.mark.parametrize("path", sorted(set(rows()) - {ALL_KNOBS} - set(status_fields())))
def test_the_page_tells_the_default_that_the_api_server_fills_in(path: str) -> None:
    schema, required = spec_fields()[path]
    told = rows()[path][0]
    default = schema.get("default")
    if required:
        assert told == "*required*"
    elif default in (None, {}):
        assert not told.startswith("`") or path == ".spec.app", f"the page says {told}, the CRD has no default"
    else:
        assert told == f"`{default if isinstance(default, str) else json.dumps(default)}`"


@pytest.mark.parametrize("example", page_examples(), ids=lambda example: str(example["metadata"]["name"]))
def test_every_example_on_the_page_fits_the_schema(example: dict[str, Any]) -> None:
    strict_validator().validate(example)


def test_the_example_output_has_the_columns_of_the_crd() -> None:
    (version,) = load_crd()["spec"]["versions"]
    columns = [c["name"].upper() for c in version["additionalPrinterColumns"] if not c.get("priority")]
    shown = PAGE.read_text("utf-8").split("$ kubectl get cronixapp\n")[1].splitlines()[0]
    assert re.split(r" {2,}", shown) == ["NAME", *columns]


def test_limits_in_words_are_those_of_the_schema() -> None:
    """The numbers that the page repeats in its sentences."""
    page = rows()
    for path, words in {
        ".spec.jobDefaults.startingDeadlineSeconds": "from {minimum} to {maximum}",
        ".spec.jobDefaults.successfulJobsHistoryLimit": "from {minimum} to {maximum}",
        ".spec.jobDefaults.failedJobsHistoryLimit": "from {minimum} to {maximum}",
        ".spec.jobDefaults.ttlSecondsAfterFinished": "at least {minimum}",
        ".spec.jobDefaults.jitterSeconds": "at most {maximum}",
        ".spec.connection.headers": "At most {maxItems}",
        ".spec.targets.allowedHosts": "At most {maxItems}",
        ".spec.overrides": "at most {maxItems}",
        ".spec.overrides[].jobs": "{minItems} to {maxItems}",
        ".spec.signing.keys": "{minItems} to {maxItems}",
        ".status.jobs": "at most {maxItems}",
        ".status.invalidJobs": "at most {maxItems}",
    }.items():
        schema, _ = {**spec_fields(), **status_fields()}[path]
        assert words.format(**schema) in page[path][-1]


def test_links_within_the_page_lead_somewhere() -> None:
    text = PAGE.read_text("utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert links
    assert links <= anchors


def test_every_annotation_that_the_operator_knows_is_on_the_page() -> None:
    source = (ROOT / "operator" / "cronix_operator" / "core" / "app.py").read_text("utf-8")
    known = set(re.findall(r'"(cronix\.dev/[a-z-]+)"', source))
    assert known
    assert known == set(re.findall(r"^\| `(cronix\.dev/[a-z-]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))


# The first text among the arguments of whatever carries a reason; an Event's type comes before its reason.
REASON = re.compile(
    r"(?:Stalled|Waiting|TargetRefused|_Unrenderable|Hold|JobFault|Announcement)"
    r'\((?:\s*"(?:Normal|Warning)",|\s*[a-z_.]+(?:\([^)]*\))?,)*\s*"(?P<reason>(?!Normal"|Warning")[A-Z][A-Za-z]+)"'
)
CONDITION = re.compile(r'(?:warnings|abnormal)\["(?P<type>[A-Z][A-Za-z]+)"\] = ')


def in_table_under(title: str) -> set[str]:
    section = PAGE.read_text("utf-8").split(f"\n### {title}\n")[1].split("\n#")[0]
    return set(re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", section, re.MULTILINE))


def operator_sources() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in (ROOT / "operator" / "cronix_operator").rglob("*.py")}


def test_every_condition_that_the_operator_sets_is_on_the_page() -> None:
    set_by_operator = {match["type"] for text in operator_sources().values() for match in CONDITION.finditer(text)}
    assert {"JobsInvalid", "PruneBlocked", "Stalled"} <= set_by_operator
    assert set_by_operator - in_table_under("Conditions") == set()


def test_every_reason_that_the_operator_gives_is_on_the_page() -> None:
    """One word from the plan to the condition, the Event and this table: a reader can look up what kubectl shows."""
    given: dict[str, str] = {}
    for name, text in operator_sources().items():
        given |= {match["reason"]: name for match in REASON.finditer(text)}
    assert {"InvalidSpec", "FetchFailed", "HostNotAllowed", "KeyNotMapped", "DriftRepaired"} <= set(given)
    told = in_table_under("Reasons") | in_table_under("Events")
    assert {reason: where for reason, where in given.items() if reason not in told} == {}
