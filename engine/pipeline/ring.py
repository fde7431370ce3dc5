"""A bounded buffer between two threads with a named drop policy.

``DROP_OLDEST``
    A put never waits: when full, the oldest item goes. Gets are first in, first out.
``WAIT``
    A put waits for room: nothing is lost.
``LATEST``
    A put as with ``DROP_OLDEST``; a get takes the newest and discards what is older. A get of
    several takes items spread evenly over those waiting, the newest included: the consumer sees
    all of the time that has passed at the rate it can sustain, instead of a burst and a gap.

Every discarded item is counted. Capacity is a bound, not a delay.
"""

import threading
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Generic, TypeVar

from engine.clock import Clock, monotonic

T = TypeVar("T")


class DropPolicy(StrEnum):
    """What happens when the producer is faster than the consumer."""

    DROP_OLDEST = "drop_oldest"
    WAIT = "wait"
    LATEST = "latest"


class RingClosed(Exception):
    """The ring has been closed: no more puts, and nothing is left to get."""


def spread(items: Sequence[T], limit: int) -> list[T]:
    """At most ``limit`` of ``items`` in order, evenly spaced, the last always among them."""
    count = len(items)
    if count <= limit:
        return list(items)
    return [items[(index + 1) * count // limit - 1] for index in range(limit)]


class Ring(Generic[T]):
    """The buffer; any number of threads may put and get.

    Args:
        capacity: The most items held.
        policy: See the module; may be changed while in use.
        clock: Seconds; used for time limits and for the rhythm of arrivals.
    """

    def __init__(self, capacity: int, policy: DropPolicy, clock: Clock = monotonic) -> None:
        if capacity < 1:
            raise ValueError(f"a ring needs a capacity of at least 1, not {capacity}")
        self.capacity = capacity
        self._policy = policy
        self._clock = clock
        self._items: deque[T] = deque()
        self._closed = False
        self._dropped = 0
        self._arrived_at = float("-inf")
        self._interval = float("inf")
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def dropped(self) -> int:
        """Items discarded by the policy so far."""
        return self._dropped

    @property
    def policy(self) -> DropPolicy:
        """What happens when the producer is faster than the consumer."""
        return self._policy

    @policy.setter
    def policy(self, policy: DropPolicy) -> None:
        with self._lock:
            self._policy = policy
            self._emptied.notify_all()

    @property
    def closed(self) -> bool:
        """No more puts are accepted; what is held can still be got."""
        return self._closed

    def put(self, item: T, timeout: float | None = None) -> bool:
        """Add an item.

        Args:
            item: What to add.
            timeout: Seconds to wait for room under ``WAIT``; None waits until there is room.

        Returns:
            False if there was no room in time (only under ``WAIT``).

        Raises:
            RingClosed: The ring is or becomes closed.
        """
        with self._lock:
            if not self._wait_for_room(timeout):
                return False
            if len(self._items) >= self.capacity:
                self._items.popleft()
                self._dropped += 1
            now = self._clock()
            self._interval, self._arrived_at = now - self._arrived_at, now
            self._items.append(item)
            self._filled.notify()
            return True

    def get(self, timeout: float | None = None) -> T | None:
        """Take one item: the oldest, or under ``LATEST`` the newest; None when none came in time.

        Raises:
            RingClosed: The ring is closed and empty.
        """
        taken = self.take(1, timeout=timeout)
        return taken[0] if taken else None

    def take(self, limit: int, linger: float = 0.0, timeout: float | None = None) -> list[T]:
        """Take up to ``limit`` items in the order in which they were put.

        Args:
            limit: The most items to take.
            linger: Seconds to wait for more once there is one. It is only waited when, going by
                the spacing of the last two arrivals, another can be expected within it.
            timeout: Seconds to wait for the first item; None waits for it.

        Returns:
            The items; empty when none came in time.

        Raises:
            RingClosed: The ring is closed and empty.
        """
        with self._lock:
            if not self._wait_for_item(timeout):
                return []
            if linger > 0.0 and len(self._items) < limit:
                self._linger(limit, linger)
            if self._policy is DropPolicy.LATEST:
                taken = spread(self._items, limit)
                self._dropped += len(self._items) - len(taken)
                self._items.clear()
            elif limit == 1 and self._items:
                taken = [self._items.popleft()]
            else:
                taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            self._emptied.notify_all()
            return taken

    def close(self) -> None:
        """End of the stream: puts are refused, what is held can still be got."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
            self._emptied.notify_all()

    def abort(self) -> None:
        """Close and discard what is held: every waiting thread wakes at once."""
        with self._lock:
            self._closed = True
            self._items.clear()
            self._filled.notify_all()
            self._emptied.notify_all()

    def clear(self) -> int:
        """Discard what is held, counted as dropped; returns how many."""
        with self._lock:
            count = len(self._items)
            self._dropped += count
            self._items.clear()
            self._emptied.notify_all()
            return count

    def _wait_for_room(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else self._clock() + timeout
        while True:
            if self._closed:
                raise RingClosed
            if self._policy is not DropPolicy.WAIT or len(self._items) < self.capacity:
                return True
            if not self._wait(self._emptied, deadline):
                return False

    def _wait_for_item(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else self._clock() + timeout
        while not self._items:
            if self._closed:
                raise RingClosed
            if not self._wait(self._filled, deadline):
                return False
        return True

    def _linger(self, limit: int, linger: float) -> None:
        deadline = self._clock() + linger
        while 0 < len(self._items) < limit and not self._closed:
            if self._arrived_at + self._interval > deadline:
                return
            if not self._wait(self._filled, deadline):
                return

    def _wait(self, condition: threading.Condition, deadline: float | None) -> bool:
        """False when the deadline has passed."""
        if deadline is None:
            condition.wait()
            return True
        remaining = deadline - self._clock()
        if remaining <= 0.0:
            return False
        condition.wait(remaining)
        return True
