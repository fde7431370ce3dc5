"""Who is who among the faces of a stream.

With a recognition model a face is told by its embedding. Without one, by how it looks: gradients of
the aligned face and the colours of face and hair. That tells the people of one scene apart under
the light of that scene; it does not know a person again on another day, in other clothes or light,
and identical-looking faces are one to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.faces.align import arcface_template, crop, similarity
from processors.faces.attributes import Guess
from processors.faces.face import Embedding, Face

Signature = npt.NDArray[np.float32]
"""``float32[n]`` of length 1; the dot product of two says how alike two faces are."""

_SIDE = 64
_CELL = 8
_DIRECTIONS = 12
_COLOURS = 24
_HAIR = 1.4
_SHAPE = 1.2
_COLOUR = 0.75

GUESSES = 5
"""After so many guesses a person's sex and age are settled."""

_VIEWS = 6
_NEW_VIEW = 0.88
_LEARN = 0.1


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which likeness on two signatures are taken for the same person.

    Attributes:
        keep: A face that moved on from where this person just was.
        accept: A face anywhere.
        margin: By how much another person must be more like a face to take it over.
    """

    keep: float
    accept: float
    margin: float


EMBEDDING = Thresholds(keep=0.2, accept=0.4, margin=0.1)
APPEARANCE = Thresholds(keep=0.6, accept=0.82, margin=0.05)


class Embedder(Protocol):
    """Makes embeddings; ``Recogniser`` is one."""

    def embed(self, image: Image, faces: Sequence[Face]) -> list[Embedding]:
        """One for each face."""


def appearance(image: Image, face: Face) -> Signature:
    """How a face looks: a signature for want of an embedding, ``float32[1344]``.

    Histograms of gradient directions (after Dalal and Triggs, "Histograms of Oriented Gradients for
    Human Detection", CVPR 2005) in cells of the aligned face, and one of the colours (a and b of
    CIE Lab) of a wider crop.

    Args:
        image: ``uint8[h, w, 3]``, BGR.
        face: Its landmarks are used.
    """
    import cv2

    aligned = _aligned(image, face, 1.0)
    grey = cv2.GaussianBlur(cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY), (0, 0), 1).astype(np.float32)
    strength, angle = cv2.cartToPolar(
        cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    )
    direction = (angle * (_DIRECTIONS / (2 * np.pi))).astype(np.int64) % _DIRECTIONS
    cells = _SIDE // _CELL
    rows, columns = np.mgrid[:_SIDE, :_SIDE] // _CELL
    bins = (rows * cells + columns) * _DIRECTIONS + direction
    shape = np.bincount(
        bins.ravel(), np.sqrt(strength).ravel(), cells * cells * _DIRECTIONS
    ).reshape(-1, _DIRECTIONS)
    shape = shape / (np.linalg.norm(shape, axis=1, keepdims=True) + 20.0)
    lab = cv2.cvtColor(_aligned(image, face, _HAIR), cv2.COLOR_BGR2LAB)
    colours = cv2.calcHist([lab], [1, 2], None, [_COLOURS, _COLOURS], [100, 180, 100, 180])
    parts = [_SHAPE * _unit(shape.ravel()), _COLOUR * _unit(np.sqrt(colours).ravel())]
    return _unit(np.concatenate(parts)).astype(np.float32)


def _aligned(image: Image, face: Face, margin: float) -> Image:
    template = (arcface_template(112) / 112 - 0.5) / margin + 0.5
    return crop(image, similarity(face.landmarks, template * _SIDE), _SIDE)


def _unit(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.asarray(values / (np.linalg.norm(values) + 1e-9), np.float64)


@dataclass(slots=True, eq=False)
class Identity:
    """One person of a stream.

    Attributes:
        number: Never given to another.
        views: Signatures from different sides, at most ``_VIEWS``.
        seen_at: When the face was last detected.
        seen: How many times it was.
        guesses: Of sex and age, at most ``GUESSES``.
    """

    number: int
    seen_at: float
    views: list[Signature] = field(default_factory=list)
    seen: int = 0
    guesses: list[Guess] = field(default_factory=list)

    @property
    def guess(self) -> Guess | None:
        """The sex most often guessed, and the age in the middle of the guesses."""
        if not self.guesses:
            return None
        sexes = [guess.sex for guess in self.guesses]
        ages = sorted(guess.age for guess in self.guesses)
        return Guess(
            "male" if sexes.count("male") * 2 > len(sexes) else "female", ages[len(ages) // 2]
        )

    def likeness(self, signature: Signature) -> float:
        """To the view that is most alike; -1 while there is none."""
        return max((float(np.dot(view, signature)) for view in self.views), default=-1.0)

    def learn(self, signature: Signature) -> None:
        """Take in a view that is certain."""
        alike = [float(np.dot(view, signature)) for view in self.views]
        if len(self.views) < _VIEWS and max(alike, default=-1.0) < _NEW_VIEW:
            self.views.append(signature)
            return
        nearest = int(np.argmax(alike))
        mixed = self.views[nearest] + (signature - self.views[nearest]) * _LEARN
        self.views[nearest] = (mixed / np.linalg.norm(mixed)).astype(np.float32)


class Gallery:
    """The people of a stream, those present and those who left a while ago.

    Args:
        remember_s: How long one who left is remembered.
        most: How many are remembered at most.
    """

    def __init__(self, remember_s: float, most: int) -> None:
        self._remember_s, self._most = remember_s, most
        self._people: dict[int, Identity] = {}
        self._next = 1

    def new(self, at: float) -> Identity:
        """Someone never seen before."""
        person = Identity(self._next, at)
        self._next += 1
        self._people[person.number] = person
        return person

    def absent(self, present: set[int], at: float) -> list[Identity]:
        """Those remembered who are not ``present``; forgets who is away for too long."""
        away = [person for person in self._people.values() if person.number not in present]
        away.sort(key=lambda person: -person.seen_at)
        room = max(0, self._most - len(present))
        kept = [person for person in away[:room] if at - person.seen_at <= self._remember_s]
        for person in away:
            if person not in kept:
                del self._people[person.number]
        return kept

    def forget(self, person: Identity) -> None:
        """Someone turned out to be another one."""
        self._people.pop(person.number, None)
