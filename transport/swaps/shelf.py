"""Pictures of faces that callers have sent, kept for a while."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from engine.clock import Clock
from engine.errors import NotFound
from processors.swap.faces import FacePicture


class FaceNotFound(NotFound):
    """No picture of a face is kept under this id."""


@dataclass(slots=True)
class _Kept:
    picture: FacePicture
    used_at: float


class FaceShelf:
    """Keeps the faces of pictures, not the pictures, under ids that cannot be guessed.

    Streams hold what they use themselves: forgetting a picture changes nothing for them.

    Args:
        most: Pictures kept; the one that was not used for the longest goes first.
        keep_s: Seconds after which one that nobody used is forgotten.
        clock: Monotonic seconds.
    """

    def __init__(self, most: int, keep_s: float, clock: Clock) -> None:
        self._most = most
        self._keep_s = keep_s
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def __len__(self) -> int:
        self._forget()
        return len(self._kept)

    def put(self, picture: FacePicture) -> str:
        """Keep a picture; returns its id."""
        self._forget()
        face_id = "face_" + secrets.token_urlsafe(12)
        self._kept[face_id] = _Kept(picture, self._clock())
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return face_id

    def get(self, face_id: str) -> FacePicture:
        """A picture, which counts as used now.

        Raises:
            FaceNotFound: There is none of this id.
        """
        self._forget()
        kept = self._kept.get(face_id)
        if kept is None:
            raise _not_found(face_id)
        kept.used_at = self._clock()
        self._kept.move_to_end(face_id)
        return kept.picture

    def remove(self, face_id: str) -> None:
        """Forget a picture.

        Raises:
            FaceNotFound: There is none of this id.
        """
        self._forget()
        if self._kept.pop(face_id, None) is None:
            raise _not_found(face_id)

    def _forget(self) -> None:
        """Drop what was not used for long; the oldest use comes first."""
        oldest = self._clock() - self._keep_s
        while self._kept and next(iter(self._kept.values())).used_at < oldest:
            self._kept.popitem(last=False)


def _not_found(face_id: str) -> FaceNotFound:
    return FaceNotFound(
        f"There is no face {face_id[:100]!r}.", "It may have been forgotten; POST /faces again."
    )
