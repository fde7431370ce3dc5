"""Which faces are swapped with which source."""

import numpy as np
import pytest

from processors.faces.analyser import Want
from processors.faces.face import Embedding, Face
from processors.faces.selection import (
    Alike,
    ByNumber,
    Everyone,
    Largest,
    LeftToRight,
    Reference,
    Rule,
    Selector,
    SexAndAgeRange,
    choose,
    needs,
)
from processors.faces.tracker import TrackedFace


def tracked(
    number: int,
    x: float,
    size: float = 100,
    embedding: Embedding | None = None,
    sex: str | None = None,
    age: int | None = None,
) -> TrackedFace:
    box = np.array([x, 0, x + size, size], np.float32)
    face = Face(box, np.zeros((5, 2), np.float32), 0.9, embedding=embedding, age=age)
    if sex is not None:
        face = Face(box, face.landmarks, 0.9, sex="male" if sex == "male" else "female", age=age)
    return TrackedFace(number, face, True, 0)


def unit(*values: float) -> Embedding:
    vector = np.array(values, np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def test_everyone_and_by_number() -> None:
    faces = [tracked(1, 0), tracked(4, 200)]
    assert choose(Everyone(2), faces, {}) == {1: 2, 4: 2}
    assert choose(ByNumber({4: 1, 9: 0}), faces, {}) == {4: 1}
    assert choose(Everyone(), [], {}) == {}


def test_the_largest_is_kept_until_another_is_clearly_larger() -> None:
    selector = Selector(Largest())
    assert selector.update([tracked(1, 0, 100), tracked(2, 200, 95)]) == {1: 0}
    assert selector.update([tracked(1, 0, 100), tracked(2, 200, 105)]) == {1: 0}
    assert selector.update([tracked(1, 0, 100), tracked(2, 200, 140)]) == {2: 0}
    assert selector.update([tracked(1, 0, 100)]) == {1: 0}
    assert selector.update([]) == {}


def test_left_to_right_is_by_face_once_it_is_chosen() -> None:
    selector = Selector(LeftToRight(2))
    assert selector.update([tracked(5, 300), tracked(7, 100)]) == {7: 0, 5: 1}
    assert selector.update([tracked(5, 100), tracked(7, 300)]) == {7: 0, 5: 1}
    assert selector.update([tracked(5, 100)]) == {5: 1}
    assert selector.update([tracked(5, 100), tracked(7, 0)]) == {7: 0, 5: 1}
    assert selector.update([tracked(5, 100), tracked(9, 0)]) == {5: 1, 9: 0}


def test_left_to_right_takes_no_more_faces_than_sources() -> None:
    faces = [tracked(n, 100.0 * n) for n in (3, 1, 2)]
    assert choose(LeftToRight(2), faces, {}) == {1: 0, 2: 1}
    assert choose(LeftToRight(5), faces, {}) == {1: 0, 2: 1, 3: 2}


def test_references_map_several_people_to_several_sources() -> None:
    rule = Alike((Reference(unit(1, 0, 0), 0, 0.5), Reference(unit(0, 1, 0), 1, 0.5)))
    faces = [
        tracked(1, 0, embedding=unit(0.1, 1, 0)),
        tracked(2, 100, embedding=unit(1, 0.1, 0)),
        tracked(3, 200, embedding=unit(0, 0, 1)),
        tracked(4, 300),
    ]
    assert choose(rule, faces, {}) == {1: 1, 2: 0}


def test_likeness_at_the_threshold_does_not_flicker() -> None:
    selector = Selector(Alike((Reference(unit(1, 0), 0, 0.6),)))
    below = [tracked(1, 0, embedding=unit(0.55, np.sqrt(1 - 0.55**2)))]
    above = [tracked(1, 0, embedding=unit(0.62, np.sqrt(1 - 0.62**2)))]
    far = [tracked(1, 0, embedding=unit(0.4, np.sqrt(1 - 0.4**2)))]
    assert [selector.update(faces) for faces in (below, above, below, far, below)] == [
        {},
        {1: 0},
        {1: 0},
        {},
        {},
    ]


def test_of_two_references_the_better_one_wins() -> None:
    rule = Alike((Reference(unit(1, 0), 0, 0.3), Reference(unit(0.8, 0.6), 1, 0.3)))
    assert choose(rule, [tracked(1, 0, embedding=unit(0.9, 0.7))], {}) == {1: 1}


def test_sex_and_age() -> None:
    faces = [
        tracked(1, 0, sex="female", age=30),
        tracked(2, 0, sex="male", age=30),
        tracked(3, 0, sex="female", age=70),
        tracked(4, 0),
    ]
    assert choose(SexAndAgeRange("female"), faces, {}) == {1: 0, 3: 0}
    assert choose(SexAndAgeRange(None, 20, 40, 3), faces, {}) == {1: 3, 2: 3}


def test_a_rule_can_be_changed_while_running() -> None:
    selector = Selector(LeftToRight(1))
    faces = [tracked(1, 0, 100), tracked(2, 200, 300)]
    assert selector.update(faces) == {1: 0}
    selector.rule = Largest(1)
    assert selector.update(faces) == {2: 1}
    selector.rule = LeftToRight(1)
    assert selector.update(list(reversed(faces))) == {1: 0}


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        (Everyone(), Want.NOTHING),
        (Alike(()), Want.EMBEDDING),
        (SexAndAgeRange(), Want.SEX_AND_AGE),
        (ByNumber({}), Want.NOTHING),
    ],
)
def test_rules_say_what_they_need(rule: Rule, want: Want) -> None:
    assert needs(rule) == want
