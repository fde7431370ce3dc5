"""From the names in settings to processors."""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engine.errors import InvalidInput, MissingDependency
from engine.pipeline.protocols import Processor
from engine.pipeline.settings import ProcessorSettings
from engine.pipeline.statistics import Snapshot
from processors.anonymise import Anonymise
from processors.background_blur import BackgroundBlur, load_matting
from processors.basic import Mirror, NoProcessor
from processors.chain import Chain
from processors.gpu_memory import GpuMemory
from processors.model_files import ModelNotFound, find_model
from processors.overlay import Overlay
from processors.yunet import YuNet

Factory = Callable[[], Processor]


class UnknownProcessor(InvalidInput):
    """No processor has this name."""


@dataclass(frozen=True, slots=True)
class ProcessorContext:
    """What processors may need beyond settings.

    Attributes:
        snapshot: The statistics of the pipeline that they will be part of.
        environ: Environment variables.
    """

    snapshot: Callable[[], Snapshot] = Snapshot
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


def processor_factories(
    settings: ProcessorSettings, context: ProcessorContext
) -> dict[str, Factory]:
    """A function for each name, which makes that processor; a caller may add its own."""

    def anonymise() -> Processor:
        section = settings.anonymise
        model = find_model(
            section.model, settings.models, context.environ, "face detector (YuNet, ONNX)"
        )
        return Anonymise(YuNet(model, section.detection_width, section.threshold).detect, section)

    def background_blur() -> Processor:
        section = settings.background_blur
        try:
            model = find_model(section.model, settings.models, context.environ, "matting model")
        except ModelNotFound as error:
            raise MissingDependency(
                f"background_blur needs a matting model. {error.description}", error.hint
            ) from error
        return BackgroundBlur(load_matting(model, section.size), section.strength)

    return {
        "none": NoProcessor,
        "mirror": Mirror,
        "anonymise": anonymise,
        "background_blur": background_blur,
        "overlay": lambda: Overlay(context.snapshot, GpuMemory().read),
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

    Args:
        names: In the order in which they are applied.
        factories: See ``processor_factories``.
        bypass_after: See ``Chain``.

    Raises:
        UnknownProcessor, ModelNotFound, MissingDependency: See ``build_processor``.
    """
    made: list[Processor] = []
    try:
        for name in names:
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
