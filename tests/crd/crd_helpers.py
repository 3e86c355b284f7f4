"""The generated CRD and its generator, as the tests look at them; reads files of the repository only."""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
CRD_FILE = ROOT / "crds" / "cronix.dev_cronixapps.yaml"
PAGE = ROOT / "spec" / "cronixapp.md"

Schema = dict[str, Any]

# libyaml's parser where it is there: the CRD is long, and PyYAML's own takes a third of a second for it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_all(text: str) -> list[dict[str, Any]]:
    """Return the documents of a YAML stream, without the empty ones."""
    return [document for document in yaml.load_all(text, Loader=_LOADER) if document]  # a safe loader


def load_script(name: str) -> ModuleType:
    """Import scripts/<name>.py, which is a program and on no import path."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def load_crd() -> dict[str, Any]:
    (crd,) = load_all(CRD_FILE.read_text("utf-8"))
    return crd


def root_schema() -> Schema:
    (version,) = load_crd()["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    assert isinstance(schema, dict)
    return schema


def fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Yield (path, schema, required) of every named field below `path`; list items are written `name[]`."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child, name in schema.get("required", [])
        yield from fields(child, f"{path}.{name}")
        yield from fields(child.get("items", {}), f"{path}.{name}[]")


@functools.cache
def spec_fields() -> dict[str, tuple[Schema, bool]]:
    return {path: (schema, required) for path, schema, required in fields(root_schema()["properties"]["spec"], ".spec")}


@functools.cache
def status_fields() -> dict[str, tuple[Schema, bool]]:
    return {
        path: (schema, required) for path, schema, required in fields(root_schema()["properties"]["status"], ".status")
    }


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield every schema node below and at `path`: fields, list items and map values."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def closed(schema: Schema) -> Schema:
    """Return the schema as the API server reads it with strict field validation: what is not named is refused."""
    result: Schema = copy.deepcopy(schema)

    def close(node: Schema) -> None:
        free = node.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in node
        if node.get("type") == "object" and not free:
            node["additionalProperties"] = False
        for child in (*node.get("properties", {}).values(), *filter(None, [node.get("items")])):
            close(child)

    close(result)
    result["properties"]["metadata"] = {"type": "object"}
    return result


@functools.cache
def strict_validator() -> jsonschema.protocols.Validator:
    """Check a CronixApp's shape as the API server does, but for the CEL rules, which only a real one can run."""
    return jsonschema.Draft202012Validator(closed(root_schema()))


@functools.cache
def page_examples() -> list[dict[str, Any]]:
    """Return every CronixApp that the reference page shows."""
    blocks = PAGE.read_text("utf-8").split("```yaml\n")[1:]
    return [yaml.safe_load(block.split("```")[0]) for block in blocks]
