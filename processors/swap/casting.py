"""Who of those in the picture gets which of the faces that are put in.

Faces that are for somebody in particular come first; whoever is left is selected by a rule, among
the sources that are left. See ``processors.faces.selection`` for how each choice is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from processors.faces.face import Embedding
from processors.faces.selection import (
    Alike,
    ByNumber,
    Largest,
    LeftToRight,
    Reference,
    Rule,
    Selector,
    SexAndAgeRange,
    choose,
)
from processors.faces.tracker import TrackedFace

Selection = Literal["largest", "left_to_right", "all"]

MOST: Final = 64
"""Faces that ``all`` swaps."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Whom a face is for.

    Attributes:
        person: The number of a person of the stream.
        likeness: Of a picture of the person, by the stream's recognition model.
    """

    person: int | None = None
    likeness: Embedding | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """How faces are given out. Another object has everything decided anew.

    Attributes:
        pointed: Persons for whom a source is kept.
        alike: Looks for which a source is kept.
        within: Who else may be selected; None: everybody.
        rest: How these are selected; None: nobody.
        sources: The sources that ``rest`` counts from 0.
    """

    pointed: ByNumber
    alike: Alike
    within: SexAndAgeRange | None
    rest: Rule | None
    sources: tuple[int, ...]


def rules_of(
    selection: Selection,
    targets: Sequence[Target | None],
    similarity: float,
    within: SexAndAgeRange | None = None,
) -> Rules:
    """The rules that settings come to.

    Args:
        selection: Who is swapped among those for whom no face is kept.
        targets: For each source whom it is for; None: for whoever is selected.
        similarity: Least likeness.
        within: Who may be selected.
    """
    pointed = {
        target.person: place
        for place, target in enumerate(targets)
        if target is not None and target.person is not None
    }
    references = tuple(
        Reference(target.likeness, place, similarity)
        for place, target in enumerate(targets)
        if target is not None and target.likeness is not None
    )
    free = tuple(place for place, target in enumerate(targets) if target is None)
    rest: Rule | None = None
    if free:
        orders: dict[Selection, Rule] = {
            "largest": Largest(),
            "left_to_right": LeftToRight(len(free)),
            "all": LeftToRight(MOST),
        }
        rest = orders[selection]
    cycled = tuple(free[number % len(free)] for number in range(MOST)) if free else ()
    return Rules(ByNumber(pointed), Alike(references), within, rest, cycled)


class Casting:
    """Gives out faces frame by frame, and remembers to whom."""

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self._alike = Selector(Alike(()))
        self._rest = Selector(Largest())

    def cast(self, tracked: Sequence[TrackedFace], rules: Rules) -> dict[int, int]:
        """Who gets which face.

        Args:
            tracked: Those in the frame; with sex and age where the rules ask for them.
            rules: See there.

        Returns:
            From the number of a person to the place of a source; who is not in it stays.
        """
        if rules is not self._rules:
            self._rules = rules
            self._alike = Selector(rules.alike)
            self._rest = Selector(rules.rest or Largest())
        given = choose(rules.pointed, tracked, {})
        others = [one for one in tracked if one.id not in given]
        given = self._alike.update(others) | given
        if rules.rest is None:
            return given
        others = [one for one in others if one.id not in given]
        if rules.within is not None:
            allowed = choose(rules.within, others, {})
            others = [one for one in others if one.id in allowed]
        chosen = self._rest.update(others)
        return given | {person: rules.sources[number] for person, number in chosen.items()}
