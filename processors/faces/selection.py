"""Which of the tracked faces are swapped, and with which source.

A rule and what was chosen before give the new choice: a face keeps its source for as long as the
rule allows it, so that nothing flickers where two faces are about as large, or as like, as each
other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from processors.faces.analyser import Want
from processors.faces.face import Embedding
from processors.faces.recognition import likeness
from processors.faces.tracker import TrackedFace

Choice = Mapping[int, int]
"""From the number of a tracked face to the place of a source in the list of sources."""

_LARGER = 1.25
_HOLD = 0.08


@dataclass(frozen=True, slots=True)
class Everyone:
    """All faces get the same source."""

    source: int = 0


@dataclass(frozen=True, slots=True)
class Largest:
    """Only the largest face; another one takes over when it is clearly larger."""

    source: int = 0


@dataclass(frozen=True, slots=True)
class LeftToRight:
    """The first source for the leftmost face, the next for the next, as many as there are.

    The order is that of their appearance: people who then change places keep their sources.

    Attributes:
        sources: How many there are.
    """

    sources: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A face that is to be swapped wherever it is seen.

    Attributes:
        embedding: Of the face, by the same model as that of the stream.
        source: What it becomes.
        threshold: Least likeness, -1..1.
    """

    embedding: Embedding
    source: int = 0
    threshold: float = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Faces that look like one of some references become that reference's source."""

    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class SexAndAgeRange:
    """Faces that a model takes for this sex and age.

    Attributes:
        sex: None takes both.
        youngest: In years.
        oldest: In years.
        source: What they become.
    """

    sex: Literal["female", "male"] | None = None
    youngest: int = 0
    oldest: int = 200
    source: int = 0


@dataclass(frozen=True, slots=True)
class ByNumber:
    """Faces that a user has pointed at.

    Attributes:
        sources: From the numbers of faces to sources.
    """

    sources: Mapping[int, int]


Rule = Everyone | Largest | LeftToRight | Alike | SexAndAgeRange | ByNumber


def needs(rule: Rule) -> Want:
    """What must be known of faces for a rule to work; without it, it chooses none."""
    if isinstance(rule, Alike):
        return Want.EMBEDDING
    return Want.SEX_AND_AGE if isinstance(rule, SexAndAgeRange) else Want.NOTHING


def choose(rule: Rule, faces: Sequence[TrackedFace], before: Choice) -> dict[int, int]:
    """Who is swapped, and with which source.

    Args:
        rule: How to choose.
        faces: Those of the present frame.
        before: The choice in the last frame; may name faces that are away.
    """
    match rule:
        case Everyone():
            return {tracked.id: rule.source for tracked in faces}
        case Largest():
            return _largest(rule, faces, before)
        case LeftToRight():
            return _left_to_right(rule, faces, before)
        case Alike():
            return _alike(rule, faces, before)
        case SexAndAgeRange():
            return {tracked.id: rule.source for tracked in faces if _in_range(rule, tracked)}
        case ByNumber():
            return {
                tracked.id: rule.sources[tracked.id]
                for tracked in faces
                if tracked.id in rule.sources
            }


class Selector:
    """Applies a rule frame by frame and remembers what it chose.

    Args:
        rule: To begin with.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._used: Rule = rule
        self._choice: dict[int, int] = {}

    @property
    def rule(self) -> Rule:
        """May be set at any time, also from another thread; counts from the next frame on."""
        return self._rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        self._rule = rule

    def update(self, faces: Sequence[TrackedFace]) -> dict[int, int]:
        """The choice for the next frame, see ``choose``."""
        rule = self._rule
        if rule is not self._used:
            self._used, self._choice = rule, {}
        chosen = choose(rule, faces, self._choice)
        # Who is away for a moment gets the same source again.
        self._choice = {**self._choice, **chosen} if isinstance(rule, LeftToRight) else chosen
        return chosen


def _largest(rule: Largest, faces: Sequence[TrackedFace], before: Choice) -> dict[int, int]:
    if not faces:
        return {}
    largest = max(faces, key=lambda tracked: tracked.face.area)
    for tracked in faces:
        if tracked.id in before and tracked.face.area * _LARGER > largest.face.area:
            return {tracked.id: rule.source}
    return {largest.id: rule.source}


def _left_to_right(
    rule: LeftToRight, faces: Sequence[TrackedFace], before: Choice
) -> dict[int, int]:
    chosen = {
        tracked.id: before[tracked.id]
        for tracked in faces
        if before.get(tracked.id, rule.sources) < rule.sources
    }
    free = [source for source in range(rule.sources) if source not in chosen.values()]
    newcomers = sorted(
        (tracked for tracked in faces if tracked.id not in chosen),
        key=lambda tracked: tracked.face.centre[0],
    )
    return chosen | {tracked.id: source for tracked, source in zip(newcomers, free, strict=False)}


def _alike(rule: Alike, faces: Sequence[TrackedFace], before: Choice) -> dict[int, int]:
    chosen: dict[int, int] = {}
    for tracked in faces:
        embedding = tracked.face.embedding
        if embedding is None:
            continue
        ranks = []
        for reference in rule.references:
            held = _HOLD if before.get(tracked.id) == reference.source else 0.0
            above = likeness(embedding, reference.embedding) + held - reference.threshold
            if above >= 0:
                ranks.append((above, reference.source))
        if ranks:
            chosen[tracked.id] = max(ranks)[1]
    return chosen


def _in_range(rule: SexAndAgeRange, tracked: TrackedFace) -> bool:
    face = tracked.face
    if face.age is None or not rule.youngest <= face.age <= rule.oldest:
        return False
    return rule.sex is None or face.sex == rule.sex
