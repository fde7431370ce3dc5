"""From words with times to captions: cues of at most two lines, and WebVTT.

Line and cue sizes follow what broadcasters agree on (e.g. the BBC subtitle guidelines): about 42
columns a line, two lines, a break where a sentence ends or the speaker pauses.
"""

import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.speech.sound import Word

LINE_COLUMNS = 42
"""Widest line; a wide (East Asian) character takes two columns."""

LINES = 2
MAX_CUE_S = 6.0
_PUNCTUATION_COLUMNS = 12
"""So much longer a line may be if that makes it end with a comma or a stop."""

PAUSE_S = 0.6
"""A longer pause ends a cue."""

MIN_CUE_S = 1.0
"""The end of a sentence ends a cue only if the cue is this long: shorter ones cannot be read."""

# Scripts that are written without spaces and may be broken before any character ...
_CJK = (
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
# ... except these, which belong to the one before: small kana, length and repetition marks.
_CLINGING = "々〻ーゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ"
_CJK_OPENING = "「『（《〈【〔［｛“‘"
_BEFORE = f"[{_CJK_OPENING}]{{0,4}}[{_CJK}]"
_PIECE = re.compile(
    rf"{_BEFORE}[{_CLINGING}]*[^\w\s{_CJK_OPENING}]*|[^\s{_CJK}]+?(?={_BEFORE}|\s|$)"
)
_UNSPACED = re.compile(rf"[{_CJK}\u3000-\u303f\uff00-\uff65]")

_SENTENCE_END = re.compile(r"(?:[.!?…؟۔।]['\"’”»)\]]*|[。！？][」』）”’]*)$")
_ABBREVIATION = re.compile(
    r"^\W*(?:mr|mrs|ms|dr|prof|st|jr|vs|e\.g|i\.e|sr|sra|srta|dra|d|ud|uds|ee|uu|[^\W\d_])\.$", re.I
)

# How much longer things take to say than a letter does; rough, and alike for all languages.
_CJK_WEIGHT = 3.0
_DIGIT_WEIGHT = 3.0
_WORD_WEIGHT = 1.0
_COMMA_WEIGHT = 3.0
_STOP_WEIGHT = 6.0


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text.

    Attributes:
        text: With the punctuation around it, and one space where it has more.
        start: Index of its first character in the text.
        end: Index behind its last character.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at one time.

    Attributes:
        start: Seconds since the start of the utterance.
        end: Seconds.
        words: At least one.
    """

    start: float
    end: float
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The words, in lines of at most ``LINE_COLUMNS``."""
        return "\n".join(_Row([word.text for word in self.words]).lines())


def is_speakable(text: str) -> bool:
    """Tell whether there is a letter, a digit or a symbol with a name (€, %, an emoji)."""
    return any(
        char.isalnum() or char == "%" or unicodedata.category(char) in ("Sc", "Sm", "So")
        for char in text
    )


def tokens(text: str) -> list[Token]:
    """Split a text into its words: at spaces, and between characters of Chinese and Japanese.

    What cannot be spoken belongs to the word before it, or to the first one.
    """
    spans: list[tuple[int, int]] = []
    begun = False
    for match in _PIECE.finditer(text):
        start, end = match.span()
        speakable = is_speakable(match[0])
        if spans and not (begun and speakable):
            start = spans.pop()[0]
        spans.append((start, end))
        begun = begun or speakable
    return [Token(" ".join(text[start:end].split()), start, end) for start, end in spans]


def spread(text: str, start: float, end: float) -> tuple[Word, ...]:
    """Give the words of a text times by their length, where nobody knows the true ones.

    Args:
        text: What is said.
        start: Seconds at which its first word starts.
        end: Seconds at which its last word ends.
    """
    words = tokens(text)
    if not words:
        return ()
    spoken = [_spoken_weight(word.text) for word in words]
    pauses = [_pause_weight(word.text) for word in words[:-1]] + [0.0]
    total = sum(spoken) + sum(pauses)
    unit = max(0.0, end - start) / total
    result: list[Word] = []
    at = 0.0
    for word, weight, pause in zip(words, spoken, pauses, strict=True):
        result.append(Word(word.text, start + at * unit, start + (at + weight) * unit))
        at += weight + pause
    return tuple(result)


class CueMaker:
    """Groups words into cues, as they come."""

    def __init__(self) -> None:
        self._words: list[Word] = []

    def add(self, words: Iterable[Word]) -> list[Cue]:
        """Take the next words and return the cues that are complete by now."""
        done: list[Cue] = []
        for word in words:
            for part in _parts(word):
                if self._words and part.start - self._words[-1].end > PAUSE_S:
                    done += self.flush()
                while self._words and not self._has_room(part):
                    done.append(self._take(self._best_break()))
                self._words.append(part)
            if self._is_sentence():
                done += self.flush()
        return done

    def flush(self) -> list[Cue]:
        """Return what has not been returned yet: one cue or none."""
        return [self._take(len(self._words))] if self._words else []

    def _take(self, count: int) -> Cue:
        words, self._words = tuple(self._words[:count]), self._words[count:]
        return Cue(words[0].start, words[-1].end, words)

    def _has_room(self, word: Word) -> bool:
        if word.end - self._words[0].start > MAX_CUE_S:
            return False
        return len(_Row([*(w.text for w in self._words), word.text]).fill()) <= LINES

    def _best_break(self) -> int:
        """How many words to take: up to the last comma, if that is in the second half."""
        count = len(self._words)
        for index in range(count - 1, count // 2, -1):
            if _pause_weight(self._words[index].text):
                return index + 1
        return count

    def _is_sentence(self) -> bool:
        first, last = self._words[0], self._words[-1]
        return last.end - first.start >= MIN_CUE_S and _pause_weight(last.text) >= _STOP_WEIGHT


def web_vtt(cues: Iterable[tuple[float, Cue]]) -> str:
    """Write a WebVTT file (W3C, WebVTT: The Web Video Text Tracks Format).

    Args:
        cues: Each with the seconds at which its utterance starts on the session's timeline.
    """
    blocks = ["WEBVTT\n"]
    for offset, cue in sorted(cues, key=lambda item: item[0] + item[1].start):
        start = max(0, round((offset + cue.start) * 1000))
        end = max(start + 1, round((offset + cue.end) * 1000))
        lines = (" ".join(line.split()) for line in cue.text.split("\n"))
        text = "\n".join(line for line in lines if line)
        # With every > escaped, "-->" cannot occur in the text.
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_timestamp(start)} --> {_timestamp(end)}\n{text}\n")
    return "\n".join(blocks)


def _timestamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"


def _spoken_weight(word: str) -> float:
    weight = _WORD_WEIGHT
    for char in word:
        if _UNSPACED.match(char) and char.isalnum():
            weight += _CJK_WEIGHT
        elif char.isdigit():
            weight += _DIGIT_WEIGHT
        elif char.isalpha():
            weight += 1.0
    return weight


def _pause_weight(word: str) -> float:
    if _SENTENCE_END.search(word) and not _ABBREVIATION.match(word):
        return _STOP_WEIGHT
    return _COMMA_WEIGHT if word[-1] in ",;:、，；：،—–" else 0.0


def _columns(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_char_columns, text))


def _char_columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _parts(word: Word) -> Iterator[Word]:
    """Cut a word that is wider than a line into pieces that each fill one."""
    width = _columns(word.text)
    if width <= LINE_COLUMNS:
        yield word
        return
    duration = word.end - word.start
    piece, used, before = "", 0, 0
    for char in word.text:
        columns = _char_columns(char)
        if used + columns > LINE_COLUMNS:
            start = word.start + duration * before / width
            before += used
            yield Word(piece, start, word.start + duration * before / width)
            piece, used = "", 0
        piece += char
        used += columns
    yield Word(piece, word.start + duration * before / width, word.end)


class _Row:
    """Words one behind the other, to be broken into lines."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._spaces = [""]
        self._starts: list[int] = []
        self._ends: list[int] = []
        at = 0
        for index, word in enumerate(words):
            if index:
                close = _UNSPACED.match(words[index - 1][-1]) and _UNSPACED.match(word[0])
                self._spaces.append("" if close else " ")
                at += len(self._spaces[-1])
            self._starts.append(at)
            at += _columns(word)
            self._ends.append(at)

    def fill(self) -> list[int]:
        """The index of the first word of each line, with lines as full as they can be."""
        firsts = [0]
        for index, end in enumerate(self._ends):
            if index > firsts[-1] and end - self._starts[firsts[-1]] > LINE_COLUMNS:
                firsts.append(index)
        return firsts

    def lines(self) -> list[str]:
        """As few lines as possible; two are of like length."""
        firsts = self.fill()
        if len(firsts) == LINES:
            firsts[1] = min(range(1, len(self._words)), key=self._cost)
        limits = [*firsts, len(self._words)]
        return [
            self._words[first]
            + "".join(self._spaces[i] + self._words[i] for i in range(first + 1, limit))
            for first, limit in itertools.pairwise(limits)
        ]

    def _cost(self, cut: int) -> float:
        """How bad it is to begin the second of two lines with this word."""
        longer = max(self._ends[cut - 1], self._ends[-1] - self._starts[cut])
        if longer > LINE_COLUMNS:
            return math.inf
        return longer - (_PUNCTUATION_COLUMNS if _pause_weight(self._words[cut - 1]) else 0)
