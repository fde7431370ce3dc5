"""Who waits for memory, in which order, and when all wait for each other. No threads of its own."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass

NOT_TRIED = -1
"""State of the books of a ticket that does not wait for other threads."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the line.

    Attributes:
        thread: Id of the thread that waits.
        nested: The thread holds memory already.
        devices: Where it needs some.
        tried: State of the books at which it last found that it has to wait for other threads.
        deadline: When it stops waiting for other processes; None: it does not wait for any.
        stuck: It can only wait for those who wait for it.
        number: Grows with each arrival.
    """

    thread: int
    nested: bool
    devices: Collection[str] = ()
    tried: int = NOT_TRIED
    deadline: float | None = None
    stuck: bool = False
    number: int = 0


class Line:
    """First come, first served on each device, except that who holds memory goes before.

    Those who hold some while they ask for more end the sooner, and give back all of it: among them
    any that fits may go. Everybody else waits for those before them who need the same device, even
    if it would fit: a large reservation must not starve behind many small ones.
    """

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []
        self._numbers = itertools.count()

    def join(self, ticket: Ticket) -> None:
        """Stand in line."""
        ticket.number = next(self._numbers)
        self._tickets.append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Leave it, served or not."""
        self._tickets.remove(ticket)

    def may_go(self, ticket: Ticket) -> bool:
        """Whether nobody who needs the same device goes before."""
        if ticket.nested:
            return True
        before = (t for t in self._tickets if t.nested or t.number < ticket.number)
        return all(set(other.devices).isdisjoint(ticket.devices) for other in before)

    def find_stuck(self, holders: Collection[int], state: int) -> bool:
        """Mark the last comer of those who wait for each other; return whether there is one.

        Args:
            holders: Threads that hold memory.
            state: Of the books, now.
        """
        waiting = {t.thread for t in self._tickets if t.tried == state}
        nested = [t for t in self._tickets if t.nested and t.thread in waiting]
        if nested and set(holders) <= waiting and not any(t.stuck for t in nested):
            max(nested, key=lambda t: t.number).stuck = True
            return True
        return False
