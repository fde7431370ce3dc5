"""Swapping the faces of one picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from engine.errors import InvalidInput
from engine.pipeline.frame import Image
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.faces.face import Face
from processors.faces.tracker import TrackedFace
from processors.swap.backend import SwapJob
from processors.swap.casting import Casting
from processors.swap.compose import Swapper
from processors.swap.faces import Chosen, find_faces
from processors.swap.models import SwapModels
from processors.swap.planning import plan_for, with_recognition, within

ENHANCE_S = 120.0
"""Longest wait for the enhancement of one face."""


class NoTargetFace(InvalidInput):
    """There is no face in the picture whose faces are to be swapped."""


def no_target_face() -> NoTargetFace:
    """That a picture has no face to be swapped."""
    return NoTargetFace(
        "There is no face in the target picture.", "Give one in which faces can be seen."
    )


@dataclass(frozen=True, slots=True)
class Swapped:
    """A face of the picture and what became of it.

    Attributes:
        person: Its number from the left, from 1.
        box: Left, top, right, bottom in pixels.
        score: Of the detector.
        source: Which face was put in, from 0; None if it stayed.
    """

    person: int
    box: tuple[float, float, float, float]
    score: float
    source: int | None


class PictureSwapper:
    """Swaps the faces of pictures with the same settings; not from two threads at once.

    Args:
        settings: What with, and how it looks.
        models: Where detectors and models come from.

    Raises:
        AvatarServerError: A model cannot be used.
    """

    def __init__(self, settings: FaceSwapSettings, models: SwapModels) -> None:
        # A still mouth need not stay in order to speak.
        still = {"keep_mouth": False} if settings.keep_mouth is None else {}
        self._settings = settings = settings.model_copy(update=still)
        self._models = models
        models.require(settings)
        self._contours = models.contours(settings)
        self._swapper = Swapper(models.backend(settings), occluder=models.occluder(settings))

    def swap(self, image: Image, chosen: Sequence[Chosen]) -> list[Swapped]:
        """Swap faces in place, mark the picture, and tell what was done.

        Args:
            image: ``uint8[h, w, 3]``, BGR.
            chosen: The faces that are put in; ``person`` counts the picture's faces from the
                left, from 1.

        Returns:
            All faces of the picture, from left to right.

        Raises:
            NoTargetFace: It has none.
            AvatarServerError: A model cannot be used.
        """
        settings = with_recognition(self._settings, chosen, self._models)
        plan = plan_for(settings, chosen, self._models)
        found = find_faces(image, partial(self._models.detector, settings))
        if not found:
            raise no_target_face()
        tracked = self._numbered(image, found, settings)
        given = Casting().cast(tracked, plan.rules)
        jobs = [
            SwapJob(image, one.face, plan.sources[given[one.id]], one.id)
            for one in tracked
            if one.id in given
        ]
        self._swapper.look = plan.look
        done = self._swapper.swap_batch(jobs)
        put = [job for job, good in zip(jobs, done, strict=True) if good]
        self._enhance(put, plan.enhance_strength * plan.look.opacity)
        if plan.mark is not None:
            plan.mark.apply(image)
        changed = {job.track for job in put}
        return [_swapped(one, given[one.id] if one.id in changed else None) for one in tracked]

    def close(self) -> None:
        """Release the models."""
        self._swapper.close()

    def _numbered(
        self, image: Image, found: Sequence[Face], settings: FaceSwapSettings
    ) -> list[TrackedFace]:
        faces = sorted(found, key=lambda face: face.centre[0])
        recogniser = self._models.recogniser(settings)
        if recogniser is not None:
            embeddings = recogniser.embed(image, faces)
            faces = [f.with_embedding(e) for f, e in zip(faces, embeddings, strict=True)]
        if within(settings) is not None:
            guesses = self._models.sex_and_age().guess(image, faces)
            faces = [replace(f, sex=g.sex, age=g.age) for f, g in zip(faces, guesses, strict=True)]
        if self._contours is not None:
            contours = self._contours.find(image, faces)
            faces = [replace(f, contour=c) for f, c in zip(faces, contours, strict=True)]
        return [TrackedFace(number, face, True, 0) for number, face in enumerate(faces, 1)]

    def _enhance(self, jobs: Sequence[SwapJob], strength: float) -> None:
        enhancer = self._models.enhancer(self._settings, ENHANCE_S) if jobs else None
        if enhancer is None:
            return
        enhancer.strength = strength
        try:
            enhancer.apply(jobs)
        finally:
            enhancer.close()


def _swapped(tracked: TrackedFace, source: int | None) -> Swapped:
    left, top, right, bottom = (round(float(value), 1) for value in tracked.face.box)
    score = round(tracked.face.score, 4)
    return Swapped(tracked.id, (left, top, right, bottom), score, source)
