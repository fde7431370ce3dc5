"""Faces that are put in: found in pictures that users hand in, and kept small."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.errors import InvalidInput
from engine.pipeline.frame import Image
from processors.faces.analyser import NoFace, NoSuchFace
from processors.faces.detector import FaceDetector
from processors.faces.face import Face
from processors.faces.picture import load_face_picture
from processors.faces.recognition import Recogniser
from processors.swap.backend import SourceFace
from processors.swap.geometry import usable

log = logging.getLogger(__name__)

LOOK_AT: Final = (1280, 640, 320)
"""Widths at which a picture is searched until a face is found: small faces show in the first, ones
that fill the picture in the last."""

TOO_WIDE: Final = 0.35
"""Part of the picture's width from which on a face is looked at again in the next smaller width:
detectors are trained on faces of up to some hundred pixels, and see double in larger ones."""

BORDER: Final = 0.25
"""Added around a picture in which nothing was found: faces cut by its edge are found then."""

AROUND: Final = 0.8
"""How much is kept around a face, in sides of its box."""

LARGEST: Final = 768
"""Longer side of what is kept; no backend shows more."""

LEAST_EYES: Final = 8.0
"""Distance of the eyes in pixels below which a face is a smudge."""

MOST_FACES: Final = 64
"""Faces that are kept of one picture, the largest ones."""

MakeDetector = Callable[[int], FaceDetector]
"""From the width at which it looks."""


class FaceTooSmall(InvalidInput):
    """The face in a picture has too few pixels to be put in."""


@dataclass(frozen=True, slots=True, eq=False)
class FacePicture:
    """The faces of one picture, from left to right.

    Attributes:
        name: Of the picture, for messages.
        found: Where they are in the picture.
        sources: The same faces, cut out.
        chosen: The largest one.
    """

    name: str
    found: tuple[Face, ...]
    sources: tuple[SourceFace, ...]
    chosen: int

    def source(self, index: int | None = None) -> SourceFace:
        """A face of the picture.

        Args:
            index: From left to right, from 0; None takes the largest.

        Raises:
            NoSuchFace: There are fewer.
            FaceTooSmall: It has too few pixels.
        """
        at = self.chosen if index is None else index
        if not 0 <= at < len(self.sources):
            raise NoSuchFace(
                f"{self.name} has {len(self.sources)} faces; there is no number {at + 1}.",
                f"Choose 1 to {len(self.sources)}, counted from the left.",
            )
        if self.found[at].eye_distance < LEAST_EYES or not usable(self.found[at].landmarks):
            raise FaceTooSmall(
                f"The face in {self.name} is too small: its eyes are "
                f"{self.found[at].eye_distance:.0f} pixels apart.",
                "Take a picture that shows the face larger.",
            )
        return self.sources[at]

    def describe(self, index: int | None = None) -> str:
        """For people: which of several faces is taken; empty where there is only one."""
        if len(self.sources) == 1:
            return ""
        at = self.chosen if index is None else index
        why = "the largest" if index is None else "as asked"
        return (
            f"{self.name} shows {len(self.sources)} faces; number {at + 1} from the left is "
            f"taken, {why}."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A face that is put in, as it was asked for.

    Attributes:
        label: What the user calls the picture: a file's name or an id.
        source: The face, without embedding.
        index: Which one of the picture, from left to right, from 0; None: the largest.
        person: The number of the person of the stream whom it is for; None: nobody special.
        likeness: A picture of the person whom it is for, or None.
    """

    label: str
    source: SourceFace
    index: int | None = None
    person: int | None = None
    likeness: SourceFace | None = None


def read_picture(
    picture: bytes | Path, name: str, detector: MakeDetector, most_pixels: int | None = None
) -> FacePicture:
    """Find the faces of a picture.

    Args:
        picture: Its bytes, or the file.
        name: For messages.
        detector: Makes a detector that looks at a width.
        most_pixels: Width times height that is still read; None: ``picture.MOST_PIXELS``.

    Raises:
        PictureError: It cannot be read, or is too large.
        NoFace: It shows none.
        DetectionFailed: The detector's numbers make no sense.
    """
    limits = {} if most_pixels is None else {"most_pixels": most_pixels}
    return faces_of(load_face_picture(picture, **limits), name, detector)


def faces_of(image: Image, name: str, detector: MakeDetector) -> FacePicture:
    """Find the faces of a picture that is read already: ``uint8[h, w, 3]``, BGR.

    Raises:
        NoFace, DetectionFailed: See ``read_picture``.
    """
    found = find_faces(image, detector)
    if not found:
        raise NoFace(
            f"There is no face in {name}.",
            "Give a picture in which one face is seen from the front.",
        )
    largest = sorted(found, key=lambda face: -face.area)[:MOST_FACES]
    faces = tuple(sorted(largest, key=lambda face: face.centre[0]))
    sources = tuple(SourceFace(*_cut_out(image, face)) for face in faces)
    chosen = max(range(len(faces)), key=lambda index: faces[index].area)
    return FacePicture(name, faces, sources, chosen)


def find_faces(image: Image, detector: MakeDetector) -> list[Face]:
    """All faces of a still picture, best score first; empty where there are none."""
    found: list[Face] = []
    limit = TOO_WIDE * image.shape[1]
    for width in LOOK_AT:
        now = detector(width).detect(image)
        kept = [face for face in found if _width(face) < limit and not _within(face, now)]
        found = now + kept if now else found
        if found and max(_width(face) for face in found) < limit:
            break
    if found:
        return sorted(found, key=lambda face: -face.score)
    import cv2

    down, across = (round(side * BORDER) for side in image.shape[:2])
    grown = cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_REPLICATE)
    moved = detector(LOOK_AT[1]).detect(np.asarray(grown, np.uint8))
    return [_shifted(face, -across, -down) for face in moved]


def named_faces(names: Sequence[str], detector: MakeDetector) -> list[Chosen]:
    """The faces that settings name.

    Args:
        names: Paths of pictures; ``PICTURE#2`` takes the second face from the left.
        detector: See ``read_picture``.

    Raises:
        PictureError, NoFace, NoSuchFace, FaceTooSmall: A picture cannot be used.
    """
    chosen = []
    for name in names:
        path, index = _numbered(name)
        picture = read_picture(path, path.name, detector)
        source = picture.source(index)
        if picture.describe(index):
            log.info("%s", picture.describe(index))
        chosen.append(Chosen(path.name, source, index))
    return chosen


def _numbered(name: str) -> tuple[Path, int | None]:
    path, mark, number = name.rpartition("#")
    if mark and number.isdecimal() and not Path(name).exists():
        return Path(path), int(number) - 1
    return Path(name), None


def recognised(sources: Sequence[SourceFace], recogniser: Recogniser | None) -> list[SourceFace]:
    """The same faces with embeddings, where there is something to make them.

    Raises:
        RecognitionFailed: The numbers make no sense.
    """
    if recogniser is None:
        return list(sources)
    return [
        SourceFace(
            source.image,
            source.face.with_embedding(recogniser.embed(source.image, [source.face])[0]),
        )
        for source in sources
    ]


def _cut_out(image: Image, face: Face) -> tuple[Image, Face]:
    """The face with its surroundings, at most ``LARGEST`` pixels, and where it is in that."""
    import cv2

    margin = AROUND * (face.box[2:] - face.box[:2])
    height, width = image.shape[:2]
    low = np.clip(np.floor(face.box[:2] - margin), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(face.box[2:] + margin), low + 1, (width, height)).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    moved = _shifted(face, -int(low[0]), -int(low[1]))
    scale = LARGEST / max(part.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(part), moved
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    factor = np.array([size[0] / part.shape[1], size[1] / part.shape[0]], np.float32)
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, replace(
        moved,
        box=moved.box * np.tile(factor, 2),
        landmarks=((moved.landmarks + 0.5) * factor - 0.5).astype(np.float32),
    )


def _shifted(face: Face, right: int, down: int) -> Face:
    move = np.array([right, down], np.float32)
    return replace(face, box=face.box + np.tile(move, 2), landmarks=face.landmarks + move)


def _width(face: Face) -> float:
    return float(face.box[2] - face.box[0])


def _within(face: Face, others: Sequence[Face]) -> bool:
    x, y = face.centre
    return any(one.box[0] <= x <= one.box[2] and one.box[1] <= y <= one.box[3] for one in others)
