"""One face on its way through the frames."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from processors.faces.align import inverse, scale_of, transformed
from processors.faces.face import Face
from processors.faces.flow import EYES, FaceFlow, GreyPicture
from processors.faces.identity import Identity
from processors.faces.settings import TrackingSettings
from processors.faces.smoothing import OneEuro, Values

_DOUBT = 0.5
_OFF = 0.12


class Track:
    """A face that is followed.

    Landmarks and box are smoothed in the crop in which flow makes the face stand still, in units of
    the distance of the eyes. So smoothing never lags behind motion: it holds back only what differs
    from it, the noise of the detector.

    Args:
        person: Who it is.
        face: As detected.
        picture: The frame in which it was.
        at: The time of that frame, in seconds.
        settings: Of the smoothing.
    """

    def __init__(
        self,
        person: Identity,
        face: Face,
        picture: GreyPicture,
        at: float,
        settings: TrackingSettings,
    ) -> None:
        self.person = person
        self.face = face
        self.missed = 0
        self.fresh = True
        self.followed = True
        self.hidden = False
        self._flow = FaceFlow.starting(picture, face.landmarks)
        self._settings = settings
        self._corrected_at = at
        self._smooth = self._smoothing(face)

    @property
    def doubtful(self) -> bool:
        """Whether a detector should look, even out of turn."""
        return self.missed > 0 or not self.followed or self._flow.confidence < _DOUBT

    def follow(self, picture: GreyPicture) -> None:
        """Carry the face into the next frame."""
        self.fresh = False
        self.followed = self._flow.follow(picture)
        if not self.followed:
            return
        if self._flow.worn:
            self._smooth.shift(self._local_motion())
            self._flow.renew(picture)
        self._place()

    def correct(self, face: Face, picture: GreyPicture, at: float) -> None:
        """Take in that the face was detected at the present frame."""
        measured, moved = self._measured(face), self._local_motion()
        off = np.abs(measured[:5] - self._smooth.value[:5] - moved[:5]).mean()
        # Flow that is so far off held on to something else, e.g. to what covered the face.
        if not self.followed or off > _OFF:
            self._flow = FaceFlow.starting(picture, face.landmarks)
            self._smooth = self._smoothing(face)
        else:
            self._smooth.update(measured - moved, at - self._corrected_at)
        self._corrected_at = at
        self.missed, self.fresh, self.followed = 0, True, True
        self.face = face
        self._place()

    def _place(self) -> None:
        """Bring what is known of the face into the present picture."""
        values = (self._smooth.value + self._local_motion()) * EYES
        back = inverse(self._flow.transform)
        centre = transformed(values[5:6], back)[0]
        half = (values[6] * (scale_of(back) / 2)).astype(np.float32)
        self.face = replace(
            self.face,
            box=np.concatenate([centre - half, centre + half]),
            landmarks=transformed(values[:5], back),
            contour=None,
        )

    def _smoothing(self, face: Face) -> OneEuro:
        settings = self._settings
        return OneEuro(self._measured(face), settings.min_cutoff_hz, settings.beta)

    def _measured(self, face: Face) -> Values:
        """Landmarks, centre and size in the still crop, in distances of the eyes: ``[7, 2]``."""
        transform = self._flow.transform
        points = transformed([*face.landmarks, face.centre], transform)
        size = (face.box[2:] - face.box[:2]) * scale_of(transform)
        return np.vstack([points, size]).astype(np.float64) / EYES

    def _local_motion(self) -> Values:
        """What flow saw the landmarks do beside the motion of the whole; shaped as the state."""
        moved = np.zeros((7, 2))
        moved[:5] = self._flow.local_motion(self._smooth.value[:5] * EYES) / EYES
        return moved


def overlap(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Intersection over union of two boxes, 0..1."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = float(np.prod(np.maximum(high - low, 0.0)))
    areas = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]))
    return shared / max(areas - shared, 1e-6)
