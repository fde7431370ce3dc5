"""Whether a SQLite database may have changed, for those who ask many times a second."""

import sqlite3
import threading


class DataVersion:
    """Asks SQLite's own counter of commits (``PRAGMA data_version``): no table is read.

    May be used by any number of threads.

    Args:
        path: Of a database that exists.
        busy_s: How long to wait for a lock.

    Raises:
        sqlite3.Error: It cannot be opened.
    """

    def __init__(self, path: str, busy_s: float) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, timeout=busy_s, isolation_level=None, check_same_thread=False
        )

    def now(self) -> int:
        """Return a number that is another one once anybody else has committed something.

        Raises:
            sqlite3.Error: The database is locked, damaged, or closed.
        """
        with self._lock:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
