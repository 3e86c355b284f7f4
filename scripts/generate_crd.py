"""CRD source in, two files out: crds/cronix.dev_cronixapps.yaml and the chart's template of it.

Usage: ``python scripts/generate_crd.py [--check]``. With ``--check`` nothing is written, and a file that
is not what the source says ends the program with exit code 1.

The source (crds/source/*.yaml) is plain CRD YAML with four words of its own: ``$use: name`` puts a named piece in
place, ``$defaults: {field: default}`` gives its fields defaults, ``$knobs: {field: default}`` adds the per-job fields
to an object with defaults, and ``$anyKnob: message`` is the rule that at least one of them is given.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Node: TypeAlias = Any  # a YAML tree: its shape is the OpenAPI schema's, which has no useful Python type

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "crds" / "source"
CRD = ROOT / "crds" / "cronix.dev_cronixapps.yaml"
TEMPLATE = ROOT / "charts" / "cronix-operator" / "templates" / "crd.yaml"

#: Fields that the operator does not read or write yet. A field that does not work is not in the CRD, so these are left
#: out of it, and so are the columns that show them; spec/cronixapp.md must not speak of them either (tests/crd).
NOT_YET: frozenset[str] = frozenset(
    {
        "status.manifest.lastAttemptTime",
        "status.jobs[].hash",
    }
)

HEADER = "# Written by scripts/generate_crd.py from crds/source; edit there.\n"

TEMPLATE_HEAD = """\
{{- /* Written by scripts/generate_crd.py from crds/source; edit there. */}}
{{- if .Values.crds.install }}
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: cronixapps.cronix.dev
  {{- $annotations := dict }}
  {{- if .Values.crds.keep }}
  {{- $_ := set $annotations "helm.sh/resource-policy" "keep" }}
  {{- end }}
  {{- $annotations = merge $annotations (.Values.crds.annotations | default dict) }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  labels:
    {{- include "cronix-operator.labels" . | nindent 4 }}
"""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Node) -> bool:  # noqa: ARG002  # PyYAML asks for each node; the answer is the same
        return True


def dump(tree: Node) -> str:
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, width=150, allow_unicode=True, default_flow_style=False)


def load_source(folder: Path = SOURCE) -> tuple[Node, dict[str, Node]]:
    """Read the CRD's frame, and the pieces by name."""
    pieces: dict[str, Node] = {}
    for name in ("types", "spec", "status"):
        pieces |= yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8"))
    return yaml.safe_load((folder / "crd.yaml").read_text("utf-8")), pieces


def expand(node: Node, pieces: dict[str, Node]) -> Node:
    """Replace every word of the source's own by what it stands for."""
    if isinstance(node, list):
        return [expand(item, pieces) for item in node]
    if not isinstance(node, dict):
        return node
    if "$anyKnob" in node:
        given = " || ".join(f"has(self.{name})" for name in pieces["knobs"])
        return {"rule": given, "message": node["$anyKnob"]}
    merged = dict(node)
    if "$use" in merged:
        own = {key: value for key, value in merged.items() if key != "$use"}
        piece = pieces[merged["$use"]]
        # A description is read first; keep it on top where the place of use gives its own.
        merged = {**({"description": ""} if "description" in own else {}), **piece, **own}
    for word, fields in (("$knobs", pieces["knobs"]), ("$defaults", {})):
        if word in merged:
            defaults = merged.pop(word)
            merged["properties"] = copy.deepcopy({**merged.get("properties", {}), **fields})
            for name, value in defaults.items():
                merged["properties"][name]["default"] = value
    return {key: expand(value, pieces) for key, value in merged.items()}


def leave_out(schema: Node, paths: frozenset[str]) -> None:
    """Remove the fields at these paths from an object's schema, in place. A path that is not there is an error."""
    for path in sorted(paths):
        *parents, last = path.split(".")
        node = schema
        for name in parents:
            node = node["properties"][name.removesuffix("[]")]
            node = node["items"] if name.endswith("[]") else node
        del node["properties"][last]


def build(not_yet: frozenset[str] = NOT_YET) -> Node:
    """Return the whole CRD as a tree."""
    frame, pieces = load_source()
    crd = expand(frame, pieces)
    (version,) = crd["spec"]["versions"]
    leave_out(version["schema"]["openAPIV3Schema"], not_yet)
    version["additionalPrinterColumns"] = [
        column for column in version["additionalPrinterColumns"] if column["jsonPath"].removeprefix(".") not in not_yet
    ]
    return crd


def render_files(crd: Node) -> dict[Path, str]:
    """Return the text of each generated file."""
    body = dump({"spec": crd["spec"]})
    if "{{" in body:
        raise ValueError("the CRD holds {{, which Helm would read as a template")
    return {CRD: HEADER + dump(crd), TEMPLATE: TEMPLATE_HEAD + body + "{{- end }}\n"}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the CronixApp CRD and the chart's template of it.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    options = parser.parse_args(argv)
    stale = [
        (path, text)
        for path, text in render_files(build()).items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    for path, text in stale:
        if options.check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run python scripts/generate_crd.py\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
