"""The ring: policies, counting, waking, and the same as a model for any sequence of operations."""

import threading
from collections import deque
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.pipeline.ring import DropPolicy, Ring, RingClosed, spread
from tests.pipeline_fakes import FakeClock


def test_drop_oldest_keeps_the_newest_in_order() -> None:
    ring: Ring[int] = Ring(3, DropPolicy.DROP_OLDEST)
    for number in range(5):
        assert ring.put(number)
    assert ring.take(10) == [2, 3, 4]
    assert ring.dropped == 2


def test_latest_takes_the_newest_and_counts_the_rest() -> None:
    ring: Ring[int] = Ring(10, DropPolicy.LATEST)
    for number in range(7):
        ring.put(number)
    assert ring.get() == 6
    assert ring.dropped == 6
    assert len(ring) == 0


def test_latest_spreads_a_batch_over_the_time_that_has_passed() -> None:
    ring: Ring[int] = Ring(10, DropPolicy.LATEST)
    for number in range(8):
        ring.put(number)
    assert ring.take(4) == [1, 3, 5, 7]
    assert ring.dropped == 4


def test_wait_refuses_after_the_timeout_and_accepts_after_a_get() -> None:
    ring: Ring[int] = Ring(1, DropPolicy.WAIT)
    assert ring.put(1)
    assert not ring.put(2, timeout=0.0)
    assert ring.get() == 1
    assert ring.put(2, timeout=0.0)
    assert ring.dropped == 0


def test_wait_wakes_the_producer() -> None:
    ring: Ring[int] = Ring(1, DropPolicy.WAIT)
    ring.put(0)
    producer = threading.Thread(target=lambda: [ring.put(number) for number in range(1, 50)])
    producer.start()
    assert [ring.get(timeout=10.0) for _ in range(50)] == list(range(50))
    producer.join()


def test_close_lets_the_rest_be_taken_and_abort_does_not() -> None:
    ring: Ring[int] = Ring(4, DropPolicy.WAIT)
    ring.put(1)
    ring.close()
    with pytest.raises(RingClosed):
        ring.put(2)
    assert ring.get() == 1
    with pytest.raises(RingClosed):
        ring.get()
    other: Ring[int] = Ring(4, DropPolicy.WAIT)
    other.put(1)
    other.abort()
    with pytest.raises(RingClosed):
        other.get()


@pytest.mark.parametrize("full", [True, False])
def test_abort_wakes_a_waiting_thread(full: bool) -> None:
    ring: Ring[int] = Ring(1, DropPolicy.WAIT)
    if full:
        ring.put(0)
    entered = threading.Event()
    ended = threading.Event()

    def wait() -> None:
        entered.set()
        blocking = partial(ring.put, 1) if full else ring.get
        with pytest.raises(RingClosed):
            blocking()
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert entered.wait(5.0)
    ring.abort()
    assert ended.wait(5.0)
    thread.join()


def test_changing_the_policy_frees_a_waiting_producer() -> None:
    ring: Ring[int] = Ring(1, DropPolicy.WAIT)
    ring.put(0)
    producer = threading.Thread(target=ring.put, args=(1,))
    producer.start()
    ring.policy = DropPolicy.DROP_OLDEST
    producer.join(5.0)
    assert not producer.is_alive()
    assert ring.get() == 1


def test_clear_counts_what_it_discards() -> None:
    ring: Ring[int] = Ring(4, DropPolicy.WAIT)
    ring.put(1)
    ring.put(2)
    assert ring.clear() == 2
    assert (len(ring), ring.dropped) == (0, 2)


def test_no_lingering_where_the_rhythm_says_nothing_will_come() -> None:
    """With frames 33 ms apart and a deadline of 4 ms a batch goes at once: the clock stands."""
    clock = FakeClock()
    ring: Ring[int] = Ring(8, DropPolicy.LATEST, clock)
    ring.put(0)
    assert ring.take(4, linger=0.004) == [0]
    clock.advance(0.033)
    ring.put(1)
    assert ring.take(4, linger=0.004) == [1]


def test_lingering_collects_a_burst() -> None:
    ring: Ring[int] = Ring(8, DropPolicy.WAIT, FakeClock())
    ring.put(0)
    ring.put(1)
    taken: list[list[int]] = []
    consumer = threading.Thread(target=lambda: taken.append(ring.take(4, linger=5.0)))
    consumer.start()
    ring.put(2)
    ring.put(3)
    consumer.join(5.0)
    assert taken == [[0, 1, 2, 3]]


@given(st.lists(st.integers(), max_size=80), st.integers(1, 20))
def test_spread_is_an_even_choice_with_the_newest(items: list[int], limit: int) -> None:
    numbered = list(enumerate(items))
    chosen = spread(numbered, limit)
    assert len(chosen) == min(limit, len(items))
    positions = [index for index, _ in chosen]
    assert positions == sorted(set(positions))
    if items:
        assert positions[-1] == len(items) - 1
        gaps = [after - before for before, after in zip([-1, *positions], positions, strict=False)]
        assert max(gaps) - min(gaps) <= 1


class RingMachine(RuleBasedStateMachine):
    """The ring against a plain list, operation by operation."""

    @initialize(capacity=st.integers(1, 6), policy=st.sampled_from(DropPolicy))
    def start(self, capacity: int, policy: DropPolicy) -> None:
        self.ring: Ring[int] = Ring(capacity, policy, FakeClock())
        self.model: deque[int] = deque()
        self.put_count = 0
        self.taken_count = 0
        self.last_taken = -1
        self.closed = False

    @precondition(lambda self: not self.closed)
    @rule()
    def put(self) -> None:
        waits = self.ring.policy is DropPolicy.WAIT and len(self.model) == self.ring.capacity
        assert self.ring.put(self.put_count, timeout=0.0) is not waits
        if waits:
            return
        if len(self.model) == self.ring.capacity:
            self.model.popleft()
        self.model.append(self.put_count)
        self.put_count += 1

    @rule(limit=st.integers(1, 8))
    def take(self, limit: int) -> None:
        if self.closed and not self.model:
            with pytest.raises(RingClosed):
                self.ring.take(limit, timeout=0.0)
            return
        taken = self.ring.take(limit, timeout=0.0)
        if self.ring.policy is DropPolicy.LATEST:
            assert taken == spread(self.model, limit)
            self.model.clear()
        else:
            assert taken == [self.model.popleft() for _ in range(min(limit, len(self.model)))]
        assert all(item > self.last_taken for item in taken)
        assert taken == sorted(taken)
        self.taken_count += len(taken)
        self.last_taken = taken[-1] if taken else self.last_taken

    @rule(policy=st.sampled_from(DropPolicy))
    def change_policy(self, policy: DropPolicy) -> None:
        self.ring.policy = policy

    @rule()
    def close(self) -> None:
        self.ring.close()
        self.closed = True

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        if hasattr(self, "ring"):
            assert len(self.ring) == len(self.model) <= self.ring.capacity
            assert self.put_count == self.taken_count + self.ring.dropped + len(self.model)


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
