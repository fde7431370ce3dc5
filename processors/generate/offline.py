"""Processors over a job's picture or video: every frame, in order, with sound and times.

The frames run through the code of ``python server.py render`` (``engine.media.rendering``). Where a
live stream would go on without a processor that fails, a job ends, with the reason.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import AvatarServerError
from engine.media.containers import choose_container, create, tags_of
from engine.media.pictures import encoded
from engine.media.rendering import Encoding, Progress, Rendering
from engine.media.source_video import opened_video
from engine.media.xmp import TOOL, append_to_mp4, xmp_packet
from engine.pipeline.frame import MICROSECONDS, Frame, Image
from engine.pipeline.protocols import Processor, Transform
from processors.chain import Chain
from processors.faces.picture import load_face_picture
from processors.generate.declaration import Context
from processors.generate.recipe import tags
from processors.generate.video_output import VideoOutput
from processors.generate.whole_file import whole_file
from processors.models.memory import is_out_of_memory
from processors.registry import Factory, build_chain

MOST_FAILURES: Final = 10
"""Batches in a row after which a processor that fails ends the job."""

_MISSING: Final = 0.02
"""Part of a video's frames that may be missing without a word: edit lists hide some."""

_SOURCE_TYPE_TAG: Final = "DIGITAL_SOURCE_TYPE"
"""Matroska has no place for XMP."""


class ProcessorFailed(AvatarServerError):
    """A processor could not do its work."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a video.

    Attributes:
        path: The new file.
        frames: Frames in it.
        withheld: Frames of them that are black, because their processors fail closed.
        warnings: What the user should know.
    """

    path: Path
    frames: int
    withheld: int
    warnings: tuple[str, ...]


class Failures:
    """What processors have raised.

    Attributes:
        counts: Failed batches, by processor.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._in_a_row: dict[str, int] = {}
        self._last: tuple[str, Exception] | None = None

    def watch(self, factory: Factory) -> Factory:
        """Return a factory whose processors are watched."""
        return lambda: _Watched(factory(), self)

    def failed(self, name: str, error: Exception) -> None:
        """Note a failure."""
        self.counts[name] = self.counts.get(name, 0) + 1
        self._in_a_row[name] = self._in_a_row.get(name, 0) + 1
        self._last = (name, error)

    def worked(self, name: str) -> None:
        """Note that a processor works."""
        self._in_a_row[name] = 0

    def check(self) -> None:
        """Raise where going on makes no sense.

        Raises:
            ProcessorFailed: A processor fails again and again.
            Exception: Memory has run out.
        """
        if self._last is None:
            return
        name, error = self._last
        if is_out_of_memory(error):
            self._last = None
            raise error
        if self._in_a_row[name] >= MOST_FAILURES:
            raise self.failure()

    def failure(self) -> ProcessorFailed:
        """Return what to raise for the last failure."""
        name, error = self._last or ("", Exception("nothing was returned"))
        text = error.description if isinstance(error, AvatarServerError) else str(error)
        hint = error.hint if isinstance(error, AvatarServerError) else ""
        failure = ProcessorFailed(f"The processor {name} failed: {text or type(error)}", hint)
        failure.__cause__ = error
        return failure


class _Watched:
    """A processor that tells what it raises."""

    def __init__(self, processor: Processor, failures: Failures) -> None:
        self.name = processor.name
        self.traits = processor.traits
        self._processor = processor
        self._failures = failures

    def process(self, frames: Any) -> Any:
        try:
            images = self._processor.process(frames)
        except Exception as error:
            self._failures.failed(self.name, error)
            raise
        self._failures.worked(self.name)
        return images

    def close(self) -> None:
        self._processor.close()


def watched_chain(
    names: Iterable[str], factories: Mapping[str, Factory], failures: Failures
) -> Chain:
    """Return a chain, whose failures are noted; the caller closes it.

    Raises:
        AvatarServerError: See ``build_chain``.
    """
    watched = {name: failures.watch(factory) for name, factory in factories.items()}
    return build_chain(names, watched, MOST_FAILURES + 1)


def process_video(
    source: Path,
    transform: Transform,
    failures: Failures,
    context: Context,
    output: VideoOutput,
    name: str,
    source_type: str | None,
) -> Made:
    """Write a video whose frames have gone through processors.

    Args:
        source: Any video.
        transform: The processors; the caller closes it.
        failures: What they raise.
        context: For the folder, threads, progress, previews, and when to end.
        output: How.
        name: Of the new file, without its ending.
        source_type: The digital source type that it declares.

    Raises:
        ClipError: The input cannot be read.
        ContainerUnfit: See ``choose_container``.
        ProcessorFailed: See ``Failures.check``; or no frame at all could be done.
    """
    encoding = Encoding(output.crf, output.preset, output.batch_size, context.place.threads)
    with opened_video(source, from_zero=False) as video:
        kind = choose_container(output.container, "h264", video.sounds)
        target = context.folder / f"{name}.{kind}"
        metadata = {**tags_of(video.container), **tags(context.recipe)}
        if source_type is not None and kind == "mkv":
            metadata[_SOURCE_TYPE_TAG] = source_type
        with whole_file(target) as part:
            with create(part, kind, metadata) as file:
                work = Rendering(video, file, kind, transform, encoding)
                work.run(_asking(context), _telling(context, failures), _showing(context))
            if source_type is not None and kind == "mp4":
                append_to_mp4(part, xmp_packet(source_type, TOOL))
            if work.withheld == work.written:
                raise failures.failure()
        missing = video.stream.frames - work.written
    return Made(target, work.written, work.withheld, _warnings(work, missing, failures))


def process_picture(source: Path, transform: Transform, failures: Failures) -> Image:
    """Return a picture that has gone through processors.

    Args:
        source: A PNG, JPEG, WebP or BMP; what of it is transparent becomes opaque.
        transform: The processors; the caller closes it.
        failures: What they raise.

    Returns:
        ``uint8[h, w, 3]``, BGR.

    Raises:
        PictureError: It cannot be read.
        ProcessorFailed: A processor failed.
    """
    image = load_face_picture(source)
    done = transform.apply([Frame(image, 0, 0, MICROSECONDS, 0.0)])
    failures.check()
    if failures.counts or not done:
        raise failures.failure()
    return done[0].image


def write_picture(image: Image, context: Context, name: str, source_type: str | None) -> Path:
    """Write a result as PNG, and show it.

    Args:
        image: ``uint8[h, w, 3]``, BGR.
        context: For the folder.
        name: Of the file, without its ending.
        source_type: The digital source type that it declares.
    """
    target = context.folder / f"{name}.png"
    with whole_file(target) as part:
        part.write_bytes(encoded(image, "png", source_type))
    if context.wants_preview():
        context.preview(image)
    return target


def _asking(context: Context) -> Callable[[], bool]:
    def stop() -> bool:
        context.check()
        return False

    return stop


def _telling(context: Context, failures: Failures) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        failures.check()
        of = f" of {progress.total}" if progress.total else ""
        share = min(1.0, progress.done / progress.total) if progress.total else 0.0
        context.progress(share, f"{progress.done}{of} frames")

    return report


def _showing(context: Context) -> Callable[[Image], None]:
    def show(image: Image) -> None:
        if context.wants_preview():
            context.preview(image)

    return show


def _warnings(work: Rendering, missing: int, failures: Failures) -> tuple[str, ...]:
    found = []
    if missing > max(2, _MISSING * (work.written + missing)):
        found.append(
            f"{missing} frames could not be read: the file is damaged or cut off, and the video"
            " is shorter by them."
        )
    if work.withheld:
        found.append(f"{work.withheld} frames are black: a processor could not do them.")
    found += [f"{name} failed {count} times." for name, count in failures.counts.items()]
    return tuple(found)
