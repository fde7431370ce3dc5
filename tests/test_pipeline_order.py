"""Order with any number of workers, and objects replaced while in use."""

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline.order import Resequencer
from engine.pipeline.ring import RingClosed
from engine.pipeline.slot import Slot


@given(st.permutations(range(9)))
def test_any_order_of_delivery_leaves_in_order(order: list[int]) -> None:
    emitted: list[int] = []
    resequencer: Resequencer[int] = Resequencer(emitted.append, window=9)
    for _ in order:
        resequencer.draw()
    for ticket in order:
        resequencer.deliver(ticket, ticket)
    assert emitted == list(range(9))


def test_eight_threads_leave_in_order() -> None:
    emitted: list[int] = []
    resequencer: Resequencer[int] = Resequencer(emitted.append, window=16)
    drawing = threading.Lock()

    def work(seed: int) -> None:
        rng = random.Random(seed)
        while True:
            with drawing:
                ticket = resequencer.draw()
            if ticket >= 2000:
                return
            sum(range(rng.randrange(2000)))
            resequencer.deliver(ticket, ticket)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert emitted == list(range(2000))


def test_a_worker_far_ahead_waits_and_close_wakes_it() -> None:
    emitted: list[int] = []
    resequencer: Resequencer[int] = Resequencer(emitted.append, window=2)
    outcome: list[type[Exception]] = []
    entered = threading.Event()

    def ahead() -> None:
        entered.set()
        try:
            resequencer.deliver(2, 2)
        except RingClosed:
            outcome.append(RingClosed)

    thread = threading.Thread(target=ahead)
    thread.start()
    assert entered.wait(5.0)
    resequencer.deliver(1, 1)
    assert emitted == []
    resequencer.close()
    thread.join(5.0)
    assert outcome == [RingClosed]


def test_an_error_while_emitting_reaches_the_worker_and_ends_the_others() -> None:
    def refuse(item: int) -> None:
        raise OSError(f"item {item}")

    resequencer: Resequencer[int] = Resequencer(refuse, window=2)
    with pytest.raises(OSError, match="item 0"):
        resequencer.deliver(0, 0)
    with pytest.raises(RingClosed):
        resequencer.deliver(1, 1)


def test_a_replaced_object_is_released_when_its_last_user_is_done() -> None:
    released: list[str] = []
    slot = Slot("first", released.append)
    with slot.use() as one, slot.use() as two:
        slot.replace("second")
        assert (one, two, slot.item) == ("first", "first", "second")
        assert released == []
    assert released == ["first"]
    slot.close()
    slot.close()
    assert released == ["first", "second"]


def test_an_idle_object_is_released_at_once() -> None:
    released: list[str] = []
    slot = Slot("first", released.append)
    slot.replace("second")
    assert released == ["first"]
