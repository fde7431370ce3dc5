"""Subtitles as a track of a video; pictures and sound are copied as they are."""

from collections import deque
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet

from engine.clips.opening import opened
from engine.media.container_names import ContainerName
from engine.media.containers import choose_container, create, tags_of
from engine.media.tracks import TrackCopy, packets_of, seconds_of, sound_tracks, start_of
from engine.speech.captions import Cue
from processors.generate.subtitle_files import Transcript, ass_text, milliseconds
from processors.generate.whole_file import whole_file

MILLISECOND = Fraction(1, 1000)
_CODECS = {"mp4": "mov_text", "mkv": "subrip"}

# The encoders take events of ASS, and only after a header. What differs from these values, which
# are FFmpeg's own, would be written into each cue as a command that overrules the player's style.
_HEADER = (
    "[Script Info]\nScriptType: v4.00+\nPlayResX: 384\nPlayResY: 288\n\n"
    "[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, "
    "OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, "
    "Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
    "Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0\n\n"
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)

# ISO 639-1, which Whisper speaks, to 639-2 (T), which MP4 and Matroska want.
_LANGUAGES = {
    "ar": "ara",
    "bg": "bul",
    "ca": "cat",
    "cs": "ces",
    "da": "dan",
    "de": "deu",
    "el": "ell",
    "en": "eng",
    "es": "spa",
    "et": "est",
    "eu": "eus",
    "fa": "fas",
    "fi": "fin",
    "fr": "fra",
    "gl": "glg",
    "he": "heb",
    "hi": "hin",
    "hr": "hrv",
    "hu": "hun",
    "id": "ind",
    "is": "isl",
    "it": "ita",
    "ja": "jpn",
    "ko": "kor",
    "lt": "lit",
    "lv": "lav",
    "ms": "msa",
    "nl": "nld",
    "no": "nor",
    "pl": "pol",
    "pt": "por",
    "ro": "ron",
    "ru": "rus",
    "sk": "slk",
    "sl": "slv",
    "sr": "srp",
    "sv": "swe",
    "ta": "tam",
    "th": "tha",
    "tr": "tur",
    "uk": "ukr",
    "ur": "urd",
    "vi": "vie",
    "zh": "zho",
    "cy": "cym",
    "bn": "ben",
    "la": "lat",
    "te": "tel",
    "sw": "swa",
}


def add_track(
    source: Path,
    folder: Path,
    transcript: Transcript,
    container_name: ContainerName,
    metadata: Mapping[str, str],
    progress: Callable[[float], None],
) -> Path:
    """Write a copy of a video with the cues as a track that is shown by default.

    Args:
        source: A video.
        folder: Where ``video.mp4`` or ``video.mkv`` goes.
        transcript: The cues, from the start of the file.
        container_name: What is wanted.
        metadata: Tags of the new file, besides those of the old one.
        progress: Told the share that is done; may raise.

    Raises:
        ClipError: The video cannot be read.
        ContainerUnfit: See ``choose_container``.
    """
    with opened(source) as (container, picture):
        sounds = sound_tracks(container)
        kind = choose_container(container_name, picture.codec_context.name, sounds)
        target = folder / f"video.{kind}"
        total = seconds_of(container, picture)
        tags = {**tags_of(container), **metadata}
        with whole_file(target) as part, create(part, kind, tags) as output:
            copy = TrackCopy(output, [picture, *sounds], start_of(container))
            track = _Track(output, _CODECS[kind], transcript)
            for packet in packets_of(container, [picture, *sounds]):
                if packet.dts is None or not packet.size:
                    continue
                at = float(packet.dts * (packet.time_base or 0))
                track.mux_until(at)
                copy.mux(packet)
                if total and packet.is_keyframe:
                    progress(min(1.0, at / total))
            track.mux_until(None)
    return target


class _Track:
    def __init__(self, output: OutputContainer, codec: str, transcript: Transcript) -> None:
        self._output = output
        self._cues = deque(transcript.cues)
        stream = output.add_stream(codec)
        assert isinstance(stream, SubtitleStream)
        self._stream = stream
        self._stream.codec_context.subtitle_header = _HEADER.encode()
        language = transcript.written_language
        self._stream.metadata["language"] = _LANGUAGES.get(language, "und")
        self._stream.disposition = av.stream.Disposition.default

    def mux_until(self, seconds: float | None) -> None:
        """Write the cues that start by then; None: all."""
        while self._cues and (seconds is None or self._cues[0].start <= seconds):
            self._output.mux(self._packet(self._cues.popleft()))

    def _packet(self, cue: Cue) -> "Packet[SubtitleStream]":
        start, end = milliseconds(cue)
        event = f"0,0,Default,,0,0,0,,{ass_text(cue)}"
        made = SubtitleSet.create(text=event.encode(), start=0, end=end - start, pts=start * 1000)
        packet = self._stream.codec_context.encode_subtitle(made)
        packet.stream = self._stream
        packet.time_base = MILLISECOND
        packet.pts = packet.dts = start
        packet.duration = end - start
        return packet
