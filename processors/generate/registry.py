"""The generators that there are, and running them for a queue or a command."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from engine.errors import AvatarServerError, NotFound
from engine.jobs.errors import JobFailed
from processors.generate.declaration import (
    Context,
    Generator,
    Inputs,
    Parameters,
    Result,
    Run,
    Services,
)
from processors.generate.inpaint import INPAINT
from processors.generate.inputs import check_inputs
from processors.generate.ladder import FIRST_RUNG
from processors.generate.model_folders import model_hash
from processors.generate.recipe import (
    Fingerprints,
    Recipe,
    code_version,
    library_versions,
    write_recipe,
)
from processors.generate.remove_background import REMOVE_BACKGROUND
from processors.generate.remove_object import REMOVE_OBJECT
from processors.generate.render_video import RENDER
from processors.generate.segment import SEGMENT
from processors.generate.subtitles import SUBTITLES
from processors.generate.swap_faces import SWAP_FACES
from processors.generate.text_to_image import TEXT_TO_IMAGE
from processors.generate.upscale import UPSCALE
from processors.models.memory_devices import settle
from processors.models.memory_errors import forget

_ALL: tuple[Generator[Any], ...] = (
    SUBTITLES,
    TEXT_TO_IMAGE,
    INPAINT,
    SEGMENT,
    REMOVE_OBJECT,
    REMOVE_BACKGROUND,
    UPSCALE,
    SWAP_FACES,
    RENDER,
)


class UnknownGenerator(NotFound):
    """No generator has this name."""


class JobContext(Context, Protocol):
    """A context that keeps the recipe with the job."""

    def record(self, recipe: Mapping[str, Any], cache_key: str | None = None) -> None:
        """Say what determines the result."""


def generators() -> Mapping[str, Generator[Any]]:
    """Return all generators by name. Cheap: nothing heavy is imported."""
    return MappingProxyType({generator.name: generator for generator in _ALL})


def find_generator(name: str) -> Generator[Any]:
    """Return a generator.

    Raises:
        UnknownGenerator: There is none of this name; suggests the nearest.
    """
    known = generators()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UnknownGenerator(
            f"There is no generator {name!r}.", f"{hint}There are: {', '.join(known)}."
        )
    return known[name]


def make_recipe(
    generator: Generator[Any],
    params: Parameters,
    inputs: Inputs,
    services: Services,
    fingerprints: Fingerprints,
    device: str = "",
    threads: int = 0,
) -> Recipe:
    """Return what determines the result of a job. Reads the files that were not read yet.

    Args:
        generator: The generator.
        params: Valid parameters.
        inputs: The job's files.
        services: Where models are.
        fingerprints: Hashes that are known.
        device: Where it runs.
        threads: CPU threads that it has.

    Raises:
        ModelNotFound: A model is missing; says how to get it.
    """
    return Recipe(
        generator=generator.name,
        params=params.model_dump(mode="json"),
        inputs={name: fingerprints.of_file(path) for name, path in inputs.items()},
        models={
            model: model_hash(model, services, fingerprints) for model in generator.models(params)
        },
        device=device,
        threads=threads,
        code=code_version(),
        libraries=library_versions(),
        settings=services.determining(),
    )


class LoadedGenerators:
    """The generators of one process; implements ``engine.jobs.generators.Generators``.

    Args:
        services: What they get from the settings.
        known: Other ones than ``generators()``, for tests.
    """

    def __init__(
        self, services: Services, known: Mapping[str, Generator[Any]] | None = None
    ) -> None:
        self._services = services
        self._known = known
        self._fingerprints = Fingerprints()
        self._loaded: dict[str, LoadedGenerator] = {}

    def get(self, name: str) -> "LoadedGenerator":
        """Return a generator, loaded when it is first asked for.

        Raises:
            UnknownGenerator: There is none of this name.
            MissingDependency: It needs a package that is not installed.
        """
        if name not in self._loaded:
            known = find_generator(name) if self._known is None else self._known[name]
            self._loaded[name] = LoadedGenerator(known, self._services, self._fingerprints)
        return self._loaded[name]


class LoadedGenerator:
    """A generator that can run; implements ``engine.jobs.generators.Generator``."""

    def __init__(
        self, generator: Generator[Any], services: Services, fingerprints: Fingerprints
    ) -> None:
        self.generator = generator
        self._services = services
        self._fingerprints = fingerprints
        self._run: Run[Any] = generator.load(services)

    def run(
        self, params: dict[str, Any], inputs: Mapping[str, Path], context: JobContext
    ) -> dict[str, Any]:
        """Check, run, and record the recipe with the job and in the files.

        Returns:
            ``files``: names by output; ``values``: what else the generator found.

        Raises:
            InvalidInput: Parameters or files are not what it takes.
            JobFailed: What may succeed when it is tried again.
        """
        generator = self.generator
        valid = generator.validate(params)
        check_inputs(generator, inputs)
        place = context.place
        recipe = make_recipe(
            generator,
            valid,
            inputs,
            self._services,
            self._fingerprints,
            place.device,
            place.threads,
        )
        context.record(recipe.model_dump(mode="json"), recipe.key)
        result = self._result(valid, inputs, context)
        rung = str(result.values.get("rung", ""))
        if rung not in ("", FIRST_RUNG):
            # Made differently, as memory ran out: not what the same job gives at another time.
            recipe = recipe.model_copy(update={"rung": rung})
            context.record(recipe.model_dump(mode="json"), recipe.key)
        for path in (path for paths in result.files.values() for path in paths):
            write_recipe(path, recipe.model_dump(mode="json"))
        return {
            "files": {name: [path.name for path in paths] for name, paths in result.files.items()},
            "values": dict(result.values),
        }

    def _result(self, params: Parameters, inputs: Inputs, context: JobContext) -> Result:
        try:
            return self._run(params, inputs, context)
        except BaseException as error:
            # Also of a cancelled job: its memory must not wait for the next one.
            forget(error)
            settle()
            if not isinstance(error, self.generator.retryable):
                raise
            hint = error.hint if isinstance(error, AvatarServerError) else ""
            text = error.description if isinstance(error, AvatarServerError) else str(error)
            raise JobFailed(text, hint, retryable=True) from error
