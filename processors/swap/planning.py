"""From settings and chosen faces to a plan."""

from collections.abc import Sequence
from typing import Final

from engine.errors import InvalidInput
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.faces.face import Embedding
from processors.faces.selection import SexAndAgeRange
from processors.swap.backend import SourceFace
from processors.swap.casting import Rules, Target, rules_of
from processors.swap.faces import Chosen, recognised
from processors.swap.marking import Mark
from processors.swap.masks import Look
from processors.swap.models import AUTO, NONE, WARP, SwapModels
from processors.swap.plan import SwapPlan

LIKENESS_MODELS: Final = ("sface", "arcface_w600k")
"""What tells people apart where the settings leave it open; the first that is here."""


class NoSourceFace(InvalidInput):
    """Nobody said whose face is to be put in."""


class NeedsRecognition(InvalidInput):
    """A face is for somebody in particular, and nothing may tell people apart."""


def no_faces() -> NoSourceFace:
    """That there are no faces to put in."""
    return NoSourceFace(
        "face_swap was not told whose face to put in.",
        "Name a picture: --face PICTURE, processors.face_swap.faces, or face_swap.faces in a "
        "request.",
    )


def with_recognition(
    settings: FaceSwapSettings, faces: Sequence[Chosen], models: SwapModels
) -> FaceSwapSettings:
    """The settings, with a recognition model where a face is for somebody whom a picture shows.

    Raises:
        NeedsRecognition: The settings forbid one.
        MissingDependency: There is none.
    """
    wanted = any(one.likeness is not None for one in faces)
    if not wanted or models.recognition_name(settings):
        return settings
    if settings.recognition == NONE:
        raise NeedsRecognition(
            "A face for somebody whom a picture shows needs recognition, which is none.",
            f"Set recognition to {AUTO}.",
        )
    return settings.model_copy(update={"recognition": models.first_available(LIKENESS_MODELS)})


def plan_for(
    settings: FaceSwapSettings,
    faces: Sequence[Chosen],
    models: SwapModels,
    sources: tuple[SourceFace, ...] | None = None,
    rules: Rules | None = None,
) -> SwapPlan:
    """A plan.

    Args:
        settings: See ``with_recognition``.
        faces: What is put in.
        models: Where recognition comes from.
        sources: Those of an earlier plan with the same faces and models: who keeps them keeps
            what backends have derived from them.
        rules: Those of an earlier plan with the same faces and selection: who keeps them keeps who
            has which face.

    Raises:
        NoSourceFace: There are no faces.
        AvatarServerError: A model cannot be used.
    """
    if not faces:
        raise no_faces()
    models.require(settings, guesses=within(settings) is not None)
    if sources is None:
        plain = [one.source for one in faces]
        sources = tuple(recognised(plain, models.source_recogniser(settings)))
    return SwapPlan(
        sources,
        _rules(settings, faces, models) if rules is None else rules,
        look_of(settings),
        Mark(settings.mark_corner) if settings.mark else None,
        settings.enhance_strength,
    )


def structure(settings: FaceSwapSettings) -> tuple[object, ...]:
    """The settings for which models and trackers are made; all others are part of the plan."""
    return (
        *(getattr(settings, name) for name in _STRUCTURE),
        within(settings) is not None,
    )


_STRUCTURE: Final = (
    "model",
    "boost",
    "detector",
    "detection_width",
    "threshold",
    "detect_every",
    "bridge_frames",
    "recognition",
    "contours",
    "occluder",
    "enhancer",
    "enhance_every",
    "most_tiles",
    "fail_closed",
)


def look_of(settings: FaceSwapSettings) -> Look:
    """How settings let a face look."""
    keep_mouth = settings.model == WARP if settings.keep_mouth is None else settings.keep_mouth
    return Look(
        opacity=settings.opacity,
        box=settings.box,
        hull=settings.hull,
        feather=settings.feather,
        grow=settings.grow,
        keep_mouth=keep_mouth,
        colour=settings.colour,
    )


def _rules(settings: FaceSwapSettings, faces: Sequence[Chosen], models: SwapModels) -> Rules:
    def likeness(source: SourceFace | None) -> Embedding | None:
        if source is None:
            return None
        return recognised([source], models.recogniser(settings))[0].face.embedding

    targets = [
        Target(one.person, likeness(one.likeness))
        if one.person is not None or one.likeness is not None
        else None
        for one in faces
    ]
    return rules_of(settings.selection, targets, settings.similarity, within(settings))


def within(settings: FaceSwapSettings) -> SexAndAgeRange | None:
    """Who may be selected, if not everybody."""
    sex = None if settings.sex == "any" else settings.sex
    found = SexAndAgeRange(sex, settings.youngest, settings.oldest)
    return None if found == SexAndAgeRange() else found
