"""A generator's declaration as JSON: for forms, ``/openapi.json`` and ``GET /generators``."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from processors.generate.declaration import Generator

_REFERENCE = "#/$defs/"


def schema(generator: Generator[Any]) -> dict[str, Any]:
    """Return the JSON schema of a generator's parameters, without references to elsewhere.

    Besides the standard's keywords, ``x-unit``, ``x-widget``, ``x-group`` and ``x-step`` say what
    ``declaration.form`` was given.
    """
    whole = generator.parameters.model_json_schema()
    definitions = whole.pop("$defs", {})
    made: dict[str, Any] = _inlined(whole, definitions)
    made["title"] = generator.title
    made["description"] = generator.summary
    return made


def describe(generator: Generator[Any]) -> dict[str, Any]:
    """Return all that a page needs to know of a generator."""
    return {
        "name": generator.name,
        "title": generator.title,
        "summary": generator.summary,
        "params": schema(generator),
        "inputs": [asdict(item) for item in generator.inputs],
        "outputs": [asdict(item) for item in generator.outputs],
    }


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Copy a schema with what its references name in their places. Models are not recursive."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    rest = {key: _inlined(value, definitions) for key, value in node.items() if key != "$ref"}
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix(_REFERENCE)]
        return {**_inlined(target, definitions), **rest}
    return rest
