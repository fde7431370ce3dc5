"""Loading ``config.yaml``: defaults, then the file, then the environment, then the command line.

Every complaint names the file (or variable, or flag), the line, the key, what was expected and,
for an unknown key, the nearest valid name.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from engine.errors import SettingsError
from engine.settings import Settings

ENVIRONMENT_PREFIX = "AVATAR_"

_SECRETS = ("tokens", "credential", "openai_key", "database", "broker", "secret")
"""Parts of keys whose values are never shown."""

KeyPath = tuple[str, ...]


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[KeyPath, Any] | None = None,
) -> Settings:
    """Read the settings.

    Args:
        path: ``config.yaml``, or None for defaults only.
        environ: Where ``AVATAR_<SECTION>__<KEY>`` variables are looked up; other variables that
            start with ``AVATAR_`` but have no ``__`` are left alone.
        overrides: Values from the command line by key path; they win.

    Raises:
        SettingsError: Names every wrong or unknown key, not only the first.
    """
    values, places = _read(path) if path is not None else ({}, {})
    for key_path, raw in _from_environment(environ):
        _put(values, key_path, parse_scalar(raw))
        places[key_path] = f"environment variable {_variable(key_path)}"
    for key_path, value in (overrides or {}).items():
        _put(values, key_path, value)
        places[key_path] = "command line"
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(error, places, path))) from None


def _read(path: Path) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text.") from None
    try:
        values = yaml.safe_load(text)
        places = dict(_places(yaml.compose(text), path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise SettingsError(f"{path}:{line}: is not YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is not YAML: {error}.") from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path}:1: expected sections such as 'server:', found a plain value.")
    # An empty section ("server:" with everything commented out) means its defaults.
    return {key: {} if value is None else value for key, value in values.items()}, places


def _places(
    node: yaml.Node | None, path: Path, prefix: KeyPath = ()
) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            key_path = (*prefix, str(key.value))
            yield key_path, f"{path}:{key.start_mark.line + 1}"
            yield from _places(value, path, key_path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            key_path = (*prefix, str(index))
            yield key_path, f"{path}:{value.start_mark.line + 1}"
            yield from _places(value, path, key_path)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[KeyPath, str]]:
    for name, raw in sorted(environ.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            yield tuple(name[len(ENVIRONMENT_PREFIX) :].lower().split("__")), raw


def _variable(key_path: KeyPath) -> str:
    return ENVIRONMENT_PREFIX + "__".join(key_path).upper()


def parse_scalar(raw: str) -> Any:
    """Return the YAML value that a text stands for, or the text itself if it is not YAML."""
    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError:
        return raw


def _has_account(value: Any) -> bool:
    """Tell whether a value is an address with a name or a password in it."""
    return isinstance(value, str) and "://" in value and "@" in value


def without_secrets(values: Any) -> Any:
    """Return settings, as plain data, with what nobody else should see starred out."""
    if isinstance(values, dict):
        return {
            key: ("***" if value else value) if key in _SECRETS else without_secrets(value)
            for key, value in values.items()
        }
    if isinstance(values, list):
        return [without_secrets(value) for value in values]
    return values


def _put(values: dict[str, Any], key_path: KeyPath, value: Any) -> None:
    for key in key_path[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            inner = values[key] = {}
        values = inner
    values[key_path[-1]] = value


def _explain(
    error: ValidationError, places: Mapping[KeyPath, str], path: Path | None
) -> Iterator[str]:
    for item in error.errors():
        key_path = tuple(str(part) for part in item["loc"])
        place = _nearest_place(key_path, places) or str(path or "settings")
        key = ".".join(key_path)
        if item["type"] == "extra_forbidden":
            yield f"{place}: unknown key '{key}'{_suggestion(key_path)}"
            continue
        message = item["msg"].removeprefix("Value error, ")
        secret = any(word in key for word in _SECRETS) or _has_account(item["input"])
        shown = "" if secret or isinstance(item["input"], dict) else f", found {item['input']!r}"
        yield f"{place}: {key}: {message[0].lower()}{message[1:]}{shown}."


def _nearest_place(key_path: KeyPath, places: Mapping[KeyPath, str]) -> str | None:
    while key_path:
        if key_path in places:
            return places[key_path]
        key_path = key_path[:-1]
    return None


def _suggestion(key_path: KeyPath) -> str:
    valid = _valid_names(key_path[:-1])
    close = difflib.get_close_matches(key_path[-1], valid, n=1, cutoff=0.4)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; valid here: {', '.join(sorted(valid))}." if valid else "."


def _valid_names(prefix: KeyPath) -> list[str]:
    model: type[BaseModel] | None = Settings
    for key in prefix:
        if key.isdigit():
            continue
        field = model.model_fields.get(key) if model else None
        model = _section_of(field.annotation) if field else None
    return list(model.model_fields) if model else []


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _section_of(inner)
        if found is not None:
            return found
    return None


def render() -> str:
    """Return the text of the default ``config.yaml``."""
    lines = [
        "# Settings of avatar-server: every one with its default.",
        "# Environment variables AVATAR_<SECTION>__<KEY> and command-line flags come before it.",
        "# Check a changed file with: python server.py check-config",
    ]
    for name, field in Settings.model_fields.items():
        section = _section_of(field.annotation)
        assert section is not None
        lines += ["", f"# {(section.__doc__ or '').splitlines()[0]}", f"{name}:"]
        lines += _render_section(section, "  ")
    return "\n".join(lines) + "\n"


def _render_section(section: type[BaseModel], indent: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield f"{indent}# {(inner.__doc__ or '').splitlines()[0]}"
            yield f"{indent}{name}:"
            yield from _render_section(inner, indent + "  ")
            continue
        yield f"{indent}# {field.description} {_type_note(field)}".rstrip()
        yield f"{indent}{name}: {_render_value(field.get_default(call_default_factory=True))}"


def _render_value(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_render_value(item) for item in value) + "]"
    if isinstance(value, str) and value and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)


def _type_note(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) in (Union, UnionType):
        return ""
    choices = [item for item in get_args(annotation) if isinstance(item, str)]
    return f"[{' | '.join(choices)}]" if choices else ""
