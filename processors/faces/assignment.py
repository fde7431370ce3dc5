"""Which detected face belongs to whom."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from processors.faces.face import Face
from processors.faces.identity import Identity, Signature, Thresholds
from processors.faces.track import overlap

_NEAR = 1.2
_SAME_PLACE = 0.4
_PLACE_BONUS = 0.1
_DOUBLE = 0.5
_PART = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Someone to whom a face may belong.

    Attributes:
        person: Who.
        face: Where flow supposes the face to be; None for someone who is away.
        followed: Whether flow is sure of it.
    """

    person: Identity
    face: Face | None = None
    followed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A face and whose it is.

    Attributes:
        face: The place of the face in the list.
        person: Whose it is.
        certain: The signature alone says so.
    """

    face: int
    person: Identity
    certain: bool


def assign(
    candidates: Sequence[Candidate],
    faces: Sequence[Face],
    signatures: Sequence[Signature],
    thresholds: Thresholds,
    newcomer: Callable[[], Identity],
) -> list[Claim]:
    """Give each face to one person and each person at most one face.

    Pairs are taken from the likeliest down. A face is given to someone who is

    - there, where the face looks like this person (``keep``) and is near where flow has it;
    - anywhere, or was away, where it looks clearly so (``accept``);
    - at exactly this place, followed by flow, and looks different for once (turned away, covered),
      unless the face looks more like someone else.

    Faces left over are new people, but for second detections of the same face and what may be a
    part of a face that is just being covered.

    Args:
        candidates: See there.
        faces: As detected.
        signatures: One for each face.
        thresholds: Of the kind of signature.
        newcomer: Makes someone new.
    """
    pairs: list[tuple[float, int, int, bool]] = []
    for n, (face, signature) in enumerate(zip(faces, signatures, strict=True)):
        likeness = [candidate.person.likeness(signature) for candidate in candidates]
        told = [
            _is_told(candidate, face, alike, thresholds)
            for candidate, alike in zip(candidates, likeness, strict=True)
        ]
        best = max((x for x, is_told in zip(likeness, told, strict=True) if is_told), default=-1.0)
        for c, (candidate, alike) in enumerate(zip(candidates, likeness, strict=True)):
            unlike = best > alike + thresholds.margin
            if told[c] or (_same_place(candidate, face) and not unlike):
                rank = alike + _PLACE_BONUS * _near(candidate, face)
                pairs.append((rank, n, c, alike >= thresholds.accept))
    claims: dict[int, Claim] = {}
    taken: set[int] = set()
    for _, n, c, certain in sorted(pairs, key=lambda pair: -pair[0]):
        if n not in claims and c not in taken:
            taken.add(c)
            claims[n] = Claim(n, candidates[c].person, certain)
    lost = [c.face for n, c in enumerate(candidates) if n not in taken and c.followed and c.face]
    for n, face in enumerate(faces):
        others = [faces[other] for other in claims]
        if (
            n not in claims
            and all(overlap(face.box, other.box) < _DOUBLE for other in others)
            and all(overlap(face.box, other.box) < _PART for other in lost)
        ):
            claims[n] = Claim(n, newcomer(), True)
    return list(claims.values())


def _is_told(candidate: Candidate, face: Face, alike: float, thresholds: Thresholds) -> bool:
    """Whether the look of a face makes it this person's."""
    if alike >= thresholds.accept:
        return True
    return candidate.followed and alike >= thresholds.keep and _near(candidate, face) > 0


def _near(candidate: Candidate, face: Face) -> float:
    return 0.0 if candidate.face is None else nearness(candidate.face, face)


def nearness(first: Face, second: Face) -> float:
    """1 where both faces are at one place, 0 where they are further apart than their size."""
    away = float(np.hypot(*np.subtract(first.centre, second.centre)))
    return max(0.0, 1 - away / (_NEAR * float(np.sqrt(max(first.area, second.area, 1.0)))))


def _same_place(candidate: Candidate, face: Face) -> bool:
    if candidate.face is None or (candidate.person.views and not candidate.followed):
        return False
    return overlap(candidate.face.box, face.box) > _SAME_PLACE
