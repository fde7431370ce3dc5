"""Words, their times by length, cues and WebVTT."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.speech.captions import (
    LINE_COLUMNS,
    MAX_CUE_S,
    Cue,
    CueMaker,
    is_speakable,
    spread,
    tokens,
    web_vtt,
)
from engine.speech.sound import Word

TALK = (
    "Good morning, everybody. I am here to tell you about a remarkable thing that happened"
    " yesterday, when nobody was looking at it. Dr. Smith left. It was fine, as always!"
)


def cues(words: list[Word] | tuple[Word, ...]) -> list[Cue]:
    maker = CueMaker()
    return maker.add(words) + maker.flush()


def even(text: str, each: float = 0.3, gap: float = 0.0) -> list[Word]:
    """Words of equal length."""
    step = each + gap
    return [Word(word, i * step, i * step + each) for i, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello — world, it's $3.50!  ...", ["Hello —", "world,", "it's", "$3.50! ..."]),
        ("— ¿Cómo está?", ["— ¿Cómo", "está?"]),
        (
            "今天Python很好，「你好。」他说！",
            ["今", "天", "Python", "很", "好，", "「你", "好。」", "他", "说！"],
        ),
        ("ちょっと、データ", ["ちょっ", "と、", "デー", "タ"]),
        ("مرحبا، كيف حالك؟", ["مرحبا،", "كيف", "حالك؟"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분"]),
        ("5 % off 😀", ["5", "%", "off", "😀"]),
        ("...", ["..."]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokens(text)] == expected


@given(st.text(st.sampled_from("ab .,!-漢字「」。あっー😀ا\u0301\n"), max_size=60))
def test_every_visible_character_belongs_to_one_word(text: str) -> None:
    found = tokens(text)

    assert "".join("".join(t.text.split()) for t in found) == "".join(text.split())
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert all(" ".join(text[t.start : t.end].split()) == t.text for t in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", True), ("7", True), ("€", True), ("😀", True), ("...—«»", False), (" \n", False)],
)
def test_what_can_be_spoken(text: str, expected: bool) -> None:
    assert is_speakable(text) is expected


def test_long_words_get_more_time_than_short_ones() -> None:
    short, long, figure = spread("a remarkable 1990", 2.0, 5.0)

    assert short.start == 2.0
    assert figure.end == pytest.approx(5.0)
    assert long.end - long.start > 3 * (short.end - short.start)
    assert figure.end - figure.start > long.end - long.start


def test_there_is_a_pause_behind_a_comma_and_a_longer_one_behind_a_stop() -> None:
    one, two, three, four = spread("one, two. three four.", 0.0, 4.0)

    assert 0 < two.start - one.end < three.start - two.end
    assert four.start == pytest.approx(three.end)


def test_nothing_to_spread() -> None:
    assert spread(" ", 0, 1) == ()
    assert spread("word", 3, 2) == (Word("word", 3, 3),)


@given(st.text(max_size=80), st.floats(0, 100), st.floats(0, 100))
def test_spread_words_are_in_order(text: str, start: float, length: float) -> None:
    at = start
    for word in spread(text, start, start + length):
        assert at - 1e-6 <= word.start <= word.end <= start + length + 1e-6
        at = word.end


def test_cues_end_with_sentences() -> None:
    assert [cue.text for cue in cues(spread(TALK, 0, 14))] == [
        "Good morning, everybody.",
        "I am here to tell you about a remarkable\nthing that happened yesterday,",
        "when nobody was looking at it.",
        "Dr. Smith left.",
        "It was fine, as always!",
    ]


def test_cues_have_the_times_of_their_words() -> None:
    words = spread(TALK, 1.5, 14)

    found = cues(words)

    assert [word for cue in found for word in cue.words] == list(words)
    assert all(cue.start == cue.words[0].start for cue in found)
    assert all(cue.end == cue.words[-1].end for cue in found)


def test_a_pause_ends_a_cue() -> None:
    words = [Word("well", 0, 0.5), Word("then", 1.0, 1.5), Word("so", 2.11, 2.5)]

    assert [cue.text for cue in cues(words)] == ["well then", "so"]


def test_short_sentences_share_a_cue() -> None:
    assert [cue.text for cue in cues(even("No. Yes. Maybe. Never. So."))] == [
        "No. Yes. Maybe. Never.",
        "So.",
    ]


def test_abbreviations_do_not_end_a_cue() -> None:
    words = even("I met Dr. Jones and J. Smith, the Sra. Gil too", 0.5)

    assert [cue.text for cue in cues(words)] == ["I met Dr. Jones and J. Smith,\nthe Sra. Gil too"]


def test_a_cue_comes_as_soon_as_its_sentence_ends() -> None:
    maker = CueMaker()
    words = even("This is it. And")

    assert maker.add(words[:2]) == []
    assert maker.add(words[2:3]) == []
    assert [cue.text for cue in maker.add([Word("now.", 0.9, 1.2)])] == ["This is it. now."]
    assert maker.flush() == []


def test_slow_speech_makes_cues_of_limited_length() -> None:
    found = cues(even("one two three four five six seven eight", 1.0, 0.5))

    assert len(found) == 2
    assert all(cue.end - cue.start <= MAX_CUE_S for cue in found)


def test_lines_of_a_cue_are_of_like_length() -> None:
    (cue,) = cues(even("aaaaaaaa bbbbbbbb cccccccc dddddddd eeeeeeee", 0.1))

    assert cue.text == "aaaaaaaa bbbbbbbb\ncccccccc dddddddd eeeeeeee"


def test_wide_characters_count_twice_and_are_joined_without_spaces() -> None:
    found = cues(
        spread("今天天气很好，我们去公园散步吧，然后一起吃饭，看电影，最后回家睡觉。", 0, 8)
    )

    assert [cue.text for cue in found] == [
        "今天天气很好，\n我们去公园散步吧，然后一起吃饭，",
        "看电影，最后回家睡觉。",
    ]


def test_text_from_right_to_left_stays_in_logical_order() -> None:
    text = "مرحبا، كيف حالك اليوم؟"

    assert [cue.text for cue in cues(spread(text, 0, 2))] == [text]


def test_a_word_wider_than_a_line_is_cut() -> None:
    found = cues([Word("x" * 100, 0, 1), Word("end", 1, 2)])

    assert [cue.text for cue in found] == [f"{'x' * 42}\n{'x' * 42}", f"{'x' * 16} end"]
    assert found[1].start == pytest.approx(0.84)


@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from("abc.,漢。！é😀ا"), min_size=1, max_size=60),
            st.floats(0, 3),
            st.floats(0, 2),
        ),
        max_size=40,
    )
)
def test_any_words_make_cues_of_two_short_lines(items: list[tuple[str, float, float]]) -> None:
    at = 0.0
    words = []
    for text, length, gap in items:
        words.append(Word(text, at, at + length))
        at += length + gap

    found = cues(words)

    assert "".join("".join(c.text.split()) for c in found) == "".join(w.text for w in words)
    for cue in found:
        lines = cue.text.split("\n")
        assert len(lines) <= 2
        assert all(len(line) <= LINE_COLUMNS for line in lines)
        assert cue.end - cue.start <= MAX_CUE_S or len(cue.words) == 1


def test_web_vtt() -> None:
    cue = Cue(0.25, 2.0, (Word("Hello", 0.25, 1), Word("there.", 1, 2)))

    assert web_vtt([(3599.5, cue), (0.0, cue)]) == (
        "WEBVTT\n\n"
        "00:00:00.250 --> 00:00:02.000\nHello there.\n\n"
        "00:59:59.750 --> 01:00:01.500\nHello there.\n"
    )


def test_web_vtt_without_cues_is_still_a_file() -> None:
    assert web_vtt([]) == "WEBVTT\n"


def test_web_vtt_escapes_what_has_a_meaning() -> None:
    cue = Cue(0, 1, (Word("<b>R&D</b>", 0, 0.5), Word("-->", 0.5, 1)))

    assert web_vtt([(0, cue)]).endswith("\n&lt;b&gt;R&amp;D&lt;/b&gt; --&gt;\n")


def test_web_vtt_never_has_an_empty_cue_or_a_blank_line_in_one() -> None:
    cue = Cue(1, 1, (Word("a\n\nb\r\rc", 1, 1),))

    assert web_vtt([(-5, cue)]) == "WEBVTT\n\n00:00:00.000 --> 00:00:00.001\na\nb c\n"


def test_web_vtt_of_a_day() -> None:
    cue = Cue(0, 1, (Word("late", 0, 1),))

    assert re.search(r"^100:00:00\.000 --> 100:00:01\.000$", web_vtt([(360_000, cue)]), re.M)
