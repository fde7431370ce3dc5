"""One stored picture in, one picture of the wanted size and colour out.

A chain of libavfilter filters that is built anew whenever the pictures of a clip change in size,
format or colour. It has no memory from picture to picture.
"""

from dataclasses import dataclass
from fractions import Fraction

from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from engine.clips.filtering import Step, build_graph, picture_key

Window = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of the upright picture, each from 0 to 1."""

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)

_RGB, _BT709, _UNSAID, _BT601 = 0, 1, 2, 5
_MID_GREY = 125.5
_FULL_RANGE = 2
_HD_LINES = 720
_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}
_SCALER = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True, slots=True)
class Look:
    """What to change of the colours and the sharpness; the defaults change nothing.

    Attributes:
        brightness: -1 to 1, added to the luma.
        contrast: Factor about mid grey.
        saturation: Factor of the colour's strength.
        sharpen: Strength of an unsharp mask of 5x5 pixels on the luma.
    """

    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    sharpen: float = 0.0


class Renderer:
    """Crops, scales and colours pictures.

    Args:
        size: Width and height to make, even.
        pixel_aspect: Width of a stored pixel divided by its height.
        window: The part of the picture to show; what of it does not fit ``size`` is cut off
            evenly on both sides.
        look: Changes of colour and sharpness.
        threads: Threads for the filters.
    """

    def __init__(
        self,
        size: tuple[int, int],
        pixel_aspect: Fraction = Fraction(1),
        window: Window = WHOLE,
        look: Look | None = None,
        threads: int = 1,
    ) -> None:
        self._size = size
        self._pixel_aspect = pixel_aspect
        self._window = window
        self._look = look or Look()
        self._threads = threads
        self._key: tuple[object, ...] = ()
        self._graph = Graph()

    def render(self, frame: VideoFrame) -> VideoFrame:
        """Make the picture: ``yuv420p``, BT.709, television range; the given one stays as it is."""
        key = picture_key(frame)
        if key != self._key:
            self._graph = build_graph(frame, self._steps(frame), self._threads)
            self._key = key
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _steps(self, frame: VideoFrame) -> list[Step]:
        width, height = self._size
        picture = frame.width * float(self._pixel_aspect) / frame.height
        part = shown_part(self._window, picture, width / height)
        steps = [("crop", _crop((frame.width, frame.height), part))]
        if _has_alpha(frame.format):
            steps += [("format", "gbrap"), ("premultiply", "inplace=1"), ("format", "gbrp")]
        scale = f"{width}:{height}:flags={_SCALER}"
        if int(frame.color_trc) in _TRANSFERS:
            # The change of transfer curve is slow, so it comes when the picture is small.
            steps += [("scale", scale), ("format", "yuv444p10le")]
        steps += [("scale", f"{scale}:{_conversion(frame)}"), ("format", "yuv420p")]
        steps += _look_steps(self._look)
        return [
            *steps,
            ("setsar", "1"),
            ("setparams", "range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"),
            ("setparams", "field_mode=prog"),
            ("sidedata", "mode=delete"),
        ]


def shown_part(window: Window, picture: float, wanted: float) -> Window:
    """The largest part of the middle of ``window`` that has the wanted shape.

    Args:
        window: The part of the picture to stay in.
        picture: Width of the displayed picture divided by its height.
        wanted: Width divided by height of the part to choose.
    """
    left, top, right, bottom = window
    width = min(right - left, (bottom - top) * wanted / picture)
    height = min(bottom - top, (right - left) * picture / wanted)
    left += (right - left - width) / 2
    top += (bottom - top - height) / 2
    return left, top, left + width, top + height


def _crop(stored: tuple[int, int], part: Window) -> str:
    """Arguments of ``crop`` for a part of a stored picture of this width and height.

    Left and top are even, so that subsampled colour stays in place.
    """
    x, width = _span(part[0], part[2], stored[0])
    y, height = _span(part[1], part[3], stored[1])
    return f"{width}:{height}:{x}:{y}"


def _span(first: float, last: float, limit: int) -> tuple[int, int]:
    """Start and length in whole pixels of a part of a side that is ``limit`` pixels long."""
    length = min(limit, max(2, round((last - first) * limit)))
    start = min(max(0, round(first * limit)), limit - length)
    return start - start % 2, length


def _has_alpha(pixel_format: VideoFormat) -> bool:
    return any(component.is_alpha for component in pixel_format.components)


def _conversion(frame: VideoFrame) -> str:
    """Arguments of ``scale`` that say what the colour is and what it becomes."""
    arguments = "out_color_matrix=bt709:out_range=tv"
    if frame.format.is_rgb:
        return arguments
    matrix, full = int(frame.colorspace), int(frame.color_range) == _FULL_RANGE
    if matrix in (_RGB, _UNSAID):
        matrix = _BT709 if max(frame.height, frame.width * 9 // 16) >= _HD_LINES else _BT601
    arguments += f":in_color_matrix={matrix}:in_range={'pc' if full else 'tv'}"
    curve = _TRANSFERS.get(int(frame.color_trc))
    if curve is not None:
        arguments += f":in_transfer={curve}:out_transfer=bt709:out_primaries=bt709"
    return arguments


def _look_steps(look: Look) -> list[Step]:
    """The look as tables on the planes, where luma lies in 16 to 235 and colour about 128."""
    steps: list[Step] = []
    if (look.brightness, look.contrast, look.saturation) != (0.0, 1.0, 1.0):
        shift = _MID_GREY + 219 * look.brightness
        luma = f"clip((val-{_MID_GREY})*{look.contrast}+{shift},16,235)"
        colour = f"clip((val-128)*{look.saturation}+128,16,240)"
        steps.append(("lutyuv", f"y='{luma}':u='{colour}':v='{colour}'"))
    if look.sharpen:
        steps.append(("unsharp", f"5:5:{look.sharpen}:5:5:0"))
    return steps
