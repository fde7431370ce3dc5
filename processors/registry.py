"""From the names in settings to processors."""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from engine.errors import InvalidInput, MissingDependency
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.protocols import Processor
from engine.pipeline.settings import ProcessorSettings
from engine.pipeline.statistics import Snapshot
from processors.anonymise import Anonymise
from processors.background_blur import BackgroundBlur, load_matting
from processors.basic import Mirror, NoProcessor
from processors.chain import Chain
from processors.faces.yunet import YuNet
from processors.models.files import ModelNotFound, model_folders
from processors.models.library import ModelLibrary
from processors.models.nvml import Nvml
from processors.overlay import Overlay
from processors.swap.control import SwapControl
from processors.swap.models import SwapModels
from processors.swap.processor import FaceSwap, SwapMark

Factory = Callable[[], Processor]


class UnknownProcessor(InvalidInput):
    """No processor has this name."""


def _own_library() -> ModelLibrary:
    return ModelLibrary(model_folders((), os.environ))


@dataclass(frozen=True, slots=True)
class ProcessorContext:
    """What processors may need beyond settings.

    Attributes:
        snapshot: The statistics of the pipeline that they will be part of.
        library: Where models are.
        runtime: What runs them.
        swap: The face swap of the stream; None makes one from the settings.
    """

    snapshot: Callable[[], Snapshot] = Snapshot
    library: ModelLibrary = field(
        default_factory=lambda: ModelLibrary(model_folders((), os.environ))
    )
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    swap: SwapControl | None = None


def processor_factories(
    settings: ProcessorSettings, context: ProcessorContext
) -> dict[str, Factory]:
    """A function for each name, which makes that processor; a caller may add its own."""

    def anonymise() -> Processor:
        section = settings.anonymise
        model = context.library.resolve(section.model, "face detector (YuNet, ONNX)")
        return Anonymise(YuNet(model, section.detection_width, section.threshold).detect, section)

    def background_blur() -> Processor:
        section = settings.background_blur
        try:
            model = context.library.resolve(section.model, "matting model")
        except ModelNotFound as error:
            raise MissingDependency(
                f"background_blur needs a matting model. {error.description}", error.hint
            ) from error
        return BackgroundBlur(load_matting(model, section.size), section.strength)

    models = SwapModels(context.library, context.runtime)
    swap = context.swap or SwapControl(settings.face_swap, models)
    return {
        "none": NoProcessor,
        "mirror": Mirror,
        "anonymise": anonymise,
        "background_blur": background_blur,
        "overlay": lambda: Overlay(context.snapshot, partial(Nvml().read, 0)),
        **swap.factories(),
    }


def build_processor(
    name: str, settings: ProcessorSettings, context: ProcessorContext | None = None
) -> Processor:
    """The processor of a name.

    Raises:
        UnknownProcessor: There is none; says which there are.
        ModelNotFound: It needs a model file that is not there.
        MissingDependency: It needs a package or model that is not installed.
    """
    return _make(name, processor_factories(settings, context or ProcessorContext()))


def build_chain(
    names: Iterable[str], factories: Mapping[str, Factory], bypass_after: int = 10
) -> Chain:
    """A chain of processors; those already made are closed if a later one cannot be.

    Behind a face swap comes its mark, last of all: nothing may cover or mirror it.

    Args:
        names: In the order in which they are applied.
        factories: See ``processor_factories``.
        bypass_after: See ``Chain``.

    Raises:
        UnknownProcessor, ModelNotFound, MissingDependency: See ``build_processor``.
    """
    made: list[Processor] = []
    wanted = tuple(names)
    marks = (SwapMark.name,) if FaceSwap.name in wanted else ()
    try:
        for name in (*wanted, *marks):
            made.append(_make(name, factories))
    except BaseException:
        for processor in made:
            processor.close()
        raise
    return Chain(made, bypass_after)


def _make(name: str, factories: Mapping[str, Factory]) -> Processor:
    factory = factories.get(name)
    if factory is None:
        near = difflib.get_close_matches(name, factories, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UnknownProcessor(
            f"There is no processor {name!r}.", f"{hint}There are: {', '.join(factories)}."
        )
    return factory()
