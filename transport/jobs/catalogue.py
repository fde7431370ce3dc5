"""The generators as the server sees them: it validates and describes, and runs none."""

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from annotated_types import Ge, Le

from engine.errors import AvatarServerError, NotFound
from engine.jobs.priority import thread_count
from engine.jobs.settings import JobSettings
from processors.generate.declaration import Generator, Parameters, Services
from processors.generate.model_folders import model_folder
from processors.generate.recipe import Fingerprints, Recipe
from processors.generate.registry import find_generator, generators, make_recipe
from processors.models.files import ModelNotFound

_log = logging.getLogger(__name__)

_MOST_SEED: Final = 2**31 - 1
_MOST_FINGERPRINTS: Final = 4096


class GeneratorCatalogue:
    """The generators that there are, with what the server has to know of them.

    Methods that read files are for threads.

    Args:
        settings: The section ``jobs``.
        services: Makes what generators get from the settings; called once, in a thread.
        known: Other generators than ``registry.generators()``, for tests.
    """

    def __init__(
        self,
        settings: JobSettings,
        services: Callable[[], Services],
        known: Mapping[str, Generator[Any]] | None = None,
    ) -> None:
        self._settings = settings
        self._make_services = services
        self._known = known
        self._fingerprints = _BoundedFingerprints()
        self._hashed: set[str] = set()
        self._hashing = threading.Lock()

    @cached_property
    def services(self) -> Services:
        """What generators get; reads the catalogue of models."""
        return self._make_services()

    def all(self) -> Mapping[str, Generator[Any]]:
        """Return all generators by name."""
        return generators() if self._known is None else self._known

    def find(self, name: str) -> Generator[Any]:
        """Return a generator.

        Raises:
            NotFound: There is none of this name.
        """
        if self._known is None:
            return find_generator(name)
        if name not in self._known:
            raise NotFound(f"There is no generator {name!r}.", f"There are: {list(self._known)}.")
        return self._known[name]

    def missing(self, generator: Generator[Any], params: Parameters) -> Iterator[AvatarServerError]:
        """Yield for each model that a job needs and that is not here, or may not be used, why."""
        for model in generator.models(params):
            try:
                self.look_for(model)
            except AvatarServerError as error:
                yield error

    def check_models(self, generator: Generator[Any], params: Parameters) -> None:
        """Refuse a job whose models are not here; workers elsewhere may have others.

        Raises:
            ModelNotFound: Says how to get it.
            AvatarServerError: It may not be used, or named.
        """
        if self._settings.devices:
            for error in self.missing(generator, params):
                raise error

    def keys(
        self, generator: Generator[Any], params: Parameters, inputs: Mapping[str, Path]
    ) -> list[str]:
        """Return the cache keys under which a result of this job may be there already: one for each
        device that a worker of this server has.

        The hash of a large model takes a while; until it is known there is no key.
        """
        models = generator.models(params)
        if not self._hashed.issuperset(models):
            threading.Thread(
                target=self._hash, args=(models,), name="jobs-hashing", daemon=True
            ).start()
            return []
        threads = thread_count(self._settings.threads)
        found: list[Recipe] = []
        for device in dict.fromkeys(self._settings.devices):
            if found:
                found.append(found[0].model_copy(update={"device": device}))
                continue
            with suppress(NotFound):
                recipe = make_recipe(
                    generator,
                    params,
                    inputs,
                    self.services,
                    self._fingerprints,
                    device,
                    threads,
                )
                found.append(recipe)
        return [recipe.key for recipe in found]

    def hashes(self, inputs: Mapping[str, Path]) -> dict[str, str]:
        """Return the SHA-256 of files by their names."""
        return {name: self._fingerprints.of_file(path) for name, path in inputs.items()}

    def look_for(self, model: str) -> None:
        """Raise if a model is not here, or may not be used. Its files are not read.

        Raises:
            ModelNotFound: Says how to get it.
            AvatarServerError: It may not be used, or named.
        """
        library = self.services.library
        if model not in library.catalog:
            model_folder(model, self.services, "the model's files")
            return
        library.allow(model)
        for file in library.catalog[model].files:
            if library.where(file) is None:
                raise ModelNotFound(
                    f"The model {model} is not here: there is no {file.name}.",
                    f"Get it with: python server.py models pull {model}",
                )

    def _hash(self, models: Sequence[str]) -> None:
        from processors.generate.model_folders import model_hash

        with self._hashing:
            for model in models:
                try:
                    model_hash(model, self.services, self._fingerprints)
                except (AvatarServerError, OSError) as error:
                    _log.debug("The model %s has no hash: %s", model, error)
                    return
                self._hashed.add(model)


def with_seed(params: Parameters) -> Parameters:
    """Return parameters in which a seed that was not given is drawn.

    The seed is the parameter that ``form(widget="seed")`` marks. It is recorded with the job, so
    the same result can be had again.
    """
    drawn = {}
    for name, field in type(params).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("x-widget") == "seed":
            value = getattr(params, name)
            if value is None or value == -1:
                low = next((int(str(m.ge)) for m in field.metadata if isinstance(m, Ge)), 0)
                high = next(
                    (int(str(m.le)) for m in field.metadata if isinstance(m, Le)), _MOST_SEED
                )
                low, high = max(low, 0), min(high, _MOST_SEED)
                drawn[name] = low + secrets.randbelow(high - low + 1)
    return params.model_copy(update=drawn)


class _BoundedFingerprints(Fingerprints):
    """Remembers the hashes of so many files at most: jobs come and go."""

    def of_file(self, path: Path) -> str:
        if len(self._known) >= _MOST_FINGERPRINTS:
            self._known.clear()
        return super().of_file(path)
