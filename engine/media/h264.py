"""The H.264 stream of a video that is made."""

from fractions import Fraction

from av.container import OutputContainer
from av.video.stream import VideoStream


def add_h264(
    output: OutputContainer, rate: Fraction, crf: int, preset: str, resumable: bool = False
) -> VideoStream:
    """Add a stream to a file; size, format and colours are left to be set.

    Args:
        output: The file.
        rate: Pictures per second, on average.
        crf: Quality, less is better.
        preset: x264's speed.
        resumable: Make one packet of each picture, in their order, so that packets of a run that
            was stopped can be continued. Otherwise the same pictures make the same bytes, and
            fewer of them.
    """
    # x264's mbtree reads memory that nobody wrote, so what comes out differs from time to time.
    special = {"bf": "0"} if resumable else {"x264-params": "mbtree=0"}
    options = {"preset": preset, "crf": str(crf), **special}
    return output.add_stream("libx264", rate=rate, options=options)
