"""What a caller asks for, and the job that it becomes."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidInput, NotFound
from engine.jobs.ids import new_job_id
from engine.jobs.spec import CACHED, Job, JobInput, JobSpec, JobState, Json
from processors.generate.declaration import Generator
from processors.generate.inputs import BadInput, check_file, check_inputs
from processors.generate.recipe import Recipe, read_recipe
from transport.jobs.catalogue import GeneratorCatalogue, with_seed

if TYPE_CHECKING:
    from engine.jobs.opening import Jobs


class InputNotFound(InvalidInput):
    """A file that a recipe names is not known here any more."""


@dataclass(frozen=True, slots=True)
class FileOfJob:
    """A file of another job: one that it made or, failing that, one that it read."""

    job: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job as a caller asks for it; fields as in ``JobSpec`` where it has them.

    Attributes:
        kind: Name of the generator; empty: the one of the recipe.
        params: Not valid yet; with ``from_file`` they replace those of the recipe.
        files: Files of other jobs that it reads, by the names of inputs.
        uploads: Files in the job's own folder of inputs, by the names of inputs.
        from_file: A file whose recipe is to be run again.
        recipe: The name of such a file in the job's own folder of inputs.
        cache: A result that is there already will do.
        front: Put it before all that wait.
    """

    kind: str = ""
    params: Json = field(default_factory=dict)
    files: Mapping[str, Sequence[FileOfJob]] = field(default_factory=dict)
    uploads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    from_file: FileOfJob | None = None
    recipe: str = ""
    priority: int = 0
    delay_s: float = 0.0
    depends_on: tuple[str, ...] = ()
    webhook: str = ""
    cache: bool = True
    front: bool = False
    id: str = field(default_factory=new_job_id)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an order comes to: a job to enqueue, or one that is done already."""

    spec: JobSpec
    done: Job | None = None


def prepare(order: Order, jobs: "Jobs", catalogue: GeneratorCatalogue) -> Prepared:
    """Check an order and look whether its result is there already. Reads files: for a thread.

    Raises:
        NotFound: There is no such generator, model, job or file.
        InvalidInput: A parameter or file is not what the generator takes.
        OSError: The disk is full.
    """
    recipe = _recipe(order, jobs)
    generator = catalogue.find(order.kind or (recipe.generator if recipe else ""))
    params = generator.validate({**(recipe.params if recipe else {}), **order.params})
    params = with_seed(params)
    catalogue.check_models(generator, params)
    inputs = _Inputs(order, jobs)
    if recipe is not None:
        _find_inputs(recipe, generator, order, inputs, catalogue)
    inputs.check(generator)
    known = dict(inputs.paths)
    values = params.model_dump(mode="json")
    spec = JobSpec(
        generator=generator.name,
        params=values,
        inputs=tuple(inputs.found.values()),
        priority=order.priority,
        delay_s=order.delay_s,
        depends_on=order.depends_on,
        # The worker replaces it by the whole one.
        recipe={
            "generator": generator.name,
            "params": values,
            "inputs": catalogue.hashes(known),
        },
        webhook=order.webhook,
        id=order.id,
    )
    wanted = order.cache and jobs.settings.cache and not (order.delay_s or order.depends_on)
    if not wanted or len(known) < len(inputs.found):
        return Prepared(spec)
    earlier = jobs.cache.find(catalogue.keys(generator, params, known))
    if earlier is None:
        return Prepared(spec)
    return Prepared(spec, jobs.cache.enqueue(spec, earlier))


def is_cached(job: Job) -> bool:
    """Return whether a job's files are those of an earlier one."""
    return CACHED in job.extra


class _Inputs:
    """The inputs of a job that is being made: what is uploaded, and what other jobs have."""

    def __init__(self, order: Order, jobs: "Jobs") -> None:
        self._jobs = jobs
        self._id = order.id
        self.found: dict[str, JobInput] = {}
        self.paths: dict[str, Path] = {}
        """Of those that are there already; results of unfinished jobs are not."""
        for name, files in order.uploads.items():
            for file in files:
                self.add_own(name, file)
        for name, others in order.files.items():
            for other in others:
                self.add_other(name, other)

    def add_own(self, name: str, file: str) -> None:
        key = self._free(name)
        self.found[key] = JobInput(key, file)
        self.paths[key] = self._jobs.files.input(self._id, file)

    def add_other(self, name: str, other: FileOfJob) -> None:
        """Use a file that another job makes, or has read."""
        job = self._jobs.queue.get(other.job)
        made = not job.state.finished or other.file in {file.name for file in job.files}
        read = next((item for item in job.inputs if other.file in (item.file, item.name)), None)
        if read is not None and (not made or job.state is not JobState.DONE):
            self.add_input(name, job, read)
            return
        key = self._free(name)
        if job.state is JobState.DONE:
            self.paths[key] = self._jobs.files.result(job, other.file)
        self.found[key] = JobInput(key, other.file, other.job)

    def add_input(self, name: str, job: Job, read: JobInput) -> None:
        """Use a file that another job has read."""
        if read.from_job:
            self.add_other(name, FileOfJob(read.from_job, read.file))
            return
        source = self._jobs.files.input(job.id, read.file)
        self.add_own(name, keep_copy(source, self._jobs.files.inputs(self._id)))

    def check(self, generator: Generator[Any]) -> None:
        """Look whether the files are what the generator takes, as far as they are there.

        Raises:
            BadInput: They are not.
        """
        pending = {_base(name) for name in self.found.keys() - self.paths.keys()}
        unknown = pending - {item.name for item in generator.inputs}
        if unknown:
            raise BadInput(f"{generator.name} takes no file '{unknown.pop()}'.")
        rest = tuple(item for item in generator.inputs if item.name not in pending)
        check_inputs(
            replace(generator, inputs=rest),
            {name: path for name, path in self.paths.items() if _base(name) not in pending},
        )
        for item in generator.inputs:
            for name, path in self.paths.items():
                if item.name in pending and _base(name) == item.name:
                    check_file(path, item)

    def _free(self, name: str) -> str:
        """Return the name of a further file of an input: NAME, NAME-2, and so on."""
        if name not in self.found:
            return name
        number = 2
        while f"{name}-{number}" in self.found:
            number += 1
        return f"{name}-{number}"


def _base(name: str) -> str:
    stem, _, number = name.rpartition("-")
    return stem if stem and number.isdigit() else name


def keep_copy(source: Path, folder: Path) -> str:
    """Put a file into a folder of inputs, under a name that is free; return the name."""
    name = free_name(folder, source.name)
    try:
        os.link(source, folder / name)
    except OSError:
        # No hard links between these two.
        shutil.copyfile(source, folder / name)
    return name


def free_name(folder: Path, name: str) -> str:
    """Return a file name that is not taken in a folder: the name, or one with a number."""
    stem, suffix = Path(name).stem, Path(name).suffix
    number = 2
    while (folder / name).exists():
        name = f"{stem}-{number}{suffix}"
        number += 1
    return name


def _recipe(order: Order, jobs: "Jobs") -> Recipe | None:
    if order.recipe:
        return read_recipe(jobs.files.input(order.id, order.recipe))
    if order.from_file is None:
        return None
    job = jobs.queue.get(order.from_file.job)
    if order.from_file.file in {file.name for file in job.files}:
        return read_recipe(jobs.files.result(job, order.from_file.file))
    return read_recipe(jobs.files.input(job.id, order.from_file.file))


def _find_inputs(
    recipe: Recipe,
    generator: Generator[Any],
    order: Order,
    inputs: _Inputs,
    catalogue: GeneratorCatalogue,
) -> None:
    """Add the files that a recipe names by their hashes and that the caller did not give."""
    given = {_base(name) for name in inputs.found}
    for name, digest in sorted(recipe.inputs.items(), key=lambda item: _in_order(item[0])):
        if _base(name) in given:
            continue
        for job, read in _readers(inputs, digest):
            try:
                inputs.add_input(_base(name), job, read)
            except NotFound:
                continue
            added = list(inputs.found)[-1]
            if catalogue.hashes({name: inputs.paths[added]})[name] == digest:
                break
            del inputs.found[added], inputs.paths[added]
        else:
            raise InputNotFound(
                f"The file '{name}' that this was made of is not known here any more"
                f" (SHA-256 {digest}).",
                f"Send it along, as a file named {_base(name)}.",
            )


def _in_order(name: str) -> tuple[str, int]:
    base = _base(name)
    return base, int(name.removeprefix(base).lstrip("-") or 1)


def _readers(inputs: _Inputs, digest: str) -> list[tuple[Job, JobInput]]:
    """Return the jobs that have read a file of this hash, each with its input."""
    found = []
    for job in inputs._jobs.history.with_digest(digest):
        names = [name for name, known in job.recipe.get("inputs", {}).items() if known == digest]
        found += [(job, item) for item in job.inputs if item.name in names]
    return found
