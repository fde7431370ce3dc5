"""Cleaning a text and cutting it into pieces to be spoken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.speech.text import MAX_PIECE, NothingToSay, TextTooLong, clean, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,\t world \n", "Hello, world"),
        ("one\r\n\r\n  two\u2028three", "one\ntwo\nthree"),
        ("a\x00b\x07\x1bc", "abc"),
        ("half \ud800surrogate", "half surrogate"),
        ("in\u200bvis\u00adible \u202eturned\ufeff", "invisible turned"),
        ("cafe\u0301", "café"),
        ("no\u00a0break", "no break"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("private \ue000", "private"),
        ("ok\n\x00\n...", "ok\n..."),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text, 100) == expected


@pytest.mark.parametrize("text", ["", " \n\t", "...?!", "\x00\x01", "\u200b", "—«»"])
def test_nothing_to_say(text: str) -> None:
    with pytest.raises(NothingToSay):
        clean(text, 100)


def test_too_long() -> None:
    assert clean("x" * 100, 100)
    with pytest.raises(TextTooLong, match=r"101 characters; 100 are allowed.*max_text"):
        clean("x" * 101, 100)


@given(st.text(max_size=200))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    try:
        once = clean(text, 1000)
    except NothingToSay:
        return
    assert clean(once, 1000) == once
    once.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Dr. Smith paid $3.50. He left at 5 p.m. on Monday. Then... nothing happened.",
            ["Dr. Smith paid $3.50.", "He left at 5 p.m. on Monday.", "Then... nothing happened."],
        ),
        (
            "Mr. J. R. Jones lives in the U.S. See e.g. Fig. 3. What?! OK.",
            ["Mr. J. R. Jones lives in the U.S.", "See e.g. Fig. 3.", "What?!", "OK."],
        ),
        ('"Really?" she asked. "Yes!"', ['"Really?" she asked.', '"Yes!"']),
        ("See www.example.com/a.html now. Bye", ["See www.example.com/a.html now.", "Bye"]),
        ("one line\ntwo. More", ["one line", "two.", "More"]),
        ("1. First item\n2. Second item", ["1. First item", "2. Second item"]),
        ("Well ...\n...\nyes", ["Well ... ...", "yes"]),
        ("你好。今天天气很好！「好。」", ["你好。", "今天天气很好！", "「好。」"]),
        ("こんにちは。元気ですか？", ["こんにちは。", "元気ですか？"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_spanish_sentences() -> None:
    text = "¿Cómo está usted? ¡Bien! El Sr. Pérez y la Sra. Gil, p. ej. el núm. 5. Son 3,50 €."

    assert sentences(text, "es-419") == [
        "¿Cómo está usted?",
        "¡Bien!",
        "El Sr. Pérez y la Sra. Gil, p. ej. el núm. 5.",
        "Son 3,50 €.",
    ]


def test_a_clause_of_a_long_first_sentence_comes_first() -> None:
    text = (
        "When the sun came up over the hills, we left; nobody saw us, and nobody cared about it."
        " When the moon came up over the hills, we left again, and nobody cared about that at all."
    )

    first, rest, *others = sentences(text)

    assert first == "When the sun came up over the hills,"
    assert rest == "we left; nobody saw us, and nobody cared about it."
    assert len(others) == 1


def test_figures_are_not_clauses() -> None:
    text = "It costs exactly 12,000,000 dollars or 10:30 hours of work in the year of 1999 or later"

    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("word " * 200, "word"),
        ("some words, " * 100, "words,"),
        ("x" * 1000, "x"),
        ("去" * 150 + "，" + "来" * 500, ""),
        ("e\u0301" * 500, ""),
        ("नि" * 400, "नि"),
    ],
)
def test_long_sentences_are_cut(text: str, ends: str) -> None:
    pieces = sentences(clean(text, 10_000))

    assert len(pieces) > 1
    assert all(len(piece) <= MAX_PIECE for piece in pieces)
    assert all(piece.endswith(ends) for piece in pieces)
    assert "".join(pieces).replace(" ", "") == clean(text, 10_000).replace(" ", "")


def test_a_million_characters_are_cut_in_time() -> None:
    pieces = sentences(clean("hello, dear world. " * 52_000, 1_000_000))

    assert len(pieces) == 52_000


PARTS = ["Mr.", "e.g.", "...", " ", "\n", "3.50", "a", "B", ",", "?!", "「", "」", "。", "漢", "é"]


@given(
    st.lists(st.sampled_from(PARTS), max_size=60).map("".join), st.sampled_from(["en", "es", ""])
)
def test_no_character_is_lost(text: str, language: str) -> None:
    try:
        text = clean(text, 1000)
    except NothingToSay:
        return

    pieces = sentences(text, language)

    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece and piece == piece.strip() for piece in pieces)
