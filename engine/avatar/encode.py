"""Encoding the pictures of a pack so that any client can decode them from any keyframe.

H.264 is constrained baseline without B-frames, in Annex B form, with parameter sets before every
keyframe and no other side data. Profile and level follow Annex A of ITU-T H.264.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil
from typing import Final

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from engine.avatar.pack import EncodedPictures
from engine.avatar.spec import Encoding
from engine.errors import MissingDependency

# (level, macroblocks per second, macroblocks per picture, bits per second), H.264 table A-1.
_LEVELS: Final = (
    ("3.1", 108_000, 3_600, 14_000_000),
    ("3.2", 216_000, 5_120, 20_000_000),
    ("4.0", 245_760, 8_192, 20_000_000),
    ("4.2", 522_240, 8_704, 50_000_000),
    ("5.1", 983_040, 36_864, 240_000_000),
)

_NAL_SLICE = 1
_NAL_IDR = 5
_NAL_SPS = 7
_NAL_PPS = 8


class Encoder(ABC):
    """Encodes pictures one by one; the access units come out together at the end.

    Args:
        encoding: Size, frame rate and quality.
        library: FFmpeg's name of the encoder.
        options: Its options.
    """

    codec: str

    def __init__(self, encoding: Encoding, library: str, options: dict[str, str]) -> None:
        try:
            context = av.CodecContext.create(library, "w")
        except (ValueError, av.error.FFmpegError) as error:
            raise MissingDependency(
                f"This PyAV has no {library} encoder.",
                "Install PyAV from its wheels: pip install av",
            ) from error
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = encoding.size
        context.pix_fmt = "yuv420p"
        context.framerate = encoding.fps
        context.time_base = 1 / encoding.fps
        # One thread gives the same bytes everywhere; compiling is parallel over avatars instead.
        context.thread_count = 1
        context.options = options
        self._context = context
        self._time_base: Fraction = 1 / encoding.fps
        self._count = 0
        self._units: list[bytes] = []

    def add(self, picture: av.VideoFrame, keyframe: bool) -> None:
        """Encode the next picture.

        Args:
            picture: yuv420p, of the encoding's size. Its timestamp and type are overwritten.
            keyframe: Whether a decoder must be able to start here.
        """
        picture.pts = self._count
        picture.time_base = self._time_base
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._count += 1
        self._units.extend(self._finish(bytes(packet)) for packet in self._context.encode(picture))

    def finish(self) -> EncodedPictures:
        """Return everything that was added, in order."""
        self._units.extend(self._finish(bytes(packet)) for packet in self._context.encode(None))
        return EncodedPictures(self.codec, self._profile_level_id(), tuple(self._units))

    @abstractmethod
    def _finish(self, unit: bytes) -> bytes:
        """Bring one access unit into the form that packs hold."""

    def _profile_level_id(self) -> str:
        return ""


class H264(Encoder):
    """Constrained baseline H.264 by x264."""

    codec = "H264"

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(encoding, "libx264", self._options(encoding))
        self._context.profile = "Baseline"

    def _options(self, encoding: Encoding, crf_offset: int = 0, **more: str) -> dict[str, str]:
        x264 = {
            "keyint": "infinite",
            "scenecut": "0",
            "bframes": "0",
            "ref": "2",
            "threads": "1",
            "colorprim": "bt709",
            "transfer": "bt709",
            "colormatrix": "bt709",
            "range": "tv",
            **more,
        }
        return {
            "preset": "medium",
            "crf": str(encoding.crf + crf_offset),
            "maxrate": str(encoding.max_bitrate),
            "bufsize": str(encoding.max_bitrate // 2),
            "level": level_for(encoding.size, encoding.fps, encoding.max_bitrate),
            "forced-idr": "1",
            "x264-params": ":".join(f"{key}={value}" for key, value in x264.items()),
        }

    def _finish(self, unit: bytes) -> bytes:
        kept = (_NAL_SLICE, _NAL_IDR, _NAL_SPS, _NAL_PPS)
        return b"".join(b"\0\0\0\1" + nal for nal in split_nal_units(unit) if nal[0] & 31 in kept)

    def _profile_level_id(self) -> str:
        return profile_level_id(self._units)


class CausalH264(H264):
    """The same without look-ahead: equal beginnings give equal bytes (``motion/splice.py``)."""

    def _options(self, encoding: Encoding, crf_offset: int = 0, **more: str) -> dict[str, str]:
        # Without look-ahead x264 needs a rate factor 3 higher for the same structural similarity.
        causal = {"rc-lookahead": "0", "sync-lookahead": "0", "mbtree": "0"}
        return super()._options(encoding, crf_offset=3, **causal)


def profile_level_id(units: Iterable[bytes]) -> str:
    """Return the profile and level in the parameter sets, as SDP wants them.

    Raises:
        AssertionError: There is not exactly one.
    """
    found = {nal[1:4] for u in units for nal in split_nal_units(u) if nal[0] & 31 == _NAL_SPS}
    if len(found) != 1:
        raise AssertionError(f"x264 wrote {len(found)} different profiles")
    return found.pop().hex()


class VP8(Encoder):
    """VP8 by libvpx, for clients without H.264."""

    codec = "VP8"

    def __init__(self, encoding: Encoding) -> None:
        options = {
            "deadline": "good",
            "cpu-used": "4",
            # libvpx's scale differs from x264's: about 9 lower looks alike.
            "crf": str(max(4, encoding.crf - 9)),
            "auto-alt-ref": "0",
            "lag-in-frames": "0",
        }
        super().__init__(encoding, "libvpx", options)
        self._context.bit_rate = encoding.max_bitrate

    def _finish(self, unit: bytes) -> bytes:
        return unit


ENCODERS: Final[dict[str, type[H264] | type[VP8]]] = {"H264": H264, "VP8": VP8}


def level_for(size: tuple[int, int], fps: float | Fraction, bitrate: int) -> str:
    """Return the lowest H.264 level from 3.1 upwards that size, rate and bit rate fit into."""
    width, height = size
    blocks = ceil(width / 16) * ceil(height / 16)
    for level, per_second, per_picture, bits in _LEVELS:
        fits = blocks * fps <= per_second and blocks <= per_picture
        if fits and bitrate <= bits:
            return level
    return _LEVELS[-1][0]


def split_nal_units(unit: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an Annex B access unit, without start codes."""
    start = unit.find(b"\0\0\1")
    while start != -1:
        start += 3
        end = unit.find(b"\0\0\1", start)
        # A four-byte start code leaves one zero behind, which cannot end a NAL unit.
        yield (unit[start:] if end == -1 else unit[start:end]).rstrip(b"\0")
        start = end


def poster(picture: av.VideoFrame) -> bytes:
    """Encode one picture as JPEG."""
    image = picture.reformat(format="yuvj420p", dst_color_range="JPEG")
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = image.width, image.height
    context.pix_fmt = "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.options = {"qmin": "3", "qmax": "3"}
    image.pts = 0
    packets = [*context.encode(image), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
