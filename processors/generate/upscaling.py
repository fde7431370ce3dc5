"""Runs ``upscale``."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import InvalidInput, MissingDependency
from engine.media.colours import Colours
from engine.media.containers import choose_container
from engine.media.h264 import add_h264
from engine.media.source_video import opened_video
from engine.media.upright import exact_bgr
from processors.generate.declaration import Context, Inputs, Result, Services
from processors.generate.diffusion.libraries import reproducible, resolve_device
from processors.generate.enlarging import Enlarger, Way
from processors.generate.inputs import picture_size_of
from processors.generate.ladder import FIRST_RUNG, Rung, climb
from processors.generate.model_files import model_file
from processors.generate.picture_files import Picture, read_picture, write_png
from processors.generate.recipe import tags
from processors.generate.resizing import resized
from processors.generate.upscale import WITHOUT_DENOISE, UpscaleParameters
from processors.generate.video_pictures import remake
from processors.models.memory import ModelSpec
from processors.models.memory_devices import CPU
from processors.models.restorers import SUFFIXES, Restorer, load_restorer

MAX_RESULT_PIXELS = 400_000_000
"""Of a picture: 1.2 GB in memory."""

MAX_RESULT_SIDE = 8192
"""Of a video: what H.264 can hold."""

_TILE = {"cuda": 512, "cpu": 256}
_SMALLEST_TILE = 64
_PIXEL_BYTES = 16_000
"""Working memory per pixel of a tile, in 32 bits: a network of 64 channels that enlarges four
times."""


class TooLarge(InvalidInput):
    """The result would be larger than files can be."""


class Upscaler:
    """Implements ``upscale``.

    Args:
        services: Where models are, and their memory.
        load: Loads a network: files, and the share of each.
    """

    def __init__(
        self,
        services: Services,
        load: Callable[[Sequence[Path], Sequence[float]], Restorer] = load_restorer,
    ) -> None:
        self._services = services
        self._load = load

    def run(self, params: UpscaleParameters, inputs: Inputs, context: Context) -> Result:
        """Enlarge; see ``upscale.UPSCALE``.

        Raises:
            BadPicture, ClipError, TooLarge: The input is damaged, or the result would be too large.
            ModelNotFound, ModelDamaged, RestorerUnusable, MissingDependency: There is no model that
                works.
            OutOfMemory: No way of running it has enough memory.
        """
        source = inputs["source"]
        size = picture_size_of(source)
        if size is not None:
            _check_result(size, params.scale)
        context.progress(0.0, "Loading the model")
        torch = _torch()
        paths = [model_file(params.model, self._services, SUFFIXES)]
        shares = [1.0]
        if params.denoise < 1:
            paths.append(model_file(WITHOUT_DENOISE, self._services, SUFFIXES))
            shares = [params.denoise, 1 - params.denoise]

        def attempt(rung: Rung[Way]) -> Result:
            way = rung.settings
            spec = ModelSpec(
                key=f"{'+'.join(str(path) for path in paths)}@{params.denoise}",
                bytes=sum(path.stat().st_size for path in paths),
                load=lambda: self._load(paths, shares),
            )
            with (
                reproducible(torch, context.place.threads),
                self._services.memory.use(
                    spec, way.device, _working(way, params, size), context
                ) as restorer,
            ):
                enlarger = Enlarger(restorer, way, params, torch)
                if size is not None:
                    return _picture(enlarger, source, context)
                return _video(enlarger, source, params, context)

        ways = ladder(params, resolve_device(torch, context.place.device))
        rungs = [Rung(way.name if fallen else FIRST_RUNG, way) for fallen, way in enumerate(ways)]
        result, rung = climb(rungs, attempt, self._services.memory, context)
        context.progress(1.0, "Done")
        return Result(result.files, {**result.values, "rung": rung.name})


def ladder(params: UpscaleParameters, device: str) -> list[Way]:
    """Return ways to run from the best one down: smaller tiles, half precision, the CPU.

    Args:
        params: With the tile to begin with, and the precision.
        device: ``cpu`` or ``cuda:N``.
    """
    kind = device.partition(":")[0]
    half = params.precision == "half" and kind != CPU
    sides = _halved(params.tile or _TILE.get(kind, _TILE["cpu"]))
    ways = [Way(device, side, half) for side in sides]
    if kind != CPU:
        if not half:
            ways += [Way(device, side, True) for side in sides[-2:]]
        ways += [Way(CPU, side, False) for side in _halved(min(sides[0], _TILE["cpu"]))]
    return ways


def _working(way: Way, params: UpscaleParameters, size: tuple[int, int] | None) -> int:
    """Bytes that enlarging a tile takes, of a picture of this size, if it is known."""
    side = way.tile + 2 * params.overlap
    width, height = size or (side, side)
    pixels = min(side, width) * min(side, height)
    return pixels * (_PIXEL_BYTES // 2 if way.half else _PIXEL_BYTES)


def _halved(side: int) -> list[int]:
    sides = [side]
    while sides[-1] // 2 >= _SMALLEST_TILE:
        sides.append(sides[-1] // 2)
    return sides


def _picture(enlarger: Enlarger, source: Path, context: Context) -> Result:
    picture = read_picture(source)
    height, width = picture.colour.shape[:2]
    size = (round(width * enlarger.scale), round(height * enlarger.scale))
    made = enlarger.to_size(
        picture.colour, size, lambda done: context.progress(0.95 * done, "Enlarging")
    )
    alpha = None if picture.alpha is None else resized(picture.alpha, size)
    if context.wants_preview():
        context.preview(made)
    context.progress(0.95, "Writing the picture")
    target = context.folder / "picture.png"
    write_png(target, Picture(made, alpha, picture.profile))
    return Result({"picture": (target,)}, {"width": size[0], "height": size[1]})


def _video(enlarger: Enlarger, source: Path, params: UpscaleParameters, context: Context) -> Result:
    with opened_video(source) as video:
        kind = choose_container(params.container, "h264", video.sounds)
        target = context.folder / f"video.{kind}"
        change = _LargerVideo(enlarger, params, context)
        remake(
            video,
            target,
            kind,
            change,
            threads=context.place.threads,
            metadata=tags(context.recipe),
            progress=lambda done: context.progress(done, "Enlarging"),
        )
    width, height = change.size
    return Result({"video": (target,)}, {"width": width, "height": height})


class _LargerVideo:
    """Implements ``PictureChange``."""

    def __init__(self, enlarger: Enlarger, params: UpscaleParameters, context: Context) -> None:
        self.size = (0, 0)
        self._enlarger = enlarger
        self._params = params
        self._context = context
        self._colours: Colours | None = None

    def begin(
        self, first: VideoFrame, output: OutputContainer, rate: Fraction, pixel_aspect: Fraction
    ) -> VideoStream:
        scale = self._params.scale
        # Two pixels share their colour in what is encoded.
        self.size = (2 * round(first.width * scale / 2), 2 * round(first.height * scale / 2))
        if max(self.size) > MAX_RESULT_SIDE:
            raise TooLarge(
                f"The video would have {self.size[0]}x{self.size[1]} pixels.",
                f"H.264 holds at most {MAX_RESULT_SIDE} on a side: choose a smaller scale.",
            )
        stream = add_h264(output, rate, self._params.crf, self._params.preset)
        stream.width, stream.height = self.size
        stream.pix_fmt = "yuv420p"
        self._colours = Colours.of(first).at_height(self.size[1], first.height)
        self._colours.describe(stream)
        return stream

    def change(self, frame: VideoFrame, seconds: float) -> VideoFrame:
        assert self._colours is not None
        made = self._enlarger.to_size(exact_bgr(frame), self.size, lambda _: self._context.check())
        if self._context.wants_preview():
            self._context.preview(made)
        return self._colours.encoded(made)


def _check_result(size: tuple[int, int], scale: float) -> None:
    width, height = round(size[0] * scale), round(size[1] * scale)
    if width * height > MAX_RESULT_PIXELS:
        raise TooLarge(
            f"The picture would have {width}x{height} pixels.",
            f"At most {MAX_RESULT_PIXELS // 1_000_000} million are possible: choose a smaller"
            " scale.",
        )


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependency(
            "Enlarging needs torch, which is not installed.",
            "Run: pip install -r requirements-ai.txt.",
        ) from error
    return torch
