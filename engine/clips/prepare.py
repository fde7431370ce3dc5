"""Writes a prepared copy of a clip."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
from av.video.stream import VideoStream

from engine.clips.info import ClipInfo, read_info
from engine.clips.normalise import Preparation, Progress, pictures
from engine.errors import ClipError

DEFAULT_CRF = 18
"""x264's constant rate factor at which no loss is seen; lower is better and larger."""


class ClipNotWritten(ClipError):
    """The prepared clip cannot be written where it should go."""


def prepare(
    source: Path,
    target: Path,
    preparation: Preparation,
    crf: int = DEFAULT_CRF,
    on_progress: Progress | None = None,
    *,
    threads: int = 1,
    face_model: Path | None = None,
) -> ClipInfo:
    """Write a clip, prepared, as H.264 in an MP4 file without sound.

    The file appears under its name when it is whole; a failure, or Ctrl-C, leaves what was there
    before.

    Args:
        source: Any clip; of one that is cut off what is there is taken.
        target: The MP4 file to write; its folder must exist.
        preparation: What to make of the clip.
        crf: x264's constant rate factor, 0 to 51.
        on_progress: Is told the part done.
        threads: Threads for decoding, filtering and encoding.
        face_model: YuNet in ONNX form, which ``crop="face"`` needs.

    Returns:
        The facts of the new clip.

    Raises:
        ClipError: The source cannot be used, or the target not be written.
        MissingDependency: As of :func:`engine.clips.normalise.pictures`.
    """
    _check_target(source, target, crf)
    frames = pictures(
        source,
        preparation,
        on_progress,
        threads=threads,
        face_model=face_model,
        allow_truncated=True,
    )
    with _written_whole(target) as temporary:
        _encode(frames, temporary, preparation, crf, threads)
    return read_info(target)


def _check_target(source: Path, target: Path, crf: int) -> None:
    if not 0 <= crf <= 51:
        raise ClipNotWritten(
            f"A crf of {crf} does not exist.", "Choose 0 to 51; 18 looks lossless."
        )
    if target.suffix.lower() not in {".mp4", ".m4v"}:
        raise ClipNotWritten(
            f"'{target}' cannot be written: prepared clips are MP4 files.",
            f"Name it '{target.with_suffix('.mp4').name}'.",
        )
    if target.exists() and source.exists() and target.samefile(source):
        raise ClipNotWritten(
            f"'{target}' is the clip that is to be prepared, and is not overwritten.",
            "Choose another name for the result.",
        )
    if target.is_dir():
        raise ClipNotWritten(f"'{target}' is a folder.", "Name a file in it.")
    if not target.parent.is_dir():
        raise ClipNotWritten(
            f"There is no folder '{target.parent}'.", f"Make it: mkdir -p '{target.parent}'"
        )


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A file to write to, beside the target, that becomes the target if nothing goes wrong."""
    try:
        handle, name = tempfile.mkstemp(suffix=".mp4", prefix=".preparing-", dir=target.parent)
    except OSError as error:
        raise _not_written(target, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except (OSError, av.error.FFmpegError) as error:
        raise _not_written(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _encode(
    frames: Iterator[av.VideoFrame],
    target: Path,
    preparation: Preparation,
    crf: int,
    threads: int,
) -> None:
    with av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(
            "libx264",
            rate=preparation.fps,
            options={"crf": str(crf), "preset": "medium", "bf": "0"},
        )
        _describe(stream, preparation, threads)
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _describe(stream: VideoStream, preparation: Preparation, threads: int) -> None:
    stream.width, stream.height = preparation.size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = 1 / preparation.fps
    context.thread_count = threads
    context.colorspace = context.color_primaries = context.color_trc = 1
    context.color_range = 1


def _not_written(target: Path, error: OSError | av.error.FFmpegError) -> ClipNotWritten:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ClipNotWritten(
            f"The disk is full: '{target}' could not be written.",
            "Free some space, or choose a folder on another disk.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ClipNotWritten(
            f"'{target}' may not be written.", "Choose a folder that you may write to."
        )
    return ClipNotWritten(f"'{target}' could not be written: {error}.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
