"""Command-line flags from a generator's declaration.

Values stay texts, and the parameters' own model reads them: so a range or a type is checked in one
place, whether it comes from a command, from HTTP or from a form.
"""

import argparse
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from processors.generate.declaration import Generator, Inputs

_PARAM = "param:"
_INPUT = "input:"


@dataclass(frozen=True, slots=True)
class _Flag:
    """A parameter that has no parts.

    Attributes:
        path: Its name, behind those of the models that it is part of.
        field: Its declaration.
        default: Its default; None where it is required.
    """

    path: tuple[str, ...]
    field: FieldInfo
    default: Any

    @property
    def name(self) -> str:
        return "--" + "-".join(self.path).replace("_", "-")


def add_flags(parser: argparse.ArgumentParser, generator: Generator[Any]) -> None:
    """Add a flag for each input and each parameter; nested ones are joined: ``--style-size``."""
    files = parser.add_argument_group("files")
    for item in generator.inputs:
        files.add_argument(
            f"--{item.name.replace('_', '-')}",
            dest=_INPUT + item.name,
            type=Path,
            nargs="+" if item.several else None,
            required=item.required,
            metavar="FILE",
            help=_escaped(item.help),
        )
    group = parser.add_argument_group("parameters")
    for flag in _flags(generator.parameters):
        _add(group, flag)


def params_of(generator: Generator[Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters that were given, for ``Generator.validate``."""
    found: dict[str, Any] = {}
    for flag in _flags(generator.parameters):
        value = getattr(options, _PARAM + ".".join(flag.path))
        if value is None:
            continue
        inner = found
        for part in flag.path[:-1]:
            inner = inner.setdefault(part, {})
        inner[flag.path[-1]] = value
    return found


def inputs_of(generator: Generator[Any], options: argparse.Namespace) -> Inputs:
    """Return the files that were given, by the names that generators know them by."""
    found: dict[str, Path] = {}
    for item in generator.inputs:
        given = getattr(options, _INPUT + item.name)
        paths = [given] if isinstance(given, Path) else list(given or ())
        for number, path in enumerate(paths, 1):
            found[item.name if number == 1 else f"{item.name}-{number}"] = path
    return found


def _flags(model: type[BaseModel], before: tuple[str, ...] = ()) -> Iterator[_Flag]:
    for name, field in model.model_fields.items():
        path = (*before, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _flags(field.annotation, path)
        else:
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            yield _Flag(path, field, default)


def _add(group: Any, flag: _Flag) -> None:
    kind, many = _kind(flag.field.annotation)
    how: dict[str, Any] = {"dest": _PARAM + ".".join(flag.path), "default": None}
    if kind is bool:
        how["action"] = argparse.BooleanOptionalAction
    else:
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        how["choices"] = [str(choice) for choice in choices] or None
        how["metavar"] = None if choices else _metavar(kind)
        if many:
            how["nargs"] = "*"
    required = flag.field.is_required()
    group.add_argument(flag.name, required=required, help=_help(flag), **how)


def _kind(annotation: Any) -> tuple[Any, bool]:
    """Return the type of a parameter or of its items, and whether it is a list."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not types.NoneType]
        return _kind(inner[0])
    if origin in (tuple, list):
        return get_args(annotation)[0], True
    return annotation, False


def _metavar(kind: Any) -> str:
    return {int: "NUMBER", float: "NUMBER", str: "TEXT"}.get(kind, "VALUE")


def _help(flag: _Flag) -> str:
    field = flag.field
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    notes = [text for text in (_range(field), str(extra.get("x-unit", ""))) if text]
    if flag.default not in (None, "", ()):
        shown = flag.default
        if isinstance(shown, tuple | list):
            shown = " ".join(str(item) for item in shown)
        notes.append(f"default: {str(shown).lower() if isinstance(shown, bool) else shown}")
    text = (field.description or "").rstrip(".")
    return _escaped(f"{text} ({', '.join(notes)})" if notes else text)


def _range(field: FieldInfo) -> str:
    """Return the bounds of a number, e.g. ``0..51``."""
    bounds: dict[str, Any] = {}
    for item in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(item, name, None) is not None:
                bounds[name] = getattr(item, name)
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is None and high is None:
        return ""
    if high is None:
        return f"{'at least' if 'ge' in bounds else 'more than'} {low}"
    if low is None:
        return f"{'at most' if 'le' in bounds else 'less than'} {high}"
    return f"{low}..{high}"


def _escaped(text: str) -> str:
    # argparse formats help with %.
    return text.replace("%", "%%")
