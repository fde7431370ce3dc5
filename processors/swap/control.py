"""One stream's face swap: its settings and faces, changed while it runs."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import ValidationError

from engine.errors import InvalidInput
from engine.pipeline.protocols import Processor
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.swap.faces import Chosen, named_faces
from processors.swap.models import SwapModels
from processors.swap.plan import SwapPlan
from processors.swap.planning import no_faces, plan_for, structure, with_recognition
from processors.swap.processor import FaceSwap, Person, PlanBox, SwapMark


class WrongSwapSetting(InvalidInput):
    """A change of the face swap has a wrong value."""


@dataclass(frozen=True, slots=True)
class SwapChange:
    """What is to be different; what is not named stays.

    Attributes:
        values: Settings by name.
        faces: All the faces from now on, in order; None keeps those there are.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    faces: tuple[Chosen, ...] | None = None


@dataclass(frozen=True, slots=True)
class SwapState:
    """How a face swap stands, to be shown.

    Attributes:
        settings: The present ones.
        faces: What is put in.
        people: Who is in the newest picture.
    """

    settings: FaceSwapSettings
    faces: tuple[Chosen, ...]
    people: tuple[Person, ...]


class SwapControl:
    """Holds what the processors of one stream do, and changes it; from any thread.

    Args:
        settings: The section ``processors.face_swap``.
        models: Where detectors and models come from.
    """

    def __init__(self, settings: FaceSwapSettings, models: SwapModels) -> None:
        self._settings = settings
        self._models = models
        self._faces: tuple[Chosen, ...] | None = None
        self._box: PlanBox | None = None
        self._running: tuple[PlanBox, FaceSwap] | None = None
        self._lock = threading.RLock()

    def factories(self) -> dict[str, Callable[[], Processor]]:
        """What makes the processors of this stream, by name."""
        return {FaceSwap.name: self._face_swap, SwapMark.name: self._mark}

    @property
    def state(self) -> SwapState:
        """How it stands."""
        # Without the lock: a change that loads models holds it for seconds.
        box = self._box
        return SwapState(self._settings, self._faces or (), box.people if box else ())

    @contextmanager
    def changed(self, change: SwapChange) -> Iterator[bool]:
        """Make a change for good when the block ends well, or else not at all.

        Yields:
            Whether the processors must be made anew for it; all else is in effect from the next
            batch on.

        Raises:
            WrongSwapSetting, NoSourceFace: The change makes no sense.
            AvatarServerError: A model that it needs cannot be used.
        """
        with self._lock:
            before = self._settings, self._faces, self._box
            plan = self._box.plan if self._box is not None else None
            try:
                yield self._apply(change)
            except BaseException:
                self._settings, self._faces, self._box = before
                if self._box is not None and plan is not None:
                    self._box.plan = plan
                raise

    def _apply(self, change: SwapChange) -> bool:
        old, new = self._settings, changed_settings(self._settings, change.values)
        others, self._faces = self._faces, change.faces or self._faces
        self._settings = with_recognition(new, self._faces or (), self._models)
        if change.faces == ():
            raise no_faces()
        if self._box is None:
            return False
        anew = structure(old) != structure(self._settings)
        plan = self._plan(None if anew else self._box.plan, change, others or ())
        if anew:
            self._box = PlanBox(plan)
        else:
            self._box.plan = plan
        return anew

    def _face_swap(self) -> Processor:
        with self._lock:
            box = self._present()
            if self._running is not None and self._running[0] is box and self._running[1].again():
                return self._running[1]
            swap = FaceSwap(box, self._settings, self._models)
            self._running = box, swap
            return swap

    def _mark(self) -> Processor:
        with self._lock:
            return SwapMark(self._present())

    def _present(self) -> PlanBox:
        if self._box is None:
            if self._faces is None:
                find = partial(self._models.detector, self._settings)
                self._faces = tuple(named_faces(self._settings.faces, find))
            self._settings = with_recognition(self._settings, self._faces, self._models)
            self._box = PlanBox(self._plan(None, SwapChange(), ()))
        return self._box

    def _plan(
        self, before: SwapPlan | None, change: SwapChange, others: Sequence[Chosen]
    ) -> SwapPlan:
        """The plan of the present settings; keeps of the last one what has not changed."""
        faces = self._faces or ()
        sources = before.sources if before is not None and change.faces is None else None
        rules = before.rules if before is not None else None
        if _RULES & set(change.values) or not _same_places(faces, others):
            rules = None
        return plan_for(self._settings, faces, self._models, sources, rules)


_RULES = frozenset({"selection", "similarity", "sex", "youngest", "oldest"})


def _same_places(faces: Sequence[Chosen], others: Sequence[Chosen]) -> bool:
    """Whether faces can take the places of others: the same persons get them."""
    places = [[(one.person, one.likeness) for one in several] for several in (faces, others)]
    return places[0] == places[1]


def changed_settings(settings: FaceSwapSettings, values: Mapping[str, Any]) -> FaceSwapSettings:
    """Settings with other values.

    Raises:
        WrongSwapSetting: One is unknown or out of its range; names it.
    """
    try:
        return FaceSwapSettings.model_validate(settings.model_dump() | dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise WrongSwapSetting(f"face_swap.{key}: {first['msg']}.") from None
