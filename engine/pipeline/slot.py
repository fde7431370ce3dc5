"""One object in use by several threads that can be replaced while in use."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds the present object; one that was replaced is released when its last user is done.

    Nobody gets the new one before that: two that share something are never in use together.

    Args:
        item: The first object.
        release: Called once for each object, when it is replaced or the slot closed and nobody
            uses it any more; on the thread of whoever was last.
    """

    def __init__(self, item: T, release: Callable[[T], None]) -> None:
        self._item = item
        self._release = release
        self._lock = threading.Condition()
        self._users: dict[int, int] = {}
        self._retired: dict[int, T] = {}
        self._closed = False

    @property
    def item(self) -> T:
        """The present object; to look at, not to use across a replacement."""
        return self._item

    @contextmanager
    def use(self) -> Iterator[T]:
        """The present object, kept alive while in the block; waits for users of the one before."""
        with self._lock:
            while self._retired:
                self._lock.wait()
            item = self._item
            key = id(item)
            self._users[key] = self._users.get(key, 0) + 1
        try:
            yield item
        finally:
            with self._lock:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key]
                    retired = self._retired.pop(key, None)
                    self._lock.notify_all()
                else:
                    retired = None
            if retired is not None:
                self._release(retired)

    def replace(self, item: T) -> None:
        """Put another object in; users of the old one finish with it."""
        with self._lock:
            old, self._item = self._item, item
            idle = self._retire(old)
        if idle:
            self._release(old)

    def close(self) -> None:
        """Release the present object, at once or when its last user is done; idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle = self._retire(self._item)
        if idle:
            self._release(self._item)

    def _retire(self, item: T) -> bool:
        """True where nobody uses the item; otherwise it is noted for its last user."""
        if id(item) in self._users:
            self._retired[id(item)] = item
            return False
        return True
