"""All that can be known of the faces in one picture."""

from dataclasses import dataclass, replace
from enum import Flag, auto

from engine.errors import InvalidInput, MissingDependency
from engine.pipeline.frame import Image
from processors.faces.attributes import SexAndAge
from processors.faces.detector import FaceDetector
from processors.faces.face import Face
from processors.faces.landmarks import Contours
from processors.faces.recognition import Recogniser


class Want(Flag):
    """What is to be found out beside box and landmarks."""

    NOTHING = 0
    CONTOUR = auto()
    EMBEDDING = auto()
    SEX_AND_AGE = auto()


class NoFace(InvalidInput):
    """There is no face in the picture."""


class NoSuchFace(InvalidInput):
    """The picture has fewer faces than the one asked for."""


@dataclass(frozen=True, slots=True)
class ChosenFace:
    """One face out of a picture.

    Attributes:
        face: The face.
        index: Its place from left to right, from 0.
        count: How many faces the picture has.
    """

    face: Face
    index: int
    count: int

    def describe(self) -> str:
        """For people: which of several faces was taken; empty where there is only one."""
        if self.count == 1:
            return ""
        return f"{self.count} faces; taken: number {self.index + 1} from the left."


class FaceAnalyser:
    """Runs the detector and then, for all faces at once, each model whose result is wanted.

    Args:
        detector: Finds the faces.
        contours: For ``Want.CONTOUR``.
        recogniser: For ``Want.EMBEDDING``.
        sex_and_age: For ``Want.SEX_AND_AGE``.
    """

    def __init__(
        self,
        detector: FaceDetector,
        contours: Contours | None = None,
        recogniser: Recogniser | None = None,
        sex_and_age: SexAndAge | None = None,
    ) -> None:
        self._detector = detector
        self._contours = contours
        self._recogniser = recogniser
        self._sex_and_age = sex_and_age

    @property
    def able(self) -> Want:
        """What there are models for."""
        parts = {
            Want.CONTOUR: self._contours,
            Want.EMBEDDING: self._recogniser,
            Want.SEX_AND_AGE: self._sex_and_age,
        }
        able = Want.NOTHING
        for want, part in parts.items():
            able |= want if part is not None else Want.NOTHING
        return able

    def analyse(self, image: Image, want: Want = Want.NOTHING) -> list[Face]:
        """The faces in a picture, best score first.

        Args:
            image: ``uint8[h, w, 3]``, BGR.
            want: What is to be known of them.

        Raises:
            MissingDependency: There is no model for what is wanted.
            DetectionFailed, RecognitionFailed: A model's numbers make no sense.
        """
        missing = want & ~self.able
        if missing:
            names = ", ".join((part.name or "").lower() for part in missing)
            raise MissingDependency(
                f"No model is loaded that gives a face's {names}.",
                "Add it to the settings, or do without what needs it.",
            )
        faces = self._detector.detect(image)
        if not faces:
            return []
        if Want.CONTOUR in want and self._contours is not None:
            contours = self._contours.find(image, faces)
            faces = [replace(f, contour=c) for f, c in zip(faces, contours, strict=True)]
        if Want.EMBEDDING in want and self._recogniser is not None:
            embeddings = self._recogniser.embed(image, faces)
            faces = [f.with_embedding(e) for f, e in zip(faces, embeddings, strict=True)]
        if Want.SEX_AND_AGE in want and self._sex_and_age is not None:
            guesses = self._sex_and_age.guess(image, faces)
            faces = [replace(f, sex=g.sex, age=g.age) for f, g in zip(faces, guesses, strict=True)]
        return faces

    def only_face(
        self, image: Image, name: str, index: int | None = None, want: Want = Want.NOTHING
    ) -> ChosenFace:
        """The face of a picture that is to be the source of a swap.

        Args:
            image: ``uint8[h, w, 3]``, BGR.
            name: Of the picture, for messages.
            index: Which face from left to right, from 0; None takes the largest.
            want: See ``analyse``.

        Raises:
            NoFace: There is none.
            NoSuchFace: There are fewer.
            MissingDependency, DetectionFailed, RecognitionFailed: See ``analyse``.
        """
        faces = sorted(self.analyse(image, want), key=lambda face: face.centre[0])
        if not faces:
            raise NoFace(
                f"There is no face in {name}.",
                "Give a picture in which one face is seen from the front.",
            )
        if index is None:
            index = max(range(len(faces)), key=lambda n: faces[n].area)
        if not 0 <= index < len(faces):
            raise NoSuchFace(
                f"{name} has {len(faces)} faces; there is no number {index + 1}.",
                f"Choose 1 to {len(faces)}, counted from the left.",
            )
        return ChosenFace(faces[index], index, len(faces))
