"""Points and boxes that say which objects of a picture are meant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from engine.errors import InvalidInput
from processors.generate.declaration import Parameters, form

MOST_PROMPTS = 256
MOST_OBJECTS = 64
_FARTHEST = 100_000


class OutsidePicture(InvalidInput):
    """A point or a box is not within the picture."""


class Point(Parameters):
    """A click. Also taken as a list ``[x, y, label, object]`` or a text ``x,y,label,object``.

    The last two may be left out.
    """

    x: float = Field(
        ..., ge=0, le=_FARTHEST, description="From the left.", json_schema_extra=form(unit="px")
    )
    y: float = Field(
        ..., ge=0, le=_FARTHEST, description="From the top.", json_schema_extra=form(unit="px")
    )
    label: Literal[0, 1] = Field(1, description="1: part of the object; 0: not part of it.")
    object: int = Field(1, ge=1, le=MOST_OBJECTS, description="Number of the object it is for.")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return _named(value, ("x", "y", "label", "object"), 2)


class Box(Parameters):
    """A rectangle around an object. Also taken as a list or text ``left,top,right,bottom,object``.

    The last number may be left out.
    """

    left: float = Field(..., ge=0, le=_FARTHEST, json_schema_extra=form(unit="px"))
    top: float = Field(..., ge=0, le=_FARTHEST, json_schema_extra=form(unit="px"))
    right: float = Field(..., ge=0, le=_FARTHEST, json_schema_extra=form(unit="px"))
    bottom: float = Field(..., ge=0, le=_FARTHEST, json_schema_extra=form(unit="px"))
    object: int = Field(1, ge=1, le=MOST_OBJECTS, description="Number of the object in it.")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return _named(value, ("left", "top", "right", "bottom", "object"), 4)

    @model_validator(mode="after")
    def _has_area(self) -> "Box":
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError("the box is empty: left must be less than right, top less than bottom")
        return self


Points = tuple[Point, ...]
Boxes = tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is known of one object.

    Attributes:
        number: Of the object.
        points: At least one of label 1 where there is no box.
        box: Around it; None: not given.
    """

    number: int
    points: Points
    box: Box | None

    @property
    def ambiguous(self) -> bool:
        """Whether it may mean a part as well as the whole: a single click does."""
        return self.box is None and len(self.points) == 1


def prompts_of(points: Sequence[Point], boxes: Sequence[Box]) -> tuple[Prompt, ...]:
    """Put together what belongs to one object; objects in the order of their numbers.

    Raises:
        ValueError: An object has two boxes, or nothing that says where it is.
    """
    found = []
    for number in sorted({item.object for item in (*points, *boxes)}):
        own = tuple(point for point in points if point.object == number)
        around = [box for box in boxes if box.object == number]
        if len(around) > 1:
            raise ValueError(
                f"object {number} has {len(around)} boxes; give each object its own number, as the"
                " last one of the box: left,top,right,bottom,2"
            )
        if not around and not any(point.label for point in own):
            raise ValueError(f"object {number} needs a box, or a point with label 1")
        found.append(Prompt(number, own, around[0] if around else None))
    return tuple(found)


def check_within(prompts: Sequence[Prompt], width: int, height: int) -> None:
    """Raise unless all points and boxes are within a picture.

    Raises:
        OutsidePicture: One is not.
    """
    for prompt in prompts:
        for point in prompt.points:
            if point.x >= width or point.y >= height:
                raise _outside(f"The point {point.x:g},{point.y:g}", width, height)
        box = prompt.box
        if box is not None and (box.right > width or box.bottom > height):
            text = f"{box.left:g},{box.top:g},{box.right:g},{box.bottom:g}"
            raise _outside(f"The box {text}", width, height)


def _outside(what: str, width: int, height: int) -> OutsidePicture:
    return OutsidePicture(
        f"{what} is outside the picture, which has {width}x{height} pixels.",
        "Count pixels of the whole picture, from its top left corner.",
    )


def _named(value: Any, names: Sequence[str], least: int) -> Any:
    """Return numbers in a row as an object; whatever else is left to the model."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple):
        return value
    if not least <= len(value) <= len(names):
        raise ValueError(
            f"expected {least} to {len(names)} numbers ({','.join(names)}), found {len(value)}"
        )
    named = dict(zip(names, value, strict=False))
    return {name: _number(item, name) for name, item in named.items()}


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {value!r} is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: {value!r} is no number")
    return number
