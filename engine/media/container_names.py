"""Names of the kinds of video files that are made. Importing them brings no library of codecs."""

from typing import Literal

FileKind = Literal["mp4", "mkv", "webm", "mov"]

ContainerName = Literal["auto", "mp4", "mkv"]
"""Of a video that is made; auto: MP4 if that can hold its tracks, else MKV."""
