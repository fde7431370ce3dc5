"""Waiting for memory and taking it: fair among threads, never in a circle, never in vain."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from engine.clock import Clock
from processors.models.memory_accounts import Accounts, Kept
from processors.models.memory_devices import CPU
from processors.models.memory_errors import NeverFits
from processors.models.memory_line import NOT_TRIED, Line, Ticket
from processors.models.memory_report import MemoryReport, ModelReport
from processors.models.memory_shares import Shares
from processors.models.session import OutOfMemory

_HINT = (
    "Choose a smaller size or model, end what else uses the memory, or raise memory.budgets or"
    " memory.ram."
)

_RETRY_AFTER_S = 30.0

_POLL_S = 0.25
"""How often who waits looks for what other processes hold, and whether its job was cancelled."""


class Checking(Protocol):
    """The part of a job's context that is needed here."""

    def check(self) -> None:
        """Raise if the job has to end."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants to reserve.

    Attributes:
        key: Of the model it is for, which must not go to make room.
        device: Where that is wanted.
        needs: Returns the bytes by device; None while somebody else has the model.
        take: Called once all is there; has to count it as held.
    """

    key: str
    device: str
    needs: Callable[[], Mapping[str, int] | None]
    take: Callable[[], None]


@dataclass(slots=True, eq=False)
class Lease:
    """A model in use.

    Attributes:
        kept: The model.
        device: Where.
        working: Bytes that are reserved besides it.
        thread: Id of the thread that uses it.
    """

    kept: Kept
    device: str
    working: int
    thread: int


class Reservations:
    """The books of this process with their lock, and who waits for room in them.

    Args:
        shares: Budgets, and what other processes hold.
        evict: Has an idle model leave its device, for the RAM or for good; gets these books, the
            model, the key of one that must stay, and the bytes of RAM that must stay free. Called
            with the lock, opens it meanwhile.
        clock: Monotonic.
        wait_s: Longest wait for memory that other processes hold.
    """

    def __init__(
        self,
        shares: Shares,
        evict: Callable[["Reservations", Kept, str, int], None],
        clock: Clock,
        wait_s: float,
    ) -> None:
        self._shares = shares
        self._evict = evict
        self._clock = clock
        self._wait_s = wait_s
        self._line = Line()
        self._changed = threading.Condition(threading.Lock())
        self._state = 0
        self._leases: dict[int, list[Lease]] = {}
        self._unpinned: deque[str] = deque()
        self.accounts = Accounts(shares.budget)

    @contextmanager
    def locked(self) -> Iterator[Accounts]:
        """Give the books; nobody else has them meanwhile."""
        with self._changed:
            self._drain()
            yield self.accounts

    @contextmanager
    def unlocked(self) -> Iterator[None]:
        """Open the lock for something that takes its time."""
        self._changed.release()
        try:
            yield
        finally:
            self._changed.acquire()

    def publish(self) -> None:
        """Tell those who wait, and other processes, that the books have changed. With the lock."""
        self._state += 1
        self._changed.notify_all()
        self._shares.tell(self.accounts.held, self.reported())

    def reported(self) -> tuple[ModelReport, ...]:
        """Return what is in memory. With the lock."""
        return tuple(
            ModelReport(
                key=kept.key,
                bytes=kept.size,
                place=kept.place,
                pinned=kept.pinned,
                in_use=kept.in_use,
                last_used=kept.last_used,
            )
            for kept in self.accounts.models.values()
        )

    def begin(self, lease: Lease) -> None:
        """Count a model as in use. With the lock."""
        lease.kept.in_use += 1
        self.accounts.hold(lease.device, lease.working)
        self._leases.setdefault(lease.thread, []).append(lease)

    def end(self, lease: Lease) -> None:
        """Take back ``begin``. With the lock."""
        leases = self._leases[lease.thread]
        leases.remove(lease)
        if not leases:
            del self._leases[lease.thread]
        self.accounts.release(lease.device, lease.working)
        lease.kept.in_use -= 1

    def take_now(self, kept: Kept, device: str, count: int, beside: int) -> bool:
        """Have a model hold bytes on a device, if they are there; return whether. With the lock.

        Args:
            kept: The model.
            device: Where.
            count: Bytes.
            beside: Further bytes that must stay free.
        """
        with self._shares.exclusive():
            if count + beside > self._room(device, self._shares.others()):
                return False
            self.accounts.set_aside(kept, device, count)
            self.publish()
            return True

    def take_anyway(self, kept: Kept, device: str, count: int) -> None:
        """Have a model hold bytes whether they are there or not. With the lock."""
        with self._shares.exclusive():
            self.accounts.set_aside(kept, device, count)
            self.publish()

    def reserve(self, ask: Ask, context: Checking | None) -> None:
        """Wait for a turn and for room, make room, and take it. Without the lock.

        Raises:
            NeverFits: It cannot fit; at once.
            OutOfMemory: Other processes held the memory for too long, or jobs wait for each other.
        """
        with self.locked():
            ticket = Ticket(threading.get_ident(), nested=threading.get_ident() in self._leases)
            self._line.join(ticket)
            try:
                while not self._try(ask, ticket):
                    self._changed.wait(_POLL_S)
                    if context is not None:
                        with self.unlocked():
                            context.check()
            finally:
                self._line.leave(ticket)
                self._changed.notify_all()

    def _try(self, ask: Ask, ticket: Ticket) -> bool:
        """Take what is asked for, make room as far as possible, or find that one has to wait."""
        while True:
            needs = ask.needs()
            ticket.devices = {f"model {ask.key}", ask.device, *(needs or ())}
            if needs is None:
                return self._wait_for_others(ask, ticket)
            with self._shares.exclusive():
                others = self._shares.others()
                self._refuse_what_never_fits(ask, needs, others)
                if not self._line.may_go(ticket):
                    return self._wait_for_others(ask, ticket)
                short = {d: n for d, n in needs.items() if n > max(0, self._room(d, others))}
                if not short:
                    ask.take()
                    self.publish()
                    return True
            victims = (self.accounts.victim(device, ask.key) for device in short)
            victim = next((kept for kept in victims if kept is not None), None)
            if victim is None:
                return self._wait_for_somebody(ask, ticket, short, others)
            ticket.tried = NOT_TRIED
            self._evict(self, victim, ask.key, needs.get(CPU, 0))

    def _refuse_what_never_fits(
        self, ask: Ask, needs: Mapping[str, int], others: Sequence[MemoryReport]
    ) -> None:
        for device, count in needs.items():
            live = self.accounts.pinned(device) + sum(r.pinned(device) for r in others)
            most = self._shares.budget(device) - self._mine(device, ask.key)
            if count > max(0, most - live):
                # A live stream may end meanwhile, so that another attempt makes sense.
                raise NeverFits(
                    self._numbers(ask, device, count, others), _HINT, retryable=count <= most
                )

    def _wait_for_somebody(
        self, ask: Ask, ticket: Ticket, short: Mapping[str, int], others: Sequence[MemoryReport]
    ) -> bool:
        """Nothing here can go: wait for threads of this process, or for other processes.

        Raises:
            OutOfMemory: Those took too long.
        """
        for device, count in short.items():
            stays = self.accounts.pinned(device) + self._mine(device, ask.key)
            elsewhere = self._elsewhere(device, others)
            if count <= self._shares.budget(device) - stays - elsewhere:
                continue
            if ticket.deadline is None:
                ticket.deadline = self._clock() + self._wait_s
            if self._clock() >= ticket.deadline:
                raise OutOfMemory(self._numbers(ask, device, count, others), _HINT, _RETRY_AFTER_S)
            # What other processes hold may be given back at any time.
            ticket.tried = NOT_TRIED
            return False
        ticket.deadline = None
        return self._wait_for_others(ask, ticket)

    def _wait_for_others(self, ask: Ask, ticket: Ticket) -> bool:
        """Write down that this one has to wait for other threads.

        Raises:
            OutOfMemory: They wait for it.
        """
        ticket.tried = self._state
        if self._line.find_stuck(self._leases, self._state):
            self._changed.notify_all()
        if ticket.stuck:
            raise OutOfMemory(
                f"{ask.key} has to wait for memory on {ask.device} whose users wait for this job.",
                "The job is tried again; run fewer jobs at a time.",
            )
        return False

    def _room(self, device: str, others: Sequence[MemoryReport]) -> int:
        return self.accounts.room(device, self._elsewhere(device, others))

    def _elsewhere(self, device: str, others: Sequence[MemoryReport]) -> int:
        return self._shares.elsewhere(device, others, self.accounts.held[device])

    def _mine(self, device: str, key: str) -> int:
        """Bytes that this thread holds on a device and cannot give back while it waits.

        The model that it asks for counts, too, where it is there already.
        """
        leases = self._leases.get(threading.get_ident(), [])
        models = {id(lease.kept): lease.kept for lease in leases}
        if (wanted := self.accounts.models.get(key)) is not None:
            models[id(wanted)] = wanted
        working = sum(lease.working for lease in leases if lease.device == device)
        return working + sum(kept.holds[device] for kept in models.values())

    def _numbers(self, ask: Ask, device: str, count: int, others: Sequence[MemoryReport]) -> str:
        here = [kept for kept in self.accounts.models.values() if kept.holds[device]]
        stays = [f"{kept.key} {in_mb(kept.size)}" for kept in here if kept.pinned or kept.in_use]
        stays += [
            f"{model.key} {in_mb(model.bytes)} ({report.owner})"
            for report in others
            for model in report.models
            if model.place == device
        ]
        budget, elsewhere = self._shares.budget(device), self._elsewhere(device, others)
        return (
            f"{ask.key} needs {in_mb(count)} more on {device}, whose budget is {in_mb(budget)};"
            f" {in_mb(elsewhere)} of it are held by other processes,"
            f" {in_mb(self.accounts.held[device])} by this one"
            f" (in use: {', '.join(stays) or 'nothing'})."
        )

    def unpin(self, key: str) -> None:
        """Remove a pinned model; for finalizers, which may run in a thread that has the lock."""
        self._unpinned.append(key)
        if self._changed.acquire(blocking=False):
            try:
                self._drain()
            finally:
                self._changed.release()

    def _drain(self) -> None:
        while self._unpinned:
            kept = self.accounts.models.get(self._unpinned.popleft())
            if kept is not None and kept.pinned:
                self.accounts.remove(kept, evicted=False)
                self.publish()


def in_mb(count: int) -> str:
    """Return bytes for people."""
    return f"{count / 1e6:,.0f} MB"
