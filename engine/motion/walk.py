"""Playing a motion graph: which picture comes next, for ever, without a visible repetition.

Pure and without numpy: a step costs some microseconds, and the same seed gives the same walk.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from math import exp
from random import Random

from engine.errors import StateNotFound
from engine.motion.routes import Route, Routes
from engine.motion.step import REST_STATE, Step

_WINDOW_SECONDS = 3.0
_MEMORY_SECONDS = 600.0
_SHORTEST_RUN_SECONDS = 0.5
_LONGEST_RUN_SECONDS = 1.5
_COST_SCALE = 0.5
_TOLERATED = 1
_FORESIGHT = 4
_WAITING_COST = 0.15


_Path = tuple[tuple[int, int], ...]
"""Jumps and when their first bridge picture was shown, in pictures since the start."""


def _since(path: Iterable[tuple[int, int]], oldest: int) -> tuple[int, ...]:
    return tuple(number for number, shown in path if shown > oldest)


class GraphWalk:
    """Walks through a motion graph picture by picture, for ever.

    A request is served within ``spacing`` pictures when a clip's picture was shown last; while a
    bridge is shown it is played to its end first. Within a state, runs between loop jumps have
    lengths drawn by chance, and of several ways the one that was seen least in the last ten
    minutes is taken, so that orders of pictures hardly come again.

    Args:
        routes: Of the avatar.
        seed: Of the generator of chance.
    """

    def __init__(self, routes: Routes, seed: int) -> None:
        self._routes = routes
        self._random = Random(seed)
        self._state = REST_STATE
        self._action: str | None = None
        self._shown = REST_STATE
        self._finished: str | None = None
        self._bridge: deque[int] = deque()
        self._entry: int | None = self._random.choice(routes.starts[REST_STATE])
        self._index = self._entry
        self._waited = 0
        self._planned: int | None = None
        self._run = 0
        self._patience = self._draw_patience()
        self._seen = _Memory(round(_MEMORY_SECONDS * routes.fps))
        self._recent: deque[tuple[int, int]] = deque()
        self._window = round(_WINDOW_SECONDS * routes.fps)
        self._count = 0

    @property
    def state(self) -> str:
        """The state or action that the walk is in, or is about to enter."""
        return self._action or self._state

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that can be requested: the states, then the actions."""
        return (*self._routes.states, *self._routes.actions)

    def request(self, name: str) -> None:
        """Go to a state for good, or play an action once and return.

        Asking for what is already played or about to be changes nothing.

        Raises:
            StateNotFound: There is no state or action of this name.
        """
        if name in self._routes.actions:
            changed = name != self._action
            self._action = name
        elif name in self._routes.states:
            changed = name != self.state
            self._action, self._state = None, name
        else:
            raise StateNotFound(
                f"There is no state or action {name!r}.", f"Valid: {', '.join(self.names)}."
            )
        if changed:
            self._waited = 0
            self._planned = None

    def plan(self, name: str, earliest: int) -> int | None:
        """Go to a state at a picture that is known ahead.

        Until then the walk goes straight on.

        Args:
            name: The state.
            earliest: Least pictures that come before the state's first one.

        Returns:
            How many pictures come before it; 0 where the state is being played; None, and nothing
            has changed, where the clip that plays ends before: ask again later.

        Raises:
            StateNotFound: There is no state of this name.
        """
        if name not in self.names or self._shown == name:
            self.request(name)
            return 0
        before = len(self._bridge) + (self._entry is not None)
        index = self._index if self._entry is None else self._entry
        exits, lasts = self._routes.exits[name], self._routes.lasts
        while index not in lasts and (before < earliest or index not in exits):
            index, before = index + 1, before + 1
        if before < earliest:
            return None
        self.request(name)
        self._planned = self._count + before
        return before

    def next(self) -> Step:
        """Return the next picture."""
        self._count += 1
        self._waited += 1
        if self._bridge:
            self._index = self._bridge.popleft()
        elif self._entry is not None:
            self._index, self._entry = self._entry, None
            self._run = 0
        else:
            self._advance(self._index)
        finished, self._finished = self._finished, None
        return Step(self._index, self._index in self._routes.keyframes, self._shown, finished)

    def _advance(self, index: int) -> None:
        """Go on from a picture of a clip: to the next one, or into a bridge."""
        route = None
        if self._planned is not None:
            arrived = self._count > self._planned
            route = self._routes.exits[self.state][index] if arrived else None
        elif self._shown != self.state:
            route = self._leaving(index)
        elif index in self._routes.ends:
            self._finished, self._action = self._action, None
            route = self._routes.exits[self._state][index]
        elif index in self._routes.onward:
            route = self._wandering(index, self._routes.onward[index])
        if route is None:
            self._index = index + 1
            self._run += 1
        else:
            self._enter(route)

    def _enter(self, route: Route) -> None:
        self._bridge.extend(range(route.bridge, route.bridge + route.length))
        self._entry = route.entry
        self._shown = route.group
        self._planned = None
        self._waited = 0
        self._patience = self._draw_patience()
        self._recent.append((route.number, self._count))
        self._index = self._bridge.popleft()

    def _leaving(self, index: int) -> Route | None:
        """Return the exit to what was asked for, or None to wait for a better one nearby."""
        exits = self._routes.exits[self.state]
        left = self._routes.spacing - self._waited
        here = exits.get(index)
        if here is None or index in self._routes.lasts:
            return here
        for ahead in range(1, left + 1):
            later = exits.get(index + ahead)
            if later is not None and later.cost + _WAITING_COST * ahead < here.cost:
                return None
            if index + ahead in self._routes.lasts:
                break
        return here

    def _wandering(self, index: int, routes: Sequence[Route]) -> Route | None:
        """Choose a loop jump, or None to go on."""
        self._forget()
        path = tuple(self._recent)
        self._seen.add((index, _since(path, self._count - self._window)))
        familiar = {r: self._after_jump(r, self._count, path, _FORESIGHT) for r in routes}
        least = min(familiar.values())
        freshest = [route for route in routes if familiar[route] == least]
        if index in self._routes.lasts:
            return self._draw(freshest)
        onward = self._ahead(index + 1, self._count + 1, path, _FORESIGHT)
        if onward < least or (onward == least and self._run < self._patience):
            return None
        if onward < _TOLERATED and self._run < _SHORTEST_RUN_SECONDS * self._routes.fps:
            return None
        return self._draw(freshest)

    def _after_jump(self, route: Route, count: int, path: _Path, depth: int) -> int:
        """Return how familiar the best way is that begins with a jump."""
        entered = count + route.length + 1
        return self._ahead(route.entry, entered, (*path, (route.number, count + 1)), depth)

    def _ahead(self, index: int, count: int, path: _Path, depth: int) -> int:
        """Return how familiar the best way is from a picture on.

        Args:
            index: The picture.
            count: When it will be shown, in pictures since the start.
            path: The jumps before it.
            depth: Choices to look ahead.
        """
        choice = self._routes.next_choice[index]
        count += choice - index
        seen = self._seen.count((choice, _since(path, count - self._window)))
        if depth == 0 or not seen:
            return seen
        ways = [
            self._after_jump(r, count, path, depth - 1) for r in self._routes.onward.get(choice, ())
        ]
        if choice not in self._routes.lasts:
            ways.append(self._ahead(choice + 1, count + 1, path, depth - 1))
        return max(seen, min(ways, default=seen))

    def _forget(self) -> None:
        while self._recent and self._recent[0][1] <= self._count - self._window:
            self._recent.popleft()

    def _draw(self, routes: Sequence[Route]) -> Route:
        weights = [exp(-min(route.cost, 20.0) / _COST_SCALE) for route in routes]
        return self._random.choices(routes, weights)[0]

    def _draw_patience(self) -> int:
        seconds = self._random.uniform(_SHORTEST_RUN_SECONDS, _LONGEST_RUN_SECONDS)
        return round(seconds * self._routes.fps)


_Window = tuple[int, tuple[int, ...]]
"""The last picture of a window of time and the jumps inside it, which give all its pictures."""


class _Memory:
    """How often each window of pictures was seen lately.

    Only windows that end where there is a choice are counted: all others lie between two of them
    and come no more often.

    Args:
        capacity: How many windows are remembered.
    """

    def __init__(self, capacity: int) -> None:
        self._order: deque[_Window] = deque()
        self._counts: Counter[_Window] = Counter()
        self._capacity = capacity

    def count(self, window: _Window) -> int:
        return self._counts.get(window, 0)

    def add(self, window: _Window) -> None:
        self._order.append(window)
        self._counts[window] += 1
        if len(self._order) > self._capacity:
            oldest = self._order.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]
