"""The ``render`` command: a video file into an MP4 file; a stopped run goes on where it was.

What is on disk plays at any time, also after the program was killed.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.clock import Clock, monotonic
from engine.media.mp4 import create_mp4
from engine.media.render_notes import Notes, RenderOptions
from engine.media.rendering import Encoding, Progress, Rendering
from engine.media.source_video import opened_video
from engine.media.xmp import TOOL, append_to_mp4, xmp_packet
from engine.pipeline.protocols import Transform


@dataclass(frozen=True, slots=True)
class RenderResult:
    """What became of a run.

    Attributes:
        frames: Frames in the output.
        resumed_from: Frames of them that an earlier run had made.
        withheld: Frames shown black, because a processor that fails closed could not do them.
        stopped: It was stopped before the end; the same call goes on from there.
    """

    frames: int
    resumed_from: int
    withheld: int
    stopped: bool

    @property
    def exit_code(self) -> int:
        """0 all done, 3 done but some frames withheld, 130 stopped."""
        if self.stopped:
            return 130
        return 3 if self.withheld else 0


def progress_line(progress: Progress, width: int = 30) -> str:
    """A bar with the frames, the rate and the time left, for a terminal."""
    count = f"{progress.done}" if progress.total is None else f"{progress.done}/{progress.total}"
    share = min(1.0, progress.done / progress.total) if progress.total else 0.0
    bar = "#" * round(width * share)
    left = "" if progress.left_s is None else f", {_duration(progress.left_s)} left"
    return f"[{bar:<{width}}] {count} frames, {progress.fps:.1f} per second{left}"


def render(
    source: Path,
    target: Path,
    transform: Transform,
    options: RenderOptions,
    stop: threading.Event,
    report: Callable[[Progress], None],
    clock: Clock = monotonic,
) -> RenderResult:
    """Render ``source`` into ``target``.

    Args:
        source: Any video file.
        target: An MP4 file. Where a run with the same input and options was stopped, it goes on.
        transform: The processors; the caller closes it.
        options: Quality, batches.
        stop: Set to stop at the next frame; what is done is kept and plays.
        report: Told after every batch.
        clock: Seconds.

    Raises:
        ClipError: The input cannot be read.
        OutputExists: ``target`` is there and is no stopped run of this one.
    """
    notes = Notes(source, target, options)
    encoding = Encoding(options.crf, options.preset, options.batch_size, resumable=True)
    with opened_video(source, from_zero=False) as video:
        earlier = notes.begin(options.overwrite)
        with create_mp4(notes.part) as output:
            work = Rendering(video, output, "mp4", transform, encoding, clock)
            stopped = work.run(stop.is_set, report, earlier=earlier)
    if options.source_type is not None:
        append_to_mp4(notes.part, xmp_packet(options.source_type, TOOL))
    notes.end(stopped)
    return RenderResult(work.written, work.copied, work.withheld, stopped)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
