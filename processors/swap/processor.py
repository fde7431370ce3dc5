"""The processor ``face_swap``, and the mark that goes with it."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Step, Traits
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.faces.landmarks import Contours
from processors.faces.settings import TrackingSettings
from processors.faces.tracker import FaceTracker, TrackedFace
from processors.swap.backend import SwapJob
from processors.swap.casting import Casting
from processors.swap.compose import Batch, Swapper
from processors.swap.enhancer import Enhancer
from processors.swap.models import SwapModels
from processors.swap.plan import SwapPlan
from processors.swap.planning import within


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the newest picture.

    Attributes:
        id: The number under which the tracker knows this person.
        box: Left, top, right, bottom in pixels.
        source: Which face is put in, from 0; None for none.
    """

    id: int
    box: tuple[float, float, float, float]
    source: int | None


UNDER_WAY: Final = 256
"""Frames whose plan is kept; more are never between a swap and its mark."""


class PlanBox:
    """Holds the present plan and who was last seen; one thread writes each, any thread reads.

    Args:
        plan: The first plan.
    """

    def __init__(self, plan: SwapPlan) -> None:
        self.plan = plan
        self.people: tuple[Person, ...] = ()
        self._taken: OrderedDict[int, SwapPlan] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, frames: Sequence[Frame]) -> SwapPlan:
        """The present plan, by which these frames are treated from now on."""
        with self._lock:
            plan = self.plan
            for frame in frames:
                self._taken[frame.sequence] = plan
            while len(self._taken) > UNDER_WAY:
                self._taken.popitem(last=False)
        return plan

    def plan_of(self, frame: Frame) -> SwapPlan:
        """The plan by which a frame is treated."""
        with self._lock:
            return self._taken.pop(frame.sequence, self.plan)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """A batch between two steps."""

    frames: Sequence[Frame]
    plan: SwapPlan
    batch: Batch


class FaceSwap:
    """Swaps faces, in place; everything that a batch needs of the swap model in one call.

    It works in three steps, which may have a batch each: the faces of the next one are followed
    while the model has the present one and the last one is pasted.

    A chain that is made anew for another reason takes over the same one (``again``): who is who,
    and who has which face, is not forgotten.

    Who is in the picture is followed frame by frame, in order; a face that the detector misses for
    a few frames stays swapped. Whatever fails is raised, and no face of that batch is touched.

    Args:
        box: What is to be done; read once for each batch.
        settings: Of tracking.
        models: Where detectors and models come from.
    """

    name = "face_swap"

    def __init__(self, box: PlanBox, settings: FaceSwapSettings, models: SwapModels) -> None:
        self.traits = Traits(parallel=False, fails_closed=settings.fail_closed, resizes=False)
        self._box = box
        self._users = 1
        self._users_lock = threading.Lock()
        self._at = float("-inf")
        self._casting = Casting()
        tracking = TrackingSettings(
            detect_every=settings.detect_every, bridge_frames=settings.bridge_frames
        )
        recogniser = models.recogniser(settings)
        guesser = models.sex_and_age() if within(settings) is not None else None
        self._tracker = FaceTracker(models.detector(settings), tracking, recogniser, guesser)
        self._contours: Contours | None = models.contours(settings)
        with ExitStack() as stack:
            backend = models.backend(settings)
            self._swapper = Swapper(backend, occluder=models.occluder(settings))
            stack.callback(self._swapper.close)
            self._enhancer: Enhancer | None = models.enhancer(settings)
            stack.pop_all()

    def again(self) -> bool:
        """Take one more user on, who will call ``close`` too; False where all have closed it."""
        with self._users_lock:
            self._users += 1 if self._users else 0
            return self._users > 0

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        """The same images, with other faces."""
        return self._put(self._run(self._follow(frames)))

    @property
    def steps(self) -> Sequence[Step]:
        """See ``Stepped``."""
        return (self._follow, self._run, self._put)

    def close(self) -> None:
        """Release models and memory, once the last user is done."""
        with self._users_lock:
            self._users -= 1
            if self._users:
                return
        if self._enhancer is not None:
            self._enhancer.close()
        self._swapper.close()

    def _follow(self, frames: Sequence[Frame]) -> _Work:
        plan = self._box.take(frames)
        jobs: list[SwapJob] = []
        for frame in frames:
            self._at = max(self._at, frame.captured_at)
            jobs += self._jobs(frame.image, plan)
        return _Work(frames, plan, self._swapper.prepare(jobs, plan.look))

    def _run(self, work: _Work) -> _Work:
        return replace(work, batch=self._swapper.run(work.batch))

    def _put(self, work: _Work) -> Sequence[Image]:
        done = self._swapper.put(work.batch)
        if self._enhancer is not None:
            self._enhancer.strength = work.plan.enhance_strength * work.plan.look.opacity
            jobs = zip(work.batch.jobs, done, strict=True)
            self._enhancer.apply([job for job, put in jobs if put])
        return [frame.image for frame in work.frames]

    def _jobs(self, image: Image, plan: SwapPlan) -> list[SwapJob]:
        tracked = self._tracker.update(image, self._at)
        given = self._casting.cast(tracked, plan.rules)
        self._box.people = tuple(_person(face, given.get(face.id)) for face in tracked)
        swapped = [face for face in tracked if face.id in given]
        faces = [one.face for one in swapped]
        if self._contours is not None and faces:
            contours = self._contours.find(image, faces)
            faces = [replace(f, contour=c) for f, c in zip(faces, contours, strict=True)]
        return [
            SwapJob(image, face, plan.sources[given[one.id]], one.id)
            for one, face in zip(swapped, faces, strict=True)
        ]


class SwapMark:
    """Draws the visible mark; the last in a chain, so that nothing covers or mirrors it.

    Fails closed: an unmarked picture is not shown.

    Args:
        box: Says whether and where.
    """

    name = "swap_mark"
    traits = Traits(parallel=True, fails_closed=True, resizes=False)

    def __init__(self, box: PlanBox) -> None:
        self._box = box
        self._lock = threading.Lock()

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        """The same images, marked."""
        with self._lock:
            for frame in frames:
                mark = self._box.plan_of(frame).mark
                if mark is not None:
                    mark.apply(frame.image)
        return [frame.image for frame in frames]

    def close(self) -> None:
        """Nothing to release."""


def _person(tracked: TrackedFace, source: int | None) -> Person:
    left, top, right, bottom = (round(float(value), 1) for value in tracked.face.box)
    return Person(tracked.id, (left, top, right, bottom), source)
