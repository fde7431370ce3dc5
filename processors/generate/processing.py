"""Runs ``render``, on the code of ``python server.py render``."""

from pathlib import Path
from typing import Any

from engine.errors import InvalidInput
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.chain import Chain
from processors.generate.attendance import Attendance
from processors.generate.declaration import Context, Inputs, Result, Services, several
from processors.generate.inputs import picture_size_of
from processors.generate.ladder import Rung, climb
from processors.generate.offline import (
    Failures,
    process_picture,
    process_video,
    watched_chain,
    write_picture,
)
from processors.generate.render_video import FACE_SWAP, RenderBase
from processors.generate.swap_faces import frame_size
from processors.generate.swap_memory import Way, runtime_at, swap_models_in_memory, ways
from processors.generate.swap_options import check_mark
from processors.generate.swapping import chosen_faces, swap_factories, swap_warnings
from processors.provenance import source_type
from processors.registry import ProcessorContext, processor_factories
from processors.swap.models import SwapModels
from processors.swap.picture import no_target_face
from processors.swap.planning import plan_for, with_recognition

NAME = "rendered"


class FacesMissing(InvalidInput):
    """Faces are to be swapped, and there is no picture of one; or the other way round."""


class FileRenderer:
    """Implements ``render``.

    Args:
        services: Where models are, and which settings bind.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def run(self, params: RenderBase, inputs: Inputs, context: Context) -> Result:
        """Render; see ``render_video.RENDER``.

        Raises:
            FacesMissing: Processors and files do not fit together.
            MarkDemanded: The mark of swapped faces may not be left out.
            ClipError, PictureError: The input cannot be read.
            ProcessorFailed: A processor fails again and again, or for a picture.
            AvatarServerError: A model cannot be used.
        """
        settings = params.swap_settings()
        faces = several(inputs, "face")
        if bool(faces) != (settings is not None):
            raise FacesMissing(
                "face_swap needs a file 'face'." if not faces else "There is a file 'face'.",
                "Give a picture of whose face is put in, and have face_swap in processors.",
            )
        if settings is not None:
            check_mark(settings, self._services.processors.face_swap)

        def attempt(rung: Rung[Way]) -> Result:
            return self._attempt(params, inputs["media"], faces, rung.settings, context)

        rungs = ways(params.batch_size, settings or FaceSwapSettings(), context.place)
        result, rung = climb(rungs, attempt, self._services.memory, context)
        return Result(result.files, {**result.values, "rung": rung.name})

    def _attempt(
        self, params: RenderBase, media: Path, faces: tuple[Path, ...], way: Way, context: Context
    ) -> Result:
        context.progress(0.0, "Loading the processors")
        settings, size = params.swap_settings(), frame_size(media)
        failures = Failures()
        with swap_models_in_memory(self._services, settings, way, size, context) as models:
            box = None
            if settings is not None:
                settings = settings.model_copy(
                    update={"most_tiles": way.most_tiles, **_still(settings, media)}
                )
                chosen = chosen_faces(faces, (), (), settings, models)
                settings = with_recognition(settings, chosen, models)
                box = Attendance(plan_for(settings, chosen, models))
            chain = self._chain(params, settings, box, models, way, context, failures)
            try:
                return _rendered(params, media, chain, failures, box, way, context)
            finally:
                chain.close()

    def _chain(
        self,
        params: RenderBase,
        settings: FaceSwapSettings | None,
        box: Attendance | None,
        models: SwapModels,
        way: Way,
        context: Context,
        failures: Failures,
    ) -> Chain:
        runtime = runtime_at(self._services.runtime, context.place, way.on_cpu)
        needs = ProcessorContext(library=self._services.library, runtime=runtime)
        factories = processor_factories(params.settings(), needs)
        if settings is not None and box is not None:
            factories |= swap_factories(box, settings, models)
        return watched_chain(params.processors, factories, failures)


def _rendered(
    params: RenderBase,
    media: Path,
    chain: Chain,
    failures: Failures,
    box: Attendance | None,
    way: Way,
    context: Context,
) -> Result:
    declared = source_type(params.processors, params.settings())
    values: dict[str, Any] = {"processors": list(params.processors)}
    if FACE_SWAP in params.processors:
        values["digital_source_type"] = declared
    if picture_size_of(media) is not None:
        image = process_picture(media, chain, failures)
        if box is not None and not box.anybody:
            raise no_target_face()
        path = write_picture(image, context, NAME, declared)
        context.progress(1.0, "Done")
        return Result({"picture": (path,)}, {**values, **_people(box), "warnings": _seen(box)})
    output = params.model_copy(update={"batch_size": way.batch_size})
    made = process_video(media, chain, failures, context, output, NAME, declared)
    values |= {"frames": made.frames, "withheld": made.withheld, **_people(box)}
    return Result({"video": (made.path,)}, {**values, "warnings": [*_seen(box), *made.warnings]})


def _still(settings: FaceSwapSettings, media: Path) -> dict[str, bool]:
    """What is different for a picture: a still mouth need not stay in order to speak."""
    moves = settings.keep_mouth is not None or picture_size_of(media) is None
    return {} if moves else {"keep_mouth": False}


def _people(box: Attendance | None) -> dict[str, Any]:
    return {} if box is None else box.values()


def _seen(box: Attendance | None) -> list[str]:
    return [] if box is None else list(swap_warnings(box))
