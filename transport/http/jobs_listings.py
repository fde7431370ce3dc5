"""``/generators``, ``/models`` and ``/vram-monitor``: what there is to make things with."""

from collections.abc import Iterator
from typing import Any, Literal

from aiohttp import web

from engine.errors import AvatarServerError
from processors.generate.declaration import Generator
from processors.generate.schema import describe
from processors.models.catalog import ModelSpec
from processors.models.files import ModelNotFound, recorded_hash
from processors.models.library import ModelLibrary
from processors.models.licences import ModelRefused
from processors.models.memory_devices import CPU
from processors.models.memory_monitor import DeviceView, view_devices
from transport.http.jobs_bodies import (
    DeviceMemory,
    GeneratorInfo,
    MemorySample,
    MissingModel,
    ModelInfo,
    ModelInMemory,
    VramMonitor,
)
from transport.http.keys import JOBS
from transport.http.routing import Route
from transport.jobs.catalogue import GeneratorCatalogue

Health = Literal["ready", "missing", "damaged", "refused", "unchecked"]


async def list_generators(request: web.Request, body: None) -> list[GeneratorInfo]:
    """Describe all generators."""
    room = request.app[JOBS]

    def find() -> list[GeneratorInfo]:
        return [_generator(room.catalogue, item) for item in room.catalogue.all().values()]

    return await room.desk.run(find)


async def list_models(request: web.Request, body: None) -> list[ModelInfo]:
    """Describe all models that are known."""
    room = request.app[JOBS]

    def find() -> list[ModelInfo]:
        library = room.catalogue.services.library
        views = view_devices(room.reports, room.memory)
        return [_model(library, key, spec, views) for key, spec in library.catalog]

    return await room.desk.run(find)


async def vram_monitor(request: web.Request, body: None) -> VramMonitor:
    """Show the memory of all devices."""
    room = request.app[JOBS]

    def find() -> VramMonitor:
        views = view_devices(room.reports, room.memory)
        room.usage.add(views)
        history = [
            MemorySample(time=sample.time, device=sample.device, used=sample.used)
            for sample in room.usage.samples()
        ]
        return VramMonitor(devices=[_device(view) for view in views], history=history)

    return await room.desk.run(find)


def _generator(catalogue: GeneratorCatalogue, generator: Generator[Any]) -> GeneratorInfo:
    told = describe(generator)
    return GeneratorInfo(
        parameters=told.pop("params"), missing=list(_missing(catalogue, generator)), **told
    )


def _missing(catalogue: GeneratorCatalogue, generator: Generator[Any]) -> Iterator[MissingModel]:
    """Yield the models that the default parameters need and that are not here."""
    # Without validation, as a prompt, for example, has no default.
    params = generator.parameters.model_construct()
    try:
        models = generator.models(params)
    except AttributeError:
        # Which models there are depends on a parameter without a default.
        return
    for model in models:
        try:
            catalogue.look_for(model)
        except ModelNotFound:
            yield MissingModel(model=model, command=_pull(model))
        except AvatarServerError as error:
            yield MissingModel(model=model, command=error.hint)


def _pull(model: str) -> str:
    return f"python server.py models pull {model}"


def _model(
    library: ModelLibrary, key: str, spec: ModelSpec, views: tuple[DeviceView, ...]
) -> ModelInfo:
    health = _health(library, key, spec)
    here = all(library.where(file) is not None for file in spec.files)
    return ModelInfo(
        id=key,
        bytes=spec.size or _size_on_disk(library, spec),
        vendor=spec.vendor,
        licence=spec.licence,
        commercial=spec.commercial,
        purpose=spec.purpose,
        note=spec.note,
        health=health,
        places=[*(["disk"] if here else []), *_places(key, views)],
        command=_pull(key),
    )


def _places(key: str, views: tuple[DeviceView, ...]) -> Iterator[str]:
    for view in views:
        # Keys in memory name a part and a form of a model behind its id: id/unet+fp16.
        if any(item.model.key.replace("+", "/").split("/")[0] == key for item in view.models):
            yield "ram" if view.device == CPU else view.device


def _health(library: ModelLibrary, key: str, spec: ModelSpec) -> Health:
    """Tell how a model's files look, without reading them."""
    try:
        library.allow(key)
    except ModelRefused:
        return "refused"
    unchecked = False
    for file in spec.files:
        path = library.where(file)
        if path is None:
            return "missing"
        if file.size is not None and path.stat().st_size != file.size:
            return "damaged"
        unchecked = unchecked or not (file.sha256 or recorded_hash(path))
    return "unchecked" if unchecked else "ready"


def _size_on_disk(library: ModelLibrary, spec: ModelSpec) -> int:
    paths = [library.where(file) for file in spec.files]
    return sum(path.stat().st_size for path in paths if path is not None)


def _device(view: DeviceView) -> DeviceMemory:
    return DeviceMemory(
        device=view.device,
        kind=view.kind,
        total=view.total,
        used=view.used,
        budget=view.budget,
        reserved=view.reserved,
        models=[
            ModelInMemory(
                key=item.model.key,
                bytes=item.model.bytes,
                place=item.model.place,
                pinned=item.model.pinned,
                in_use=item.model.in_use,
                owner=item.owner,
                last_used=item.model.last_used,
            )
            for item in view.models
        ],
    )


ROUTES = (
    Route(
        "GET",
        "/generators",
        list_generators,
        "What jobs can make, with the JSON schemas of the parameters.",
        answer=list[GeneratorInfo],
    ),
    Route("GET", "/models", list_models, "The models that are known.", answer=list[ModelInfo]),
    Route("GET", "/vram-monitor", vram_monitor, "The memory of all devices.", answer=VramMonitor),
)
