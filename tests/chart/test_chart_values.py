"""The chart without Helm: values, their schema, the README made of them, rights, and what the operator is told."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import jsonschema
import pytest
import yaml

from crd.crd_helpers import ROOT, load_script, strict_validator
from cronix_operator.core.rights import Scope, needed

CHART = ROOT / "charts" / "cronix-operator"
readme = load_script("generate_chart_readme")


def values() -> dict[str, Any]:
    loaded = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def schema() -> dict[str, Any]:
    loaded = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def about() -> dict[str, Any]:
    loaded = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def put(tree: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split(".")
    node = tree
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = value
    return tree


def test_the_default_values_fit_their_schema() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    jsonschema.Draft7Validator(schema()).validate(values())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("podSecurityContxt", {}),
        ("image.digset", ""),
        ("image.digest", "latest"),
        ("image.digest", "sha256:" + "g" * 64),
        ("signer.image.repository", ""),
        ("watch.mode", "list"),
        ("watch.namespaces", "shop"),
        ("watch.namespaces", ["Shop"]),
        ("rbac.secrets", "get"),
        ("rbac.previousSuccess", "cluster"),
        ("config.workers", 0),
        ("config.workers", "8"),
        ("config.maxCronJobsPerApp", 16385),
        ("config.logLevel", "verbose"),
        ("health.port", 80),
        ("resources.limit", {}),
        ("livenessProbe.periodSecond", 1),
        ("readinessProbe.successThreshold", 2),
        ("commonLabels", {"a": 1}),
        ("imagePullSecrets", ["regcred"]),
        ("extraEnv", [{"value": "x"}]),
        ("proxy", {"https": "http://proxy:3128"}),
        ("caBundle.key", "a/b"),
        ("replicaCount", "2"),
        ("leaderElection.retryPeriodSeconds", 0),
        ("podDisruptionBudget.maxUnavailable", 1),
        ("topologySpreadConstraints", [{"maxSkew": 1}]),
        ("signer.rollsPerSecond", 0),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_installed(path: str, value: object) -> None:
    assert not jsonschema.Draft7Validator(schema()).is_valid(put(values(), path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("podSecurityContext", None),
        ("securityContext", None),
        ("podSecurityContext.runAsUser", None),
        ("resources", None),
        ("image.digest", "sha256:" + "0" * 64),
        ("global", {"anything": True}),
        ("watch.namespaces", ["shop", "billing"]),
    ],
)
def test_what_openshift_and_umbrella_charts_need_is_accepted(path: str, value: object) -> None:
    jsonschema.Draft7Validator(schema()).validate(put(values(), path, value))


def test_every_value_is_in_the_schema_and_the_schema_has_no_other() -> None:
    definitions = schema()["definitions"]

    def compare(node: dict[str, Any], tree: dict[str, Any], path: str) -> None:
        node = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if node.get("additionalProperties") is not False:
            return
        optional = {"global"} if not path else {"claims", "successThreshold"}
        assert set(node["properties"]) - optional == set(tree), f"at {path or 'the top'}"
        for name, child in node["properties"].items():
            if isinstance(tree.get(name), dict) and "properties" in (
                definitions[child["$ref"].rpartition("/")[2]] if "$ref" in child else child
            ):
                compare(child, tree[name], f"{path}.{name}")

    compare(schema(), values(), "")


def test_every_field_that_the_schema_bounds_is_refused_by_its_name() -> None:
    """Helm prints the path of what is wrong; a bare "invalid" would send people to the source."""
    (fault,) = jsonschema.Draft7Validator(schema()).iter_errors(put(values(), "leaderElection.leaseDuration", 15))
    assert list(fault.absolute_path) == ["leaderElection"]
    assert "leaseDuration" in fault.message


def test_the_readme_is_made_of_the_values() -> None:
    assert readme.main(["--check"]) == 0, "run python scripts/generate_chart_readme.py"


def test_a_value_without_a_description_stops_the_readme() -> None:
    with pytest.raises(ValueError, match=r"says nothing about b\.c"):
        readme.table("# -- First.\na: 1\nb:\n  c: 2\n")


def test_a_description_belongs_to_the_key_below_it() -> None:
    found = readme.described("a:\n  # -- Inner.\n  b: 1\n# -- Outer.\nc: {}\n")
    assert list(found) == [("a.b", "Inner."), ("c", "Outer.")]


def test_every_value_is_used_by_a_template() -> None:
    """A value that nothing reads is a promise that is not kept."""
    templates = "\n".join(path.read_text("utf-8") for path in (CHART / "templates").rglob("*") if path.is_file())
    used = set(re.findall(r"\.Values\.([A-Za-z.]+)", templates)) | {
        f"rbac.aggregateTo.{name}" for name in re.findall(r"\$to\.([a-z]+)", templates)
    }
    image_parts = set(re.findall(r"\.image\.([A-Za-z]+)", templates))

    def leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
        found: list[str] = []
        for name, child in tree.items():
            path = f"{prefix}{name}"
            found += leaves(child, f"{path}.") if isinstance(child, dict) and child and path not in used else [path]
        return found

    unused = [
        path
        for path in leaves(put(put(values(), "image", {}), "signer", {}))
        if path not in used and path not in {"image", "signer"}
    ]
    assert unused == []
    assert image_parts >= set(values()["image"])
    assert {"image.pullPolicy", "signer.image.pullPolicy"} <= used


def test_the_versions_are_the_distribution_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert about()["appVersion"] == project["version"]
    assert about()["version"] == project["version"]


def test_artifact_hub_shows_a_cronixapp_that_is_valid() -> None:
    examples = yaml.safe_load(about()["annotations"]["artifacthub.io/crdsExamples"])
    assert examples
    for example in examples:
        strict_validator().validate(example)
    (crd,) = yaml.safe_load(about()["annotations"]["artifacthub.io/crds"])
    assert (crd["kind"], crd["version"], crd["name"]) == ("CronixApp", "v1alpha1", "cronixapps.cronix.dev")


def test_the_notes_show_a_cronixapp_that_is_valid() -> None:
    notes = (CHART / "templates" / "NOTES.txt").read_text("utf-8")
    text = notes.split("<<EOF\n")[1].split("  EOF\n")[0]
    strict_validator().validate(yaml.safe_load(text))


def defined(name: str) -> Any:
    """The rules that a named template of the chart holds; they are plain YAML."""
    helpers = (CHART / "templates" / "_helpers.tpl").read_text("utf-8")
    return yaml.safe_load(helpers.split(f'define "{name}" -}}}}')[1].split("{{- end }}")[0])


def test_the_rights_are_the_golden_list_and_nothing_more() -> None:
    """T2, T10: design §7. Adding a right means changing this list in plain sight."""
    rights = {
        f"{(group + '/') if group else ''}{resource}": " ".join(rule["verbs"])
        for rule in (*defined("cronix-operator.rules"), *defined("cronix-operator.secretsRule"))
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rights == {
        f"{(right.group + '/') if right.group else ''}{right.resource}"
        f"{('/' + right.subresource) if right.subresource else ''}": " ".join(
            other.verb
            for other in needed(Scope())
            if (other.group, other.resource, other.subresource) == (right.group, right.resource, right.subresource)
        )
        for right in needed(Scope())
    }, "what the operator looks for at its start is another list"
    assert rights == {
        "cronix.dev/cronixapps": "get list watch",
        "cronix.dev/cronixapps/status": "patch",
        "batch/cronjobs": "get list watch create update delete",
        "batch/cronjobs/status": "patch",
        "batch/jobs": "get list watch",
        "pods": "get list watch",
        "events": "create patch",
        "services": "get",
        "configmaps": "get",
        "secrets": "get",
    }


def test_the_right_to_write_config_maps_is_one_more_and_off_as_it_comes() -> None:
    """T2: the same list that the operator looks for, where it was told that it has the right."""
    (rule,) = defined("cronix-operator.successRule")
    more = [right for right in needed(Scope(writes_successes=True)) if right not in needed(Scope())]
    assert [(right.group, right.resource, right.verb) for right in more] == [
        ("", "configmaps", v) for v in rule["verbs"]
    ]
    assert rule == {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "update", "delete"]}
    assert values()["rbac"]["previousSuccess"] is False


def test_the_chart_sets_the_variables_that_the_operator_reads() -> None:
    deployment = (CHART / "templates" / "deployment.yaml").read_text("utf-8")
    given = set(re.findall(r"- name: ([A-Z]+_[A-Z_]+)\n", deployment))
    settings = (ROOT / "operator" / "cronix_operator" / "settings.py").read_text("utf-8")
    read = set(re.findall(r'"([A-Z]+_[A-Z_]+)"', settings))
    from_kubernetes = {"KUBERNETES_SERVICE_HOST"}
    outside_a_cluster = {"CRONIX_KUBECONFIG"}
    assert read - from_kubernetes - outside_a_cluster <= given
    assert given <= read


def test_the_image_s_build_context_names_everything_that_is_copied() -> None:
    folder = ROOT / "images" / "cronix-operator"
    lines = (folder / "inputs.txt").read_text("utf-8").splitlines()
    inputs = [line for line in lines if line and not line.startswith("#")]
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (folder / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert sorted(inputs) == sorted({"images/cronix-operator/Dockerfile", *(path.rstrip("/") for path in copied)})
    assert [path for path in inputs if not path.startswith("build/") and not (ROOT / path).exists()] == []


def test_the_image_runs_as_a_number_and_without_pip() -> None:
    """K1: runAsNonRoot can only be checked for a numeric user."""
    text = (ROOT / "images" / "cronix-operator" / "Dockerfile").read_text("utf-8")
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 65532:65532$", last, re.MULTILINE)
    # Without a passwd entry, getpass.getuser() (kopf calls it at start) looks here or fails.
    assert re.search(r"^ENV USER=", last, re.MULTILINE)
    assert "pip" not in last
    assert "--require-hashes" in text
