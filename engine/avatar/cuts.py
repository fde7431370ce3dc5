"""Which encoded picture comes next, with hard cuts between clips at keyframes."""

import random
from collections.abc import Mapping, Sequence

from engine.avatar.pack import Pack, PackedClip
from engine.errors import StateNotFound
from engine.motion.step import REST_STATE, Step


class CutWalk:
    """Walks through the clips of a pack picture by picture, for ever.

    A clip is entered at its first picture. A request is served at the next step, or one step
    later when the picture just played was a keyframe: two IDR pictures in a row could carry the
    same ``idr_pic_id``, which H.264 (7.4.3) forbids.

    Args:
        pack: What to walk through.
        seed: Of the generator that chooses among several clips of a state.
    """

    def __init__(self, pack: Pack, seed: int) -> None:
        self._states = _clips_by_state(pack.clips)
        self._actions = {clip.action: clip for clip in pack.clips if clip.action is not None}
        self._random = random.Random(seed)
        self._state = REST_STATE
        self._action: str | None = None
        self._clip = self._choose(REST_STATE)
        self._keyframes = frozenset(k for clip in pack.clips for k in clip.keyframes)
        self._index = self._clip.first - 1
        self._leaving = False
        self._wait = 0

    @property
    def state(self) -> str:
        """The state or action that the walk is in, or is about to enter."""
        return self._action or self._state

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that can be requested: the states, then the actions."""
        return (*self._states, *self._actions)

    def request(self, name: str) -> None:
        """Go to a state for good, or play an action once and return.

        Raises:
            StateNotFound: There is no state or action of this name.
        """
        if name in self._actions:
            self._action = name
        elif name in self._states:
            if name == self.state:
                return
            self._action, self._state = None, name
        else:
            raise StateNotFound(
                f"There is no state or action {name!r}.", f"Valid: {', '.join(self.names)}."
            )
        self._leaving = True
        self._wait = 0

    def plan(self, name: str, earliest: int) -> int | None:
        """Go to a state at a picture that is known ahead.

        Args:
            name: The state.
            earliest: Least pictures that come before the state's first one.

        Returns:
            How many pictures come before it; 0 where the state is being played; None, and nothing
            has changed, where the clip that plays ends before: ask again later.

        Raises:
            StateNotFound: There is no state of this name.
        """
        left = self._clip.first + self._clip.count - 1 - self._index
        if earliest > left and name in self.names:
            return None
        self.request(name)
        if not self._leaving:
            return 0
        self._wait = earliest
        if self._wait < left and self._index + self._wait in self._keyframes:
            self._wait += 1
        return self._wait

    def next(self) -> Step:
        """Return the next picture."""
        finished = None
        waiting, self._wait = self._wait > 0, max(0, self._wait - 1)
        if self._leaving and not waiting and self._index not in self._keyframes:
            self._leaving = False
            self._enter()
        elif self._index + 1 < self._clip.first + self._clip.count:
            self._index += 1
        else:
            self._leaving = False
            if self._clip.action is not None and self._clip.action == self._action:
                finished, self._action = self._action, None
            self._enter()
        clip = self._clip
        return Step(
            self._index, self._index in self._keyframes, clip.action or clip.state or "", finished
        )

    def _enter(self) -> None:
        self._clip = self._actions[self._action] if self._action else self._choose(self._state)
        self._index = self._clip.first

    def _choose(self, state: str) -> PackedClip:
        return self._random.choice(self._states[state])


def _clips_by_state(clips: Sequence[PackedClip]) -> Mapping[str, list[PackedClip]]:
    states: dict[str, list[PackedClip]] = {}
    for clip in clips:
        if clip.state is not None:
            states.setdefault(clip.state, []).append(clip)
    return states
