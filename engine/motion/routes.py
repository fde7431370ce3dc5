"""A motion graph in the numbers of a pack, in the form that walks read."""

from dataclasses import dataclass

from engine.motion.graph import Jump, JumpKind, MotionGraph


@dataclass(frozen=True, slots=True)
class Route:
    """A jump in the numbers of a pack.

    Attributes:
        number: Of the jump.
        bridge: First picture of its bridge.
        length: Pictures of its bridge.
        entry: The picture after them.
        group: The state or action that it leads to.
        cost: As in ``Jump``.
    """

    number: int
    bridge: int
    length: int
    entry: int
    group: str
    cost: float


class Routes:
    """A motion graph in the form that walks read; one serves all sessions of an avatar.

    Args:
        graph: The graph; its pictures are numbered by ``graph.numbering()``.
        fps: Pictures per second.
        spacing: Pictures within which a requested change begins.
        keyframes: Numbers of all pictures at which a decoder can start.
    """

    def __init__(
        self, graph: MotionGraph, fps: float, spacing: int, keyframes: frozenset[int]
    ) -> None:
        numbering = graph.numbering()
        self.fps = fps
        self.spacing = spacing
        self.keyframes = keyframes
        self.states = tuple(g for g in graph.groups if any(c.state == g for c in graph.clips))
        self.actions = tuple(group for group in graph.groups if group not in self.states)
        self.starts: dict[str, list[int]] = {}
        self.lasts: set[int] = set()
        self.ends: dict[int, str] = {}
        for clip, part, first in numbering.parts:
            node = graph.clips[clip]
            self.starts.setdefault(node.group, []).append(first)
            self.lasts.add(first + len(part) - 1)
            if node.is_action and part == node.parts[-1]:
                self.ends[first + len(part) - 1] = node.group
        self.onward: dict[int, tuple[Route, ...]] = {}
        self.exits: dict[str, dict[int, Route]] = {group: {} for group in graph.groups}
        self.next_choice: dict[int, int] = {}
        for number, jump in enumerate(graph.jumps):
            exit_ = numbering.place(jump.source, jump.exit)
            route = self._route(graph, number, jump, numbering.bridges[number])
            if jump.kind is JumpKind.TRANSITION:
                self.exits[route.group][exit_] = route
            else:
                self.onward[exit_] = (*self.onward.get(exit_, ()), route)
        for _, part, first in numbering.parts:
            choice = first + len(part) - 1
            for picture in range(choice, first - 1, -1):
                choice = picture if picture in self.onward else choice
                self.next_choice[picture] = choice

    @staticmethod
    def _route(graph: MotionGraph, number: int, jump: Jump, bridge: int) -> Route:
        return Route(
            number=number,
            bridge=bridge,
            length=jump.length,
            entry=graph.numbering().place(jump.target, jump.entry),
            group=graph.clips[jump.target].group,
            cost=jump.cost,
        )
