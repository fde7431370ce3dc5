"""The settings of the face swap as parameters of generators: one list, that of the live swap."""

import copy
import functools
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from annotated_types import Ge, Le
from pydantic import create_model, field_validator
from pydantic.fields import FieldInfo

from engine.errors import Forbidden
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.generate.declaration import Parameters, form
from processors.models.catalog import Catalog, load_catalog
from processors.models.library import ModelLibrary
from processors.swap.models import SwapModels, WrongKindOfModel
from processors.swap.planning import within

LEFT_OUT: Final = frozenset({"faces", "fail_closed"})
"""Faces come as files; and what could not be swapped is never shown."""

_GROUPS: Final = {
    "Who": ("selection", "sex", "youngest", "oldest", "similarity"),
    "Look": ("keep_mouth", "opacity", "box", "hull", "feather", "grow", "colour", "contours"),
    "Enhancement": ("boost", "occluder", "enhancer", "enhance_every", "enhance_strength"),
    "Finding faces": (
        *("detector", "detection_width", "threshold", "detect_every", "bridge_frames"),
        *("recognition", "most_tiles"),
    ),
    "Mark": ("mark", "mark_corner"),
}


class MarkDemanded(Forbidden):
    """Pictures without the visible mark are asked for, and the settings demand it."""


class SwapOptions(Parameters):
    """Base of models whose further fields are settings of the face swap, see ``with_settings``."""

    @field_validator("boost", mode="before", check_fields=False)
    @classmethod
    def _number(cls, value: object) -> object:
        # Command lines hand in texts, and a choice between numbers takes no text.
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    def settings(self) -> FaceSwapSettings:
        """Return what is wanted as settings of the face swap; no faces are named in them."""
        values = self.model_dump(include=set(FaceSwapSettings.model_fields) - LEFT_OUT)
        return FaceSwapSettings.model_validate(values)


S = TypeVar("S", bound=SwapOptions)


def with_settings(base: type[S], name: str) -> type[S]:
    """Return a model with the fields of another and those of ``FaceSwapSettings``.

    Ranges, defaults and descriptions are those of the settings. What a configuration sets instead
    of a default does not change them, so the parameters alone determine a result.

    Args:
        base: The other model.
        name: Of the new one.
    """
    fields: dict[str, Any] = {
        key: (field.annotation, _for_forms(key, field))
        for key, field in FaceSwapSettings.model_fields.items()
        if key not in LEFT_OUT
    }
    return create_model(name, __base__=base, __doc__=base.__doc__, **fields)


def check_mark(wanted: FaceSwapSettings, configured: FaceSwapSettings) -> None:
    """Raise if the visible mark is to be left out and may not be.

    Raises:
        MarkDemanded: Says which setting allows it.
    """
    if configured.mark and not wanted.mark:
        raise MarkDemanded(
            "Swapped faces are marked here: mark cannot be switched off by a parameter.",
            "Whoever runs the server can allow it: processors.face_swap.mark: false.",
        )


@functools.cache
def built_in_models() -> Catalog:
    """Return the catalogue that every installation has."""
    return load_catalog()


def swap_models(settings: FaceSwapSettings) -> tuple[str, ...]:
    """Return the ids of the models that a face swap needs."""
    built_in = SwapModels(ModelLibrary((), catalog=built_in_models()), RuntimeSettings())
    try:
        return built_in.needed(settings, within(settings) is not None)
    except WrongKindOfModel:
        # Models that users have described themselves are known when the job runs.
        names = (settings.model, settings.detector, settings.recognition, settings.occluder)
        known = (*names, settings.enhancer)
        return tuple(dict.fromkeys(name for name in known if name not in _NO_MODELS))


_NO_MODELS: Final = ("", "warp", "auto", "none")


def _for_forms(key: str, field: FieldInfo) -> FieldInfo:
    found = copy.copy(field)
    group = next((title for title, names in _GROUPS.items() if key in names), "")
    bounds = {type(item) for item in field.metadata}
    share = field.annotation is float and {Ge, Le} <= bounds
    extra: Mapping[str, Any] = form(group=group, widget="slider" if share else "")
    found.json_schema_extra = dict(extra)
    return found
