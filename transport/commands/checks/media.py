"""Codecs, OpenCV's abilities, voices."""

from collections.abc import Callable, Iterator

from transport.commands.checks.finding import Finding, fault, ok, warning

HasCodec = Callable[[str, str], bool]
"""Whether there is a codec of a name; the second is ``r`` to decode and ``w`` to encode."""

_NEEDED = (
    ("libx264", "w", "H.264 video to browsers and recordings"),
    ("h264", "r", "H.264 clips and cameras"),
    ("libvpx", "w", "VP8 video to browsers without H.264"),
    ("vp8", "r", "VP8 video from browsers"),
)
_WANTED = (
    ("libopus", "w", "sound to browsers"),
    ("opus", "r", "sound from browsers"),
    ("aac", "w", "sound in recordings"),
    ("aac", "r", "sound of clips"),
)
_PYAV = (
    "Use PyAV's own wheel, which has them: pip install --force-reinstall --only-binary=av av. "
    "A PyAV that was built from source has what the system's FFmpeg has."
)


def has_codec(name: str, mode: str) -> bool:
    """Whether PyAV has a codec.

    Raises:
        ImportError: PyAV is not installed, or a library that it needs is not.
    """
    import av
    from av.codec.codec import UnknownCodecError

    try:
        av.codec.Codec(name, "w" if mode == "w" else "r")
    except UnknownCodecError:
        return False
    return True


def check_codecs(has: HasCodec) -> Iterator[Finding]:
    """Whether FFmpeg, within PyAV, has the codecs that streams need.

    Args:
        has: See ``has_codec``.
    """
    try:
        needed = [item for item in _NEEDED if not has(*item[:2])]
        wanted = [item for item in _WANTED if not has(*item[:2])]
    except ImportError as error:
        yield fault(
            "codecs", f"PyAV cannot be loaded: {error}.", "pip install --force-reinstall av"
        )
        return
    for (name, mode, use), say in (
        *((item, fault) for item in needed),
        *((item, warning) for item in wanted),
    ):
        work = "encoder" if mode == "w" else "decoder"
        yield say("codecs", f"FFmpeg has no {work} {name}, needed for {use}.", _PYAV)
    if not needed and not wanted:
        yield ok("codecs", "H.264, VP8, Opus and AAC")


def opencv_build() -> str:
    """What OpenCV says of itself.

    Raises:
        ImportError: OpenCV is not installed, or a library that it needs is not.
    """
    import cv2

    return str(cv2.getBuildInformation())


def check_opencv(build: Callable[[], str]) -> Iterator[Finding]:
    """Whether OpenCV can show windows and read video files and cameras.

    Args:
        build: See ``opencv_build``.
    """
    topic = "OpenCV"
    try:
        text = build()
    except ImportError as error:
        fix = (
            "sudo apt install libgl1 libglib2.0-0, then pip install --force-reinstall opencv-python"
        )
        yield fault(topic, f"cannot be loaded: {error}.", fix)
        return
    values = {
        key.strip(): value.strip()
        for key, colon, value in (line.partition(":") for line in text.splitlines())
        if colon and value.strip()
    }
    problems = False
    if values.get("GUI", "").upper() in ("", "NONE"):
        problems = True
        yield warning(
            topic,
            "has no windows (a headless build): live needs --output webrtc, or another build.",
            "pip uninstall -y opencv-python-headless, then pip install --force-reinstall "
            "opencv-python",
        )
    if values.get("FFMPEG", "").upper().startswith("NO"):
        problems = True
        yield warning(topic, "reads no H.264 (built without FFmpeg).", "pip install opencv-python")
    if values.get("v4l/v4l2", "YES").upper().startswith("NO"):
        problems = True
        yield warning(topic, "reads no cameras (built without V4L2).", "pip install opencv-python")
    if not problems:
        yield ok(topic, "windows, cameras and H.264")


def check_voice(which: Callable[[str], str | None]) -> Finding:
    """Whether there is a program that speaks.

    Args:
        which: ``shutil.which``.
    """
    for program in ("espeak-ng", "piper"):
        path = which(program)
        if path is not None:
            return ok("voice", path)
    return warning(
        "voice",
        "Neither espeak-ng nor piper is installed: avatars speak only sound that they are sent.",
        "sudo apt install espeak-ng",
    )
