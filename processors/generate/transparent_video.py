"""Encoding transparent videos: VP9 in WebM, ProRes 4444 in MOV."""

from fractions import Fraction
from typing import Any

import numpy as np
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import MissingDependency
from engine.media.colours import Colours
from engine.media.container_names import FileKind
from processors.generate.picture_files import Bytes

# Per container: encoder, pixel format, options.
_ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", "yuva420p", {"b": "0", "row-mt": "1", "cpu-used": "4"}),
    "mov": ("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}),
}


class TransparentStream:
    """A video's pictures with alpha.

    Args:
        kind: The file's container, ``webm`` or ``mov``.
        colours: Of the pictures.
        crf: Quality, 0 to 51 as x264 counts; ProRes has its own.

    Raises:
        MissingDependency: FFmpeg has no such encoder here.
    """

    def __init__(self, kind: FileKind, colours: Colours, crf: int) -> None:
        self._codec, self._format, self._options = _ENCODERS[kind]
        self._colours = colours
        if kind == "webm":
            # VP9 counts to 63; 31 there looks like 23 of x264.
            self._options = {**self._options, "crf": str(min(63, round(crf * 31 / 23)))}
        if not _there(self._codec):
            others = [name for name, (codec, *_) in _ENCODERS.items() if _there(codec)]
            raise MissingDependency(
                f"FFmpeg has no encoder {self._codec} here for transparent videos.",
                f"Set transparent_video: {others[0]}, or output: colour."
                if others
                else "Set output: colour, or install PyAV's wheel again: pip install av.",
            )

    def add_to(self, output: OutputContainer, rate: Fraction) -> VideoStream:
        """Add the stream to a file; size and colours are left to be set."""
        stream: Any = output.add_stream(self._codec, rate=rate, options=self._options)
        stream.pix_fmt = self._format
        if self._codec == "libvpx-vp9":
            # What tells players of Matroska files to look for alpha.
            stream.metadata["alpha_mode"] = "1"
        found: VideoStream = stream
        return found

    def encoded(self, colour: Bytes, alpha: Bytes) -> VideoFrame:
        """Return a picture for the encoder.

        Args:
            colour: ``uint8[h, w, 3]``, BGR, not multiplied by alpha.
            alpha: ``uint8[h, w]``.
        """
        # Nothing is seen where all is transparent, so nothing has to be encoded there.
        shown = np.where(alpha[..., None] > 0, colour, 0)
        pixels = np.ascontiguousarray(np.dstack((shown, alpha)), np.uint8)
        return self._colours.converted(VideoFrame.from_ndarray(pixels, format="bgra"), self._format)


def _there(codec: str) -> bool:
    try:
        Codec(codec, "w")
    except UnknownCodecError:
        return False
    return True
