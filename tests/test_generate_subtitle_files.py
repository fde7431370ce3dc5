"""Subtitle files: their exact form, read back by FFmpeg, whatever the words are."""

import json
from pathlib import Path

import av
import pytest

from engine.speech.captions import Cue
from processors.generate.subtitle_files import (
    Transcript,
    ass,
    ass_text,
    readable,
    shifted,
    srt,
    vtt,
    words_json,
)
from processors.generate.subtitles import SubtitleStyle
from tests.generate_parts import cue

CUES = (cue(0.5, 2.0, "Hello there, <you> & me."), cue(3661.25, 3662.5, "Größe 你好 --> {\\i1}x"))


def events(path: Path) -> list[tuple[float, float, str]]:
    """Start, duration and text of each cue as FFmpeg reads them."""
    with av.open(str(path)) as container:
        return [
            (
                float(packet.pts * packet.time_base),
                float(packet.duration * packet.time_base),
                subtitle.dialogue.decode(),
            )
            for packet in container.demux(subtitles=0)
            if packet.size
            for subtitle in packet.decode()
        ]


def test_subrip_has_its_exact_form() -> None:
    assert srt(CUES) == (
        "1\n00:00:00,500 --> 00:00:02,000\nHello there, <you> & me.\n\n"
        "2\n01:01:01,250 --> 01:01:02,500\nGröße 你好 → {\\i1}x\n"
    )


@pytest.mark.parametrize("kind", ["srt", "vtt", "ass"])
def test_ffmpeg_reads_times_and_words(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    made = {"srt": srt, "vtt": vtt, "ass": lambda cues: ass(cues, SubtitleStyle(), (1280, 720))}
    path.write_text(made[kind](CUES), encoding="utf-8")
    found = events(path)

    assert [(start, duration) for start, duration, _ in found] == [
        (pytest.approx(0.5), pytest.approx(1.5)),
        (pytest.approx(3661.25), pytest.approx(1.25)),
    ]
    assert found[0][2].startswith("Hello there")
    assert "Größe 你好" in found[1][2]


def test_nothing_in_the_words_is_a_command() -> None:
    text = ass_text(cue(0, 1, r"{\b1}bold \N new"))

    assert text == "\\{\\\u2060b1\\}bold \\\u2060N new"
    assert ass_text(cue(0, 1, "a " * 40)).count(r"\N") == 1


def test_the_style_is_in_the_ass_file() -> None:
    style = SubtitleStyle(
        font="Noto Sans", size=10, colour="#123456", outline=10, position="top", margin=10
    )
    line = next(
        line for line in ass(CUES, style, (720, 1280)).splitlines() if line.startswith("Style:")
    )

    assert line == (
        "Style: Default,Noto Sans,72.0,&H00563412,&H00563412,&H00000000,&HFF000000,"
        "0,0,0,0,100,100,0,0,1,7.2,0,8,36,36,128,1"
    )
    boxed = SubtitleStyle(box=0.5, box_colour="#ff0000", bold=True)
    assert ",&H800000FF,&H800000FF,-1,0,0,0,100,100,0,0,3," in ass(CUES, boxed, (1280, 720))


def test_cues_stay_long_enough_and_never_overlap() -> None:
    cues = readable([cue(5, 5.1, "c"), cue(0, 0.2, "a"), cue(0.5, 3, "b"), cue(3, 3, "x")])

    assert [(item.start, item.end) for item in cues] == [(0, 0.5), (0.5, 3), (3, 4), (5, 6)]
    together = readable([cue(1, 2, "a"), cue(1, 2, "b")])
    assert [(item.start, item.end) for item in together] == [(1, 1.001), (1, 2)]


def test_a_shift_moves_words_too() -> None:
    (moved,) = shifted([cue(1, 2, "a b")], 0.5)

    assert (moved.start, moved.end) == (1.5, 2.5)
    assert [(word.start, word.end) for word in moved.words] == [(1.5, 2.0), (2.0, 2.5)]


def test_the_words_are_in_the_json_file() -> None:
    made = json.loads(words_json(Transcript(CUES[:1], "de", 7.0, translated=True)))

    assert made["language"] == "de"
    assert made["written_language"] == "en"
    assert made["seconds"] == 7.0
    assert made["cues"][0]["words"][:2] == [
        {"text": "Hello", "start": 0.5, "end": 0.8},
        {"text": "there,", "start": 0.8, "end": 1.1},
    ]


def test_a_cue_of_no_length_is_still_shown() -> None:
    (only,) = CUES[:1]

    assert "00:00:00,500 --> 00:00:00,501" in srt([Cue(0.5, 0.5, only.words)])
