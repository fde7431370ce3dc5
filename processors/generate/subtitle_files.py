"""Subtitle files: SubRip, WebVTT, Advanced SubStation Alpha, and JSON with the words."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.speech.captions import Cue, web_vtt
from engine.speech.sound import Word
from processors.generate.subtitles import SubtitleStyle

SHORTEST_S = 1.0
"""Cues are shown at least so long, where the next one does not come earlier."""

_ALIGNMENT = {"bottom": 2, "middle": 5, "top": 8}
_WORD_JOINER = "\u2060"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said.

    Attributes:
        cues: In order; none overlaps the next.
        language: Of the speech, e.g. ``en``.
        seconds: Length of the sound.
        translated: The words are English, whatever was spoken.
    """

    cues: tuple[Cue, ...]
    language: str
    seconds: float
    translated: bool = False

    @property
    def written_language(self) -> str:
        """Of the text."""
        return "en" if self.translated else self.language


def readable(cues: Iterable[Cue]) -> tuple[Cue, ...]:
    """Return cues in order that stay long enough to be read and never overlap."""
    ordered = sorted(cues, key=lambda cue: cue.start)
    found = []
    for index, cue in enumerate(ordered):
        end = max(cue.end, cue.start + SHORTEST_S)
        if index + 1 < len(ordered):
            end = min(end, max(ordered[index + 1].start, cue.start + 0.001))
        found.append(Cue(cue.start, end, cue.words))
    return tuple(found)


def shifted(cues: Iterable[Cue], seconds: float) -> tuple[Cue, ...]:
    """Return the cues and their words so much later."""
    return tuple(
        Cue(
            cue.start + seconds,
            cue.end + seconds,
            tuple(Word(word.text, word.start + seconds, word.end + seconds) for word in cue.words),
        )
        for cue in cues
    )


def lines_of(cue: Cue) -> list[str]:
    """Return a cue's lines, without empty ones: in most formats one would end the cue."""
    lines = (" ".join(line.split()) for line in cue.text.split("\n"))
    return [line for line in lines if line]


def milliseconds(cue: Cue) -> tuple[int, int]:
    """Return when a cue starts and ends; it ends after it starts."""
    start = max(0, round(cue.start * 1000))
    return start, max(start + 1, round(cue.end * 1000))


def srt(cues: Sequence[Cue]) -> str:
    """Write a SubRip file. The format has no escapes, so an arrow in the text becomes ``→``."""
    blocks = []
    for number, cue in enumerate(cues, 1):
        start, end = milliseconds(cue)
        text = "\n".join(lines_of(cue)).replace("-->", "→")
        blocks.append(f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n")
    return "\n".join(blocks)


def vtt(cues: Sequence[Cue]) -> str:
    """Write a WebVTT file."""
    return web_vtt((0.0, cue) for cue in cues)


def ass_header(style: SubtitleStyle, size: tuple[int, int], font: str = "") -> str:
    """Write the head of an ASS file, up to the line that names the fields of events.

    Args:
        style: How they look.
        size: Width and height of the picture in square pixels.
        font: Family; the style's goes before it.
    """
    width, height = size
    letters = style.size / 100 * min(size)
    boxed = style.box > 0
    fields = (
        "Default",
        style.font or font or "sans-serif",
        f"{letters:.1f}",
        _ass_colour(style.colour),
        _ass_colour(style.colour),
        # A box takes the place of the outline and has its colour.
        _ass_colour(style.box_colour if boxed else style.outline_colour, style.box or 1.0),
        _ass_colour(style.box_colour, style.box),
        *(-1 if style.bold else 0, 0, 0, 0, 100, 100, 0, 0),
        3 if boxed else 1,
        f"{letters * (0.25 if boxed else style.outline / 100):.1f}",
        0,
        _ALIGNMENT[style.position],
        *(round(width * 0.05), round(width * 0.05), round(height * style.margin / 100)),
        1,
    )
    return (
        "[Script Info]\nScriptType: v4.00+\nWrapStyle: 0\nScaledBorderAndShadow: yes\n"
        f"PlayResX: {width}\nPlayResY: {height}\n\n"
        "[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, "
        "OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, "
        "Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
        f"Style: {','.join(str(field) for field in fields)}\n\n"
        "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, "
        "Text\n"
    )


def ass(cues: Sequence[Cue], style: SubtitleStyle, size: tuple[int, int]) -> str:
    """Write an ASS file; see ``ass_header``."""
    lines = []
    for cue in cues:
        start, end = (_ass_clock(time) for time in milliseconds(cue))
        lines.append(f"Dialogue: 0,{start},{end},Default,,0,0,0,,{ass_text(cue)}\n")
    return ass_header(style, size) + "".join(lines)


def ass_text(cue: Cue) -> str:
    """Return a cue's text in which nothing is a command."""
    text = "\n".join(lines_of(cue)).replace("\\", "\\" + _WORD_JOINER)
    return text.replace("{", r"\{").replace("}", r"\}").replace("\n", r"\N")


def words_json(transcript: Transcript) -> str:
    """Write cues and words with their seconds."""
    whole = {
        "language": transcript.language,
        "written_language": transcript.written_language,
        "seconds": round(transcript.seconds, 3),
        "cues": [
            {
                "start": round(cue.start, 3),
                "end": round(cue.end, 3),
                "text": "\n".join(lines_of(cue)),
                "words": [
                    {"text": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
                    for word in cue.words
                ],
            }
            for cue in transcript.cues
        ],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _clock(time: int, separator: str) -> str:
    seconds, rest = divmod(time, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{rest:03}"


def _ass_clock(time: int) -> str:
    # Hundredths; rounded down at both ends, so that cues still do not overlap.
    return _clock(time, ".")[1 if time < 36_000_000 else 0 : -1]


def _ass_colour(colour: str, opacity: float = 1.0) -> str:
    red, green, blue = colour[1:3], colour[3:5], colour[5:7]
    return f"&H{round(255 * (1 - opacity)):02X}{blue}{green}{red}".upper()
