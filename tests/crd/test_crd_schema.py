"""The CRD file: current, bounded, described, and without what a CronixApp must not be able to say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from crd.crd_helpers import (
    fields,
    load_crd,
    load_script,
    nodes,
    root_schema,
    spec_fields,
    status_fields,
    strict_validator,
)

generator = load_script("generate_crd")


def test_the_committed_files_are_what_the_source_says() -> None:
    """The plain CRD and the chart's template come from one source, so they cannot differ."""
    for path, text in generator.render_files(generator.build()).items():
        assert path.read_text("utf-8") == text, f"{path.name}: run python scripts/generate_crd.py"


def test_the_check_fails_on_a_stale_file_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = generator.CRD.read_text("utf-8")
    monkeypatch.setattr(generator, "render_files", lambda _: {generator.CRD: before + "# one line more\n"})

    assert generator.main(["--check"]) == 1

    assert "crds/cronix.dev_cronixapps.yaml is out of date" in capsys.readouterr().err
    assert generator.CRD.read_text("utf-8") == before


def test_a_field_that_does_not_work_yet_can_be_left_out() -> None:
    not_yet = {"spec.prune", "spec.signing.keys[].name", "status.jobs[].hash", "status.summary.jobs"}
    (version,) = generator.build(frozenset(not_yet))["spec"]["versions"]
    left = {path for path, _, _ in fields(version["schema"]["openAPIV3Schema"], "")}

    assert ".spec.prune" not in left
    assert ".spec.prune.maxDeletePercent" not in left
    assert ".spec.signing.keys[].name" not in left
    assert ".spec.signing.keys[].secretKeyRef" in left
    assert ".status.jobs[].hash" not in left
    names = [column["name"] for column in version["additionalPrinterColumns"]]
    assert "Jobs" not in names, "a column that would stay empty goes with its field"
    assert "Ready" in names


def test_leaving_out_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        generator.build(frozenset({"spec.prune.maxDeletePercnt"}))


def test_every_field_says_what_it_means() -> None:
    silent = [path for path, schema in {**spec_fields(), **status_fields()}.items() if not schema[0].get("description")]
    assert silent == []


@pytest.mark.parametrize("part", ["spec", "status"])
def test_everything_has_an_upper_bound(part: str) -> None:
    """J6, J8: no list, map or text of a CronixApp can be made long; CEL costs are counted from these bounds, too."""
    unbounded = []
    for path, schema in nodes(root_schema()["properties"][part], f".{part}"):
        kind = schema.get("type")
        if kind == "string" and not {"maxLength", "enum", "format"} & set(schema):
            unbounded.append(path)
        if schema.get("x-kubernetes-int-or-string") and "maxLength" not in schema:
            unbounded.append(path)
        if kind == "array" and "maxItems" not in schema:
            unbounded.append(path)
        if "additionalProperties" in schema and "maxProperties" not in schema:
            unbounded.append(path)
    assert unbounded == []


def test_unknown_fields_are_kept_only_where_another_schema_rules() -> None:
    open_paths = [path for path, schema in nodes(root_schema(), "") if "x-kubernetes-preserve-unknown-fields" in schema]
    affinity = [f"{place}.pod.affinity.{kind}" for place in (".spec.jobDefaults", ".spec.overrides[]") for kind in
                ("nodeAffinity", "podAffinity", "podAntiAffinity")]  # fmt: skip
    assert open_paths == [".spec.source.inline", *affinity]


def test_a_cronixapp_cannot_reach_for_the_pod_or_for_another_namespace() -> None:
    """T1, T6: no namespace in any reference; no image, command, volumes, environment, account or security context."""
    names = {path.rpartition(".")[2] for path in spec_fields()}
    never = {
        "namespace", "image", "command", "args", "volumes", "volumeMounts", "env", "envFrom", "securityContext",
        "serviceAccountName", "hostNetwork", "hostPID", "hostAliases", "dnsConfig", "dnsPolicy", "runtimeClassName",
        "topologySpreadConstraints", "initContainers", "containers", "automountServiceAccountToken",
    }  # fmt: skip
    decided_against = {
        "concurrencyScope", "deletionPolicy", "driftPolicy", "policy", "insecureSkipVerify", "caBundle", "serverName",
    }  # fmt: skip
    assert names & (never | decided_against) == set()


def test_an_override_offers_what_job_defaults_offer_and_has_no_default_of_its_own() -> None:
    """A default in an override would silently undo what jobDefaults say."""
    spec = root_schema()["properties"]["spec"]["properties"]
    knobs = {path: schema for path, schema, _ in fields(spec["jobDefaults"], "")}
    override = {path: schema for path, schema, _ in fields(spec["overrides"]["items"], "")}

    assert set(override) == {".jobs", *knobs}
    assert [path for path, schema in override.items() if "default" in schema] == []
    for path, schema in knobs.items():
        if "properties" not in schema:
            assert {k: v for k, v in schema.items() if k != "default"} == override[path]


def test_every_rule_says_what_to_write() -> None:
    """A CEL rule without a message prints its own source, which helps nobody."""
    checked = [(path, schema.get("x-kubernetes-validations", [])) for path, schema in nodes(root_schema(), "")]
    rules = [(path, rule) for path, its_rules in checked for rule in its_rules]
    assert len(rules) > 20
    assert [path for path, rule in rules if len(rule.get("message", "")) < 15] == []


def test_the_columns_are_those_a_person_wants_to_see() -> None:
    (version,) = load_crd()["spec"]["versions"]
    columns = version["additionalPrinterColumns"]
    wanted = ["Jobs", "Failing", "Ready", "Reason", "Next", "Last Sync", "Age"]
    if "status.summary.failing" in generator.NOT_YET:
        wanted.remove("Failing")
    assert [c["name"] for c in columns if not c.get("priority")] == wanted
    types = {c["name"]: c["type"] for c in columns}
    assert types["Next"] == "string", "a date column prints a time in the future as <invalid>"
    for column in columns:
        shown = column["jsonPath"]
        head = re.split(r"[.\[]", shown.removeprefix(".status."))[0]
        known = head in root_schema()["properties"]["status"]["properties"] or shown.startswith(".metadata.")
        assert known, f"column {column['name']} shows {shown}, which is not in the status"


def test_helm_keeps_the_crd_because_deleting_it_deletes_every_cronjob() -> None:
    """K8."""
    assert load_crd()["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_operator_has_not_looked_yet_is_told_from_generation_zero() -> None:
    assert root_schema()["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_the_shortest_cronixapp_is_ten_lines_and_valid() -> None:
    shortest: dict[str, Any] = {
        "apiVersion": "cronix.dev/v1alpha1",
        "kind": "CronixApp",
        "metadata": {"name": "billing"},
        "spec": {"source": {"service": {"name": "billing"}}, "signing": {"secretRef": {"name": "billing-cron"}}},
    }
    strict_validator().validate(shortest)
