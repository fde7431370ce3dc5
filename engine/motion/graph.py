"""The motion graph: which picture of an avatar's clips may follow which.

Only data, without numpy, so that packs can be played where nothing is compiled. A *part* is a run
of pictures that play one after the other. A *jump* leaves a part after its exit picture, shows the
pictures of its bridge, and goes on at its entry picture, which is a keyframe.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class MotionSettings(BaseModel):
    """Loops and transitions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exit_spacing: int = Field(
        default=3, ge=1, le=50, description="A change of state begins within this many pictures."
    )
    speech_spacing: int = Field(
        default=2,
        ge=1,
        le=50,
        description="Speech, which waits for it, has its gesture begin within this many pictures; "
        "exit_spacing where the pack would become too large.",
    )
    bridge_lengths: tuple[int, ...] = Field(
        default=(2, 3, 4, 5),
        min_length=1,
        description="Numbers of pictures that a bridge may have, ascending.",
    )
    keyframe_interval: int = Field(
        default=10, ge=4, le=300, description="Most pictures from one keyframe to the next."
    )
    max_bridge_share: float = Field(
        default=1.6,
        gt=0.0,
        le=20.0,
        description="Most bridge pictures for each picture and each other state or action; "
        "with one other the pack stays below 3 times the clips.",
    )
    max_step: float = Field(
        default=0.8,
        gt=0.0,
        le=2.0,
        description="Largest good step in a bridge, in 95th percentiles of the livelier clip's.",
    )
    tries: int = Field(
        default=2, ge=1, le=32, description="Entries tried for an exit until a bridge is good."
    )
    loops_per_clip: int = Field(
        default=32, ge=1, le=1000, description="Most loop jumps inside a state's clip."
    )


class JumpKind(StrEnum):
    """Why a jump is there."""

    LOOP = "loop"
    """Within one state: chosen by chance, so that a clip never repeats itself."""

    TRANSITION = "transition"
    """To another state or action: taken when asked for, or when an action ends."""

    PASSAGE = "passage"
    """Inside an action, over pictures that cannot be shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """Pictures ``start`` to ``stop - 1`` of a clip, playable one after the other."""

    start: int
    stop: int

    @property
    def last(self) -> int:
        """The last picture, which is an exit."""
        return self.stop - 1

    def __contains__(self, picture: int) -> bool:
        return self.start <= picture < self.stop

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class ClipNode:
    """A clip in the graph.

    Attributes:
        name: For people.
        state: The state it belongs to, or None for an action's clip.
        action: The action it is, or None.
        count: Pictures in the clip, playable or not.
        parts: What is played of it, in order, without overlap.
        keyframes: Pictures of the parts that must be keyframes, ascending. Every part begins with
            one; no two are neighbours; none is the last picture of a part of more than one.
        natural_step: 95th percentile of the steps inside the clip (root-mean-square difference of
            consecutive pictures, grey 256x256, levels of 0 to 255).
        steps: Step from the picture before to each picture; 0 for the first.
        warnings: What is wrong with the clip, in sentences for its owner.
    """

    name: str
    state: str | None
    action: str | None
    count: int
    parts: tuple[Part, ...]
    keyframes: tuple[int, ...]
    natural_step: float
    steps: tuple[float, ...]
    warnings: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The state or action: what can be requested."""
        return self.action or self.state or ""

    @property
    def is_action(self) -> bool:
        """Whether it is played once and left at its end."""
        return self.action is not None

    def part_of(self, picture: int) -> Part:
        """Return the part that a picture is in.

        Raises:
            KeyError: The picture is not played.
        """
        for part in self.parts:
            if picture in part:
                return part
        raise KeyError(picture)


@dataclass(frozen=True, slots=True)
class Jump:
    """A way from one picture to another that does not follow it.

    Attributes:
        kind: Why it is there.
        source: Number of the clip that it leaves.
        exit: The last picture shown there.
        target: Number of the clip that it goes to.
        entry: The first picture shown there; a keyframe.
        length: Pictures of the bridge between them, at least 1.
        cost: The lower the less it is seen; below 1 is good.
        steps: The ``length + 1`` steps from exit to entry, as in ``ClipNode.steps``.
        natural_step: That of the livelier of the two clips.
        trust: Share of the pictures whose optical flow is consistent, 0 to 1.
        sharpness: Smallest variance of the Laplacian of a bridge picture, as a share of the ends'
            mean.
    """

    kind: JumpKind
    source: int
    exit: int
    target: int
    entry: int
    length: int
    cost: float
    steps: tuple[float, ...]
    natural_step: float
    trust: float
    sharpness: float

    @property
    def largest_step(self) -> float:
        """The largest step as a share of the natural one."""
        return max(self.steps) / self.natural_step


@dataclass(frozen=True, slots=True)
class MotionGraph:
    """All clips of an avatar and the jumps between them.

    Attributes:
        clips: In a fixed order; jumps name them by number.
        jumps: Sorted by source, exit, target and entry.
        warnings: What the owner could do better, in sentences.
    """

    clips: tuple[ClipNode, ...]
    jumps: tuple[Jump, ...]
    warnings: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """All states and actions, in the clips' order."""
        return tuple(dict.fromkeys(clip.group for clip in self.clips))

    def numbering(self) -> "Numbering":
        """Return where each picture is in a pack."""
        return Numbering.of(self)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings."""
        return {
            "clips": [asdict(clip) for clip in self.clips],
            "jumps": [asdict(jump) for jump in self.jumps],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "MotionGraph":
        """Rebuild a graph from ``to_json``.

        Raises:
            KeyError, TypeError, ValueError: The values are not those of a graph.
        """
        return cls(
            clips=tuple(
                ClipNode(
                    **{
                        **clip,
                        "parts": tuple(Part(**part) for part in clip["parts"]),
                        "keyframes": tuple(clip["keyframes"]),
                        "steps": tuple(clip["steps"]),
                        "warnings": tuple(clip["warnings"]),
                    }
                )
                for clip in values["clips"]
            ),
            jumps=tuple(
                Jump(**{**jump, "kind": JumpKind(jump["kind"]), "steps": tuple(jump["steps"])})
                for jump in values["jumps"]
            ),
            warnings=tuple(values["warnings"]),
        )


@dataclass(frozen=True, slots=True)
class Numbering:
    """The order of pictures in a pack: the parts of all clips, then the bridges of all jumps.

    Attributes:
        parts: For each part, in order: clip number, part, number of its first picture.
        bridges: Number of the first bridge picture of each jump.
        count: All pictures.
    """

    parts: tuple[tuple[int, Part, int], ...]
    bridges: tuple[int, ...]
    count: int

    @classmethod
    def of(cls, graph: MotionGraph) -> "Numbering":
        """Number the pictures of a graph."""
        pairs = [(number, part) for number, clip in enumerate(graph.clips) for part in clip.parts]
        firsts = list(accumulate((len(part) for _, part in pairs), initial=0))
        ends = list(accumulate((jump.length for jump in graph.jumps), initial=firsts[-1]))
        parts = tuple(
            (number, part, first) for (number, part), first in zip(pairs, firsts, strict=False)
        )
        return cls(parts, tuple(ends[:-1]), ends[-1])

    def place(self, clip: int, picture: int) -> int:
        """Return the number in the pack of a clip's picture.

        Raises:
            KeyError: The picture is not played.
        """
        for number, part, first in self.parts:
            if number == clip and picture in part:
                return first + picture - part.start
        raise KeyError((clip, picture))

    def pictures(self) -> Iterator[tuple[int, int]]:
        """Yield (clip number, picture) for every picture of the parts, in pack order."""
        for number, part, _ in self.parts:
            for picture in range(part.start, part.stop):
                yield number, picture
