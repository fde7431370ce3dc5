"""Clips as the nodes of a motion graph: what of them is played, and where they may be entered."""

from dataclasses import dataclass
from typing import Protocol

from engine.motion import loops
from engine.motion.bridges import Picture
from engine.motion.features import ClipFeatures, FaceFinder, describe
from engine.motion.graph import ClipNode, MotionSettings
from engine.motion.screening import screen

_ACTION_START_SECONDS = 0.4


class Pictures(Protocol):
    """Pictures of a clip by number: I420, uint8, shape (height * 3 // 2, width)."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int) -> Picture:
        """Return one; it is not changed."""


@dataclass(frozen=True, slots=True)
class ClipSource:
    """A clip to be built into a graph.

    Attributes:
        name: For people.
        state, action: What it is shown for; exactly one is not None.
        fingerprint: Names the content of its pictures.
        pictures: All of them, normalised.
    """

    name: str
    state: str | None
    action: str | None
    fingerprint: str
    pictures: Pictures


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """A clip that can be linked.

    Attributes:
        node: Its place in the graph.
        features: Of all its pictures.
        fingerprint: As in ``ClipSource``.
        fps: Pictures per second.
        end_cost: The highest cost of going on at the end of one of its parts.
    """

    node: ClipNode
    features: ClipFeatures
    fingerprint: str
    fps: float
    end_cost: float

    @property
    def played(self) -> list[int]:
        """All pictures of the parts."""
        return [picture for part in self.node.parts for picture in range(part.start, part.stop)]

    def entries(self) -> list[int]:
        """Keyframes at which the clip may be entered."""
        node = self.node
        if node.is_action:
            part = node.parts[0]
            last = part.start + min(round(_ACTION_START_SECONDS * self.fps), len(part) // 3)
            return [picture for picture in node.keyframes if picture <= last]
        return [
            picture
            for picture in node.keyframes
            if node.part_of(picture).stop - picture
            > min(loops.tail_of(node.part_of(picture), self.fps), 2)
        ] or [part.start for part in node.parts]


def prepare(
    clip: ClipSource, fps: float, settings: MotionSettings, faces: FaceFinder | None = None
) -> PreparedClip:
    """Look at a clip and decide what of it is played and where it may be entered.

    Args:
        clip: At least one picture.
        fps: Pictures per second.
        settings: How jumps are made.
        faces: Finds landmarks for aligning; optional.
    """
    features = describe((clip.pictures[index] for index in range(len(clip.pictures))), faces)
    screening = screen(clip.name, features, fps)
    parts, end_cost = screening.parts, 0.0
    warnings = list(screening.warnings)
    if clip.action is None:
        parts, end_cost = loops.trimmed(
            features, parts, screening.natural_step, settings.max_step, fps
        )
    else:
        parts = tuple(part for part in parts if len(part) > 1) or parts
    node = ClipNode(
        name=clip.name,
        state=clip.state,
        action=clip.action,
        count=len(features),
        parts=parts,
        keyframes=loops.choose_keyframes(features, parts, settings.keyframe_interval, fps),
        natural_step=screening.natural_step,
        steps=tuple(round(float(value), 3) for value in features.steps),
        warnings=tuple(warnings),
    )
    return PreparedClip(node, features, clip.fingerprint, fps, end_cost)
