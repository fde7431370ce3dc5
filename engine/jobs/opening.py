"""Opens the queue: the parts that belong to one store, wired together."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from engine.jobs.bucket_files import open_files
from engine.jobs.caching import ResultCache
from engine.jobs.clocks import Clocks, system_clocks
from engine.jobs.control import JobControl
from engine.jobs.files import JobFiles
from engine.jobs.history import History
from engine.jobs.notices import Notices
from engine.jobs.queue import JobQueue
from engine.jobs.settings import JobSettings
from engine.jobs.store import Store


@dataclass(frozen=True, slots=True)
class Jobs:
    """An open queue.

    Attributes:
        settings: The section ``jobs``, with an absolute folder.
        clocks: Where the time comes from.
        store: Where jobs are kept; ``store.notice`` says what became of a damaged one.
        files: Where their files are.
        queue: Puts jobs in.
        control: Changes what becomes of them.
        history: Finds them.
        cache: Finds results that are there already.
        notices: Calls that are to be made when jobs have ended.
    """

    settings: JobSettings
    clocks: Clocks
    store: Store
    files: JobFiles
    queue: JobQueue
    control: JobControl
    history: History
    cache: ResultCache
    notices: Notices

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_jobs(settings: JobSettings, clocks: Clocks | None = None) -> Jobs:
    """Open the queue, which is made if there is none, and repaired if it is damaged.

    Raises:
        Unavailable: The store is damaged and in use, or cannot be reached.
        StoreTooNew: A newer version of this program made it.
        MissingDependency: The database's driver, or what jobs.files needs, is not installed.
    """
    clocks = clocks or system_clocks()
    # Workers run in another working directory.
    settings = settings.model_copy(update={"folder": settings.folder.absolute()})
    store = Store(settings)
    files = open_files(settings)
    queue = JobQueue(store, files, settings, clocks)
    return Jobs(
        settings,
        clocks,
        store,
        files,
        queue,
        JobControl(store, clocks),
        History(store),
        ResultCache(store, files, settings, clocks),
        Notices(store, clocks),
    )
