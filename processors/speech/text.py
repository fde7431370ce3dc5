"""Text that is to be spoken: cleaned, and cut into pieces of a length that providers like."""

import re
import unicodedata
from collections.abc import Iterable

import sentencex

from engine.errors import InvalidInput
from engine.speech.captions import is_speakable

MAX_PIECE = 300
"""Characters of the longest piece; neural voices get worse or refuse beyond a few hundred."""

_FIRST_PIECE = range(12, 81)
"""How long a clause may be that is spoken first, so that speech begins early."""

_LINE_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_SPACES = re.compile(r"\s+")
# Marks that change the direction or the width of what is shown, and cannot be heard.
_INVISIBLE = re.compile(r"[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_CLAUSE = re.compile(r"[,;:–—،؛](?=\s)|[、，；：]")
_NUMBERING = re.compile(r"\(?(?:\d{1,3}|\w)[.)]")


class TextTooLong(InvalidInput):
    """There is more to say than the settings allow."""


class NothingToSay(InvalidInput):
    """A text has no letter, digit or symbol that can be spoken."""


def clean(text: str, max_chars: int) -> str:
    """Make a text ready to be spoken.

    Returns:
        NFC, without control characters, unpaired surrogates, private-use and invisible formatting
        characters; one space between words, one ``\\n`` between lines.

    Raises:
        TextTooLong: It has more than ``max_chars`` characters.
        NothingToSay: Nothing in it can be spoken.
    """
    if len(text) > max_chars:
        raise TextTooLong(
            f"The text has {len(text)} characters; {max_chars} are allowed.",
            "Send it in parts, or raise speech.synthesis.max_text.",
        )
    text = _LINE_BREAKS.sub("\n", _INVISIBLE.sub("", text).strip())
    lines = (_SPACES.sub(" ", line).strip() for line in text.split("\n"))
    text = "\n".join(line for line in map(_without_controls, lines) if line)
    text = unicodedata.normalize("NFC", text)
    if not is_speakable(text):
        raise NothingToSay("The text holds nothing that can be spoken.", "Send letters or numbers.")
    return text


def sentences(text: str, language: str = "en") -> list[str]:
    """Cut a text into pieces to be synthesised one after the other.

    Pieces are sentences. One longer than ``MAX_PIECE`` is cut at a comma, else at a space; of the
    first one a clause may be cut off.

    Args:
        text: As ``clean`` returns it.
        language: Whose abbreviations are known, e.g. ``es`` or ``en-us``.
    """
    code = re.split(r"[-_]", language.lower())[0] or "en"
    found = (piece.strip() for line in text.split("\n") for piece in sentencex.segment(code, line))
    whole = _joined(piece for piece in found if piece)
    pieces = [piece for sentence in whole for piece in _limited(sentence)]
    return _first_clause(pieces[0]) + pieces[1:] if pieces else []


def _without_controls(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(c for c in line if unicodedata.category(c) not in ("Cc", "Cs", "Co")).strip()


def _joined(pieces: Iterable[str]) -> list[str]:
    """Join what cannot be spoken with what is before it, and numbering with what follows."""
    result: list[str] = []
    for piece in pieces:
        if result and (not is_speakable(piece) or _NUMBERING.fullmatch(result[-1])):
            result[-1] = f"{result[-1]} {piece}"
        else:
            result.append(piece)
    return result


def _limited(sentence: str) -> list[str]:
    pieces: list[str] = []
    while len(sentence) > MAX_PIECE:
        cut = _cut(sentence)
        pieces.append(sentence[:cut].rstrip())
        sentence = sentence[cut:].lstrip()
    return [*pieces, sentence] if sentence else pieces


def _cut(sentence: str) -> int:
    clauses = [match.end() for match in _CLAUSE.finditer(sentence, 0, MAX_PIECE)]
    for cut in (clauses[-1] if clauses else 0, sentence.rfind(" ", 0, MAX_PIECE + 1)):
        if cut > MAX_PIECE // 3:
            return cut
    # No accent, joiner or variant selector is torn from its letter.
    cut = MAX_PIECE
    while cut > 1 and unicodedata.category(sentence[cut])[0] in "MC":
        cut -= 1
    return cut if cut > 1 else MAX_PIECE


def _first_clause(sentence: str) -> list[str]:
    if len(sentence) <= _FIRST_PIECE.stop:
        return [sentence]
    for match in _CLAUSE.finditer(sentence):
        if match.end() in _FIRST_PIECE:
            return [sentence[: match.end()], sentence[match.end() :].lstrip()]
    return [sentence]
