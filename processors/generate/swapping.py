"""Runs ``swap_faces``, on the code of the live face swap and of ``POST /swap``."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.faces.picture import load_face_picture
from processors.generate.attendance import Attendance
from processors.generate.declaration import Context, Inputs, Result, Services, several
from processors.generate.inputs import picture_size_of
from processors.generate.ladder import Rung, climb
from processors.generate.offline import Failures, process_video, watched_chain, write_picture
from processors.generate.swap_faces import SwapFacesBase, frame_size
from processors.generate.swap_memory import Way, swap_models_in_memory, ways
from processors.generate.swap_options import check_mark
from processors.provenance import source_type_of_swap
from processors.registry import Factory
from processors.swap.faces import Chosen, read_picture
from processors.swap.models import SwapModels
from processors.swap.picture import PictureSwapper
from processors.swap.planning import plan_for, with_recognition
from processors.swap.processor import FaceSwap, SwapMark

NAME = "swapped"

NO_FACE = "No frame shows a face: the video is as it was."
NOBODY = "There are faces, but none of them was selected: see selection, sex, youngest, oldest."


class TooFewSources(InvalidInput):
    """A parameter speaks of a source picture that is not there."""


class FaceSwapper:
    """Implements ``swap_faces``.

    Args:
        services: Where models are, and which settings bind.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def run(self, params: SwapFacesBase, inputs: Inputs, context: Context) -> Result:
        """Swap; see ``swap_faces.SWAP_FACES``.

        Raises:
            MarkDemanded: The mark may not be left out.
            TooFewSources: A parameter is for a source that is not there.
            PictureError, NoFace, NoSuchFace, FaceTooSmall: A source cannot be used.
            NoTargetFace: The target is a picture without a face.
            ClipError: The target is a video that cannot be read.
            AvatarServerError: A model cannot be used.
        """
        settings = params.settings()
        check_mark(settings, self._services.processors.face_swap)
        paths = several(inputs, "source")
        _check_counts(params, len(paths))

        def attempt(rung: Rung[Way]) -> Result:
            return self._attempt(params, inputs["target"], paths, rung.settings, context)

        rungs = ways(params.batch_size, settings, context.place)
        result, rung = climb(rungs, attempt, self._services.memory, context)
        return Result(result.files, {**result.values, "rung": rung.name})

    def _attempt(
        self,
        params: SwapFacesBase,
        target: Path,
        paths: Sequence[Path],
        way: Way,
        context: Context,
    ) -> Result:
        settings = params.settings().model_copy(update={"most_tiles": way.most_tiles})
        context.progress(0.0, "Looking for the faces to put in")
        size = frame_size(target)
        with swap_models_in_memory(self._services, settings, way, size, context) as models:
            chosen = chosen_faces(paths, params.source_faces, params.persons, settings, models)
            given = {"sources": [_source(one) for one in chosen]}
            if picture_size_of(target) is not None:
                path, values = _picture(target, settings, chosen, models, context)
                return Result({"picture": (path,)}, {**given, **values})
            output = params.model_copy(update={"batch_size": way.batch_size})
            path, values = _video(target, settings, chosen, models, output, context)
            return Result({"video": (path,)}, {**given, **values})


def chosen_faces(
    paths: Sequence[Path],
    faces: Sequence[int],
    persons: Sequence[int],
    settings: FaceSwapSettings,
    models: SwapModels,
) -> list[Chosen]:
    """Find the faces that are put in.

    Args:
        paths: Pictures.
        faces: Which face of each, from the left, from 1; 0 or none: the largest.
        persons: For which person each is, from 1; 0 or none: for whoever is selected.
        settings: Of the detector.
        models: Where it comes from.

    Raises:
        PictureError, NoFace, NoSuchFace, FaceTooSmall: A picture cannot be used.
    """
    find = partial(models.detector, settings)
    found = []
    for number, path in enumerate(paths):
        face = faces[number] if number < len(faces) else 0
        person = persons[number] if number < len(persons) else 0
        index = face - 1 if face else None
        source = read_picture(path, path.name, find).source(index)
        found.append(Chosen(path.name, source, index, person or None))
    return found


def swap_factories(
    box: Attendance, settings: FaceSwapSettings, models: SwapModels
) -> dict[str, Factory]:
    """Return what makes the processors of a face swap that does not change."""
    return {
        FaceSwap.name: lambda: FaceSwap(box, settings, models),
        SwapMark.name: lambda: SwapMark(box),
    }


def swap_warnings(box: Attendance) -> tuple[str, ...]:
    """Return what the user should know of a video whose faces were to be swapped."""
    if not box.anybody:
        return (NO_FACE,)
    return () if box.anybody_swapped else (NOBODY,)


def _picture(
    target: Path,
    settings: FaceSwapSettings,
    chosen: Sequence[Chosen],
    models: SwapModels,
    context: Context,
) -> tuple[Path, dict[str, Any]]:
    image = load_face_picture(target)
    context.progress(0.3, "Swapping")
    swapper = PictureSwapper(settings, models)
    try:
        faces = swapper.swap(image, chosen)
    finally:
        swapper.close()
    declared = source_type_of_swap(settings)
    path = write_picture(image, context, NAME, declared)
    swapped = [one for one in faces if one.source is not None]
    values = {
        "faces": [
            {"person": one.person, "box": one.box, "score": one.score, "source": one.source}
            for one in faces
        ],
        "swapped": len(swapped),
        "width": image.shape[1],
        "height": image.shape[0],
        "digital_source_type": declared,
        "warnings": [] if swapped else [NOBODY],
    }
    context.progress(1.0, "Done")
    return path, values


def _video(
    target: Path,
    settings: FaceSwapSettings,
    chosen: Sequence[Chosen],
    models: SwapModels,
    output: SwapFacesBase,
    context: Context,
) -> tuple[Path, dict[str, Any]]:
    settings = with_recognition(settings, chosen, models)
    box = Attendance(plan_for(settings, chosen, models))
    declared = source_type_of_swap(settings)
    failures = Failures()
    chain = watched_chain((FaceSwap.name,), swap_factories(box, settings, models), failures)
    try:
        made = process_video(target, chain, failures, context, output, NAME, declared)
    finally:
        chain.close()
    values = {
        "frames": made.frames,
        "withheld": made.withheld,
        **box.values(),
        "digital_source_type": declared,
        "warnings": [*swap_warnings(box), *made.warnings],
    }
    return made.path, values


def _source(chosen: Chosen) -> dict[str, Any]:
    face = None if chosen.index is None else chosen.index + 1
    return {"picture": chosen.label, "face": face, "person": chosen.person}


def _check_counts(params: SwapFacesBase, sources: int) -> None:
    for name, given in (("source_faces", params.source_faces), ("persons", params.persons)):
        if len(given) > sources:
            raise TooFewSources(
                f"{name} has {len(given)} numbers for {sources} source pictures.",
                "Give one number for each source picture, in their order, or fewer.",
            )
