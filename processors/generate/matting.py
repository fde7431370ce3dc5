"""Runs ``remove_background``."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import InvalidInput
from engine.media.colours import Colours
from engine.media.container_names import FileKind
from engine.media.containers import choose_container
from engine.media.h264 import add_h264
from engine.media.source_video import opened_video
from engine.media.upright import exact_bgr
from engine.pipeline.model_settings import RuntimeSettings
from processors.generate.cutout import Steady, clean, over, soften
from processors.generate.declaration import Context, Inputs, Result, Services
from processors.generate.inputs import picture_size_of
from processors.generate.ladder import FIRST_RUNG, Rung, climb
from processors.generate.picture_files import (
    Bytes,
    Picture,
    read_picture,
    write_grey,
    write_png,
)
from processors.generate.recipe import tags
from processors.generate.rembg_masks import Masker, load_masker, locate, network_side
from processors.generate.remove_background import RemoveBackgroundParameters
from processors.generate.resizing import covering
from processors.generate.transparent_video import TransparentStream
from processors.generate.video_pictures import remake
from processors.models.memory import ModelSpec
from processors.models.memory_devices import CPU
from processors.models.providers import CUDA

_BACKDROP = 64
"""Grey that previews of transparent pictures are shown on."""

_WORKING_BYTES = 1500
"""Per pixel of the picture that the networks see: the layers that are in memory at once."""


class NoBackground(InvalidInput):
    """A background picture is wanted and was not given."""


class BackgroundRemover:
    """Implements ``remove_background``.

    Args:
        services: Where models are, and what runs them.
        load: Makes a masker: file, name of the rembg model that it is like, what it runs on.
    """

    def __init__(
        self,
        services: Services,
        load: Callable[[Path, str, RuntimeSettings], Masker] = load_masker,
    ) -> None:
        self._services = services
        self._load = load

    def run(self, params: RemoveBackgroundParameters, inputs: Inputs, context: Context) -> Result:
        """Cut out; see ``remove_background.REMOVE_BACKGROUND``.

        Raises:
            NoBackground, BadPicture, ClipError: An input is missing or damaged.
            ModelNotFound, ModelDamaged, UnknownSession, MaskFailed, MissingDependency: There is no
                model that works.
            OutOfMemory: No way of running it has enough memory.
        """
        background = None
        if params.output == "picture":
            if "background" not in inputs:
                raise NoBackground(
                    "With output: picture a background is needed.",
                    "Give the picture that goes behind it as the input 'background'.",
                )
            background = read_picture(inputs["background"]).colour
        context.progress(0.0, "Loading the model")
        path, like = locate(params.model, params.session, self._services)

        def attempt(rung: Rung[RuntimeSettings]) -> Result:
            device = _device(rung.settings)
            spec = ModelSpec(
                key=f"{path}+{like}+{rung.settings.provider}+{rung.settings.threads}",
                bytes=path.stat().st_size,
                load=lambda: self._load(path, like, rung.settings),
                home=device,
            )
            working = _WORKING_BYTES * network_side(like) ** 2
            with self._services.memory.use(spec, device, working, context) as masker:
                cutter = Cutter(params, masker, background)
                if picture_size_of(inputs["source"]) is not None:
                    return _picture(cutter, inputs["source"], context)
                return _video(cutter, inputs["source"], context)

        result, rung = climb(
            _rungs(self._services.runtime, context), attempt, self._services.memory, context
        )
        context.progress(1.0, "Done")
        return Result(result.files, {**result.values, "rung": rung.name})


class Cutter:
    """Cuts out of pictures, one after the other.

    Args:
        params: How.
        masker: Says what is in front.
        background: ``uint8[h, w, 3]``, BGR, for ``output: picture``.
    """

    def __init__(
        self, params: RemoveBackgroundParameters, masker: Masker, background: Bytes | None
    ) -> None:
        self.params = params
        self._masker = masker
        self._background = background
        self._fitted: Bytes | None = None
        self._steady = Steady(params.smoothing)

    def alpha(self, colour: Bytes, video: bool = False) -> Bytes:
        """Return how much of each pixel is in front, ``uint8[h, w]``.

        Args:
            colour: ``uint8[h, w, 3]``, BGR.
            video: It follows the last one in a video.
        """
        params = self.params
        mask = self._masker.mask(colour)
        if params.alpha_matting:
            band = (params.foreground_threshold, params.background_threshold)
            mask = soften(colour, mask, *band, params.erode, max(2, params.erode))
        return self._steady.next(colour, mask) if video else mask

    def kept(self, colour: Bytes, alpha: Bytes) -> Bytes:
        """Return the colours of what is in front."""
        if not self.params.clean_colours:
            return colour
        return clean(colour, alpha, max(2, min(colour.shape[:2]) // 16))

    def shown(self, colour: Bytes, alpha: Bytes) -> Bytes:
        """Return the picture on its background, or the mask, as ``uint8[h, w, 3]``, BGR."""
        output = self.params.output
        if output == "mask":
            return np.repeat(alpha[..., None], 3, axis=2)
        if output == "picture":
            return over(self.kept(colour, alpha), alpha, self._behind(colour))
        grey = (_BACKDROP,) * 3
        plain = grey if output == "transparent" else _bgr(self.params.colour)
        return over(self.kept(colour, alpha), alpha, np.full_like(colour, plain))

    def _behind(self, colour: Bytes) -> Bytes:
        assert self._background is not None
        if self._fitted is None or self._fitted.shape != colour.shape:
            self._fitted = covering(self._background, (colour.shape[1], colour.shape[0]))
        return self._fitted


def _picture(cutter: Cutter, source: Path, context: Context) -> Result:
    context.progress(0.1, "Cutting out")
    picture = read_picture(source)
    alpha = cutter.alpha(picture.colour)
    if picture.alpha is not None:
        alpha = np.asarray(alpha.astype(np.uint16) * picture.alpha // 255, np.uint8)
    context.progress(0.7, "Writing the picture")
    output = cutter.params.output
    values = {"share": round(float(alpha.mean()) / 255, 4)}
    if output == "mask":
        target = context.folder / "mask.png"
        write_grey(target, alpha)
        return Result({"mask": (target,)}, values)
    if context.wants_preview():
        context.preview(cutter.shown(picture.colour, alpha))
    target = context.folder / "picture.png"
    if output == "transparent":
        kept = cutter.kept(picture.colour, alpha)
        write_png(target, Picture(kept, alpha, picture.profile))
    else:
        write_png(target, Picture(cutter.shown(picture.colour, alpha), None, picture.profile))
    return Result({"picture": (target,)}, values)


def _video(cutter: Cutter, source: Path, context: Context) -> Result:
    params = cutter.params
    with opened_video(source) as video:
        kind: FileKind = (
            params.transparent_video
            if params.output == "transparent"
            else choose_container("auto", "h264", video.sounds)
        )
        target = context.folder / f"video.{kind}"
        remake(
            video,
            target,
            kind,
            _CutVideo(cutter, kind, context),
            threads=context.place.threads,
            metadata=tags(context.recipe),
            progress=lambda done: context.progress(done, "Cutting out"),
        )
    return Result({"video": (target,)})


class _CutVideo:
    """Implements ``PictureChange``."""

    def __init__(self, cutter: Cutter, kind: FileKind, context: Context) -> None:
        self._cutter = cutter
        self._kind: FileKind = kind
        self._context = context
        self._clear: TransparentStream | None = None
        self._colours: Colours | None = None
        self._size = (0, 0)

    def begin(
        self, first: VideoFrame, output: OutputContainer, rate: Fraction, pixel_aspect: Fraction
    ) -> VideoStream:
        colours = self._colours = Colours.of(first)
        # Two pixels share their colour in what is encoded.
        self._size = (max(2, first.width & ~1), max(2, first.height & ~1))
        crf = self._cutter.params.crf
        if self._cutter.params.output == "transparent":
            self._clear = TransparentStream(self._kind, colours, crf)
            stream = self._clear.add_to(output, rate)
        else:
            stream = add_h264(output, rate, crf, "fast")
            stream.pix_fmt = "yuv420p"
        stream.width, stream.height = self._size
        colours.describe(stream)
        return stream

    def change(self, frame: VideoFrame, seconds: float) -> VideoFrame:
        assert self._colours is not None
        width, height = self._size
        if (frame.width & ~1, frame.height & ~1) != self._size:
            frame = frame.reformat(width, height)
        colour = np.ascontiguousarray(exact_bgr(frame)[:height, :width])
        alpha = self._cutter.alpha(colour, video=True)
        if self._context.wants_preview():
            self._context.preview(self._cutter.shown(colour, alpha))
        if self._clear is not None:
            return self._clear.encoded(self._cutter.kept(colour, alpha), alpha)
        return self._colours.encoded(self._cutter.shown(colour, alpha))


def _rungs(settings: RuntimeSettings, context: Context) -> list[Rung[RuntimeSettings]]:
    """The device of the job, then the CPU."""
    threads = context.place.threads or settings.threads
    kind, _, index = context.place.device.partition(":")
    wanted = settings.model_copy(update={"threads": threads})
    if kind == "cpu":
        wanted = wanted.model_copy(update={"provider": "cpu"})
    elif kind == "cuda":
        changes = {"provider": "cuda", "device": int(index or 0)}
        wanted = wanted.model_copy(update=changes)
    device = _device(wanted)
    if device == CPU:
        return [Rung(FIRST_RUNG, wanted)]
    return [Rung(FIRST_RUNG, wanted), Rung(CPU, wanted.model_copy(update={"provider": "cpu"}))]


def _device(settings: RuntimeSettings) -> str:
    """Whose memory a model takes with these settings."""
    if settings.provider in ("cuda", "tensorrt"):
        return f"cuda:{settings.device}"
    if settings.provider == "auto":
        import onnxruntime  # type: ignore[import-untyped]  # it ships none

        if CUDA in onnxruntime.get_available_providers():
            return f"cuda:{settings.device}"
    return CPU


def _bgr(colour: str) -> tuple[int, int, int]:
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
