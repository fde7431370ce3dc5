"""Who was in a video, and who was swapped with whom."""

from dataclasses import dataclass
from typing import Any

from processors.swap.plan import SwapPlan
from processors.swap.processor import Person, PlanBox


@dataclass(slots=True)
class _Seen:
    first: int
    last: int
    frames: int = 0
    swapped: int = 0
    source: int | None = None


class Attendance(PlanBox):
    """A plan's box that counts who is seen in frames that come in order.

    Args:
        plan: What is done in all of them.
    """

    def __init__(self, plan: SwapPlan) -> None:
        self._seen: dict[int, _Seen] = {}
        self._frames = 0
        self._with_faces = 0
        self._people: tuple[Person, ...] = ()
        super().__init__(plan)
        self._frames = 0

    @property
    def people(self) -> tuple[Person, ...]:
        """Who is in the newest frame; whoever sets it has looked at one more frame."""
        return self._people

    @people.setter
    def people(self, people: tuple[Person, ...]) -> None:
        self._people = people
        for person in people:
            seen = self._seen.setdefault(person.id, _Seen(self._frames, self._frames))
            seen.last = self._frames
            seen.frames += 1
            if person.source is not None:
                seen.swapped += 1
                seen.source = person.source
        self._frames += 1
        self._with_faces += bool(people)

    @property
    def anybody(self) -> bool:
        """Whether any frame had a face."""
        return self._with_faces > 0

    @property
    def anybody_swapped(self) -> bool:
        """Whether any face was to be swapped."""
        return any(seen.swapped for seen in self._seen.values())

    def values(self) -> dict[str, Any]:
        """Return it as JSON: frames count from 0, sources from 0, persons from 1."""
        return {
            "frames_with_faces": self._with_faces,
            "people": [
                {
                    "person": number,
                    "source": seen.source,
                    "frames": seen.frames,
                    "swapped_frames": seen.swapped,
                    "first_frame": seen.first,
                    "last_frame": seen.last,
                }
                for number, seen in sorted(self._seen.items())
            ],
        }
