"""Follows the faces of a stream: found every few frames, carried by flow in between."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from engine.pipeline.frame import Image
from processors.faces.assignment import Candidate, Claim, assign, nearness
from processors.faces.attributes import Guess
from processors.faces.detector import FaceDetector
from processors.faces.face import Face
from processors.faces.flow import GreyPicture
from processors.faces.identity import (
    APPEARANCE,
    EMBEDDING,
    GUESSES,
    Embedder,
    Gallery,
    Identity,
    Signature,
    appearance,
)
from processors.faces.settings import TrackingSettings
from processors.faces.track import Track, overlap

_TOUCH = 0.05
_EDGE = 0.15
_PATIENCE = 15


class Guesser(Protocol):
    """Guesses sex and age; ``SexAndAge`` is one."""

    def guess(self, image: Image, faces: Sequence[Face]) -> list[Guess]:
        """One for each face."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFace:
    """A face in the present frame.

    Attributes:
        id: The person: the same for as long as the stream remembers the face, also after it
            crossed another or left and came back. From 1.
        face: Where it is; its embedding is that of the last detection.
        fresh: It was detected in this frame; else flow carried it.
        missed: Frames in a row in which the detector looked and did not find it.
    """

    id: int
    face: Face
    fresh: bool
    missed: int


class FaceTracker:
    """Follows faces. One for each stream; not to be called from two threads at once.

    The detector runs in every n-th frame, in frames without any known face, and wherever flow is in
    doubt: a face could not be followed, was missed, or two faces touch. Who is who is decided by
    the faces' signatures; position only helps where those leave it open.

    Args:
        detector: Finds the faces.
        settings: How often, how long.
        recogniser: Tells people apart by embeddings; without one they are told by their looks, see
            ``processors.faces.identity``.
        sex_and_age: Guesses these for each person; without it they are None.
    """

    def __init__(
        self,
        detector: FaceDetector,
        settings: TrackingSettings | None = None,
        recogniser: Embedder | None = None,
        sex_and_age: Guesser | None = None,
    ) -> None:
        self._detector = detector
        self._settings = settings or TrackingSettings()
        self._recogniser = recogniser
        self._sex_and_age = sex_and_age
        self._thresholds = APPEARANCE if recogniser is None else EMBEDDING
        self._gallery = Gallery(self._settings.remember_s, self._settings.remember_faces)
        self._tracks: list[Track] = []
        self._since_detection = 0
        self._size = (0, 0)

    def update(self, image: Image, at_seconds: float) -> list[TrackedFace]:
        """The faces in the next frame, in the order of their numbers.

        Args:
            image: ``uint8[h, w, 3]``, BGR; of any size, which may change.
            at_seconds: When it was taken, not before the last one.

        Raises:
            DetectionFailed, RecognitionFailed: A model's numbers make no sense. The tracker can go
                on with the next frame.
        """
        if image.shape[:2] != self._size:
            # Positions mean nothing in a picture of another size; the people are remembered.
            self._tracks.clear()
            self._size = (image.shape[0], image.shape[1])
        picture = GreyPicture(image)
        for track in self._tracks:
            track.follow(picture)
        self._since_detection += 1
        if self._must_detect():
            self._since_detection = 0
            self._detect(image, picture, at_seconds)
        self._tracks = [track for track in self._tracks if self._lives(track, image)]
        shown = [
            TrackedFace(track.person.number, track.face, track.fresh, track.missed)
            for track in self._tracks
            if not track.hidden
        ]
        return sorted(shown, key=lambda tracked: tracked.id)

    def _must_detect(self) -> bool:
        if not self._tracks or self._since_detection >= self._settings.detect_every:
            return True
        if any(track.doubtful or not track.person.views for track in self._tracks):
            return True
        pairs = itertools.combinations(self._tracks, 2)
        return any(overlap(one.face.box, other.face.box) > _TOUCH for one, other in pairs)

    def _detect(self, image: Image, picture: GreyPicture, at: float) -> None:
        faces = self._detector.detect(image)
        signatures = self._signatures(image, faces)
        if self._recogniser is not None:
            faces = [face.with_embedding(e) for face, e in zip(faces, signatures, strict=True)]
        present = {track.person.number for track in self._tracks}
        absent = self._gallery.absent(present, at)
        candidates = [
            *(Candidate(track.person, track.face, track.followed) for track in self._tracks),
            *(Candidate(person) for person in absent),
        ]
        claims = assign(
            candidates, faces, signatures, self._thresholds, partial(self._gallery.new, at)
        )
        for track in self._tracks:
            track.missed += 1
            track.hidden = False
        self._guess(image, [(claim.person, faces[claim.face]) for claim in claims])
        for claim in claims:
            face, guess = faces[claim.face], claim.person.guess
            if guess is not None:
                face = replace(face, sex=guess.sex, age=guess.age)
            self._take(claim, face, picture, at)
        for claim in claims:
            self._learn(claim, faces[claim.face], signatures[claim.face], image, at)
        self._hide_covered(image)

    def _signatures(self, image: Image, faces: Sequence[Face]) -> list[Signature]:
        if self._recogniser is None:
            return [appearance(image, face) for face in faces]
        return self._recogniser.embed(image, faces)

    def _guess(self, image: Image, found: Sequence[tuple[Identity, Face]]) -> None:
        if self._sex_and_age is None:
            return
        open_cases = [(who, face) for who, face in found if len(who.guesses) < GUESSES]
        guesses = self._sex_and_age.guess(image, [face for _, face in open_cases])
        for (person, _), guess in zip(open_cases, guesses, strict=True):
            person.guesses.append(guess)

    def _take(self, claim: Claim, face: Face, picture: GreyPicture, at: float) -> None:
        track = next((track for track in self._tracks if track.person is claim.person), None)
        if track is not None:
            track.correct(face, picture, at)
        else:
            self._tracks.append(Track(claim.person, face, picture, at, self._settings))

    def _learn(
        self, claim: Claim, face: Face, signature: Signature, image: Image, at: float
    ) -> None:
        person = claim.person
        person.seen_at, person.seen = at, person.seen + 1
        unknown = not person.views
        in_full_view = self._in_full_view(face, person, image)
        if (in_full_view and (claim.certain or unknown)) or (unknown and person.seen >= _PATIENCE):
            person.learn(signature)

    def _in_full_view(self, face: Face, person: Identity, image: Image) -> bool:
        """Whether neither the picture's edge nor another face hides a part of this one."""
        others = [track.face for track in self._tracks if track.person is not person]
        return not _at_edge(face, image) and all(nearness(face, other) == 0 for other in others)

    def _lives(self, track: Track, image: Image) -> bool:
        height, width = image.shape[:2]
        x, y = track.face.landmarks.mean(axis=0)
        inside = 0 <= x < width and 0 <= y < height
        left = track.missed > 0 and not track.followed and _at_edge(track.face, image)
        return bool(inside and not left and track.missed <= self._settings.bridge_frames)

    def _hide_covered(self, image: Image) -> None:
        """Hide faces that the detector missed where another one may stand in front of them.

        Flow then holds on to whatever covers the face, so the look decides.
        """
        found = [track.face for track in self._tracks if track.missed == 0]
        missed = [
            track
            for track in self._tracks
            if track.missed > 0 and any(nearness(track.face, face) > 0 for face in found)
        ]
        signatures = self._signatures(image, [track.face for track in missed])
        for track, signature in zip(missed, signatures, strict=True):
            alike = track.person.likeness(signature)
            track.hidden = not track.followed or alike < self._thresholds.accept


def _at_edge(face: Face, image: Image) -> bool:
    """Whether the picture's edge may cut a part of a face off."""
    height, width = image.shape[:2]
    left, top, right, bottom = face.box
    # A detector draws the box of a face that is cut off at the edge, not beyond it.
    edge = _EDGE * (right - left)
    return bool(left < edge or right > width - edge or top < 0 or bottom > height)
