"""What can go wrong with jobs. Transports choose a status by the branch."""

from engine.errors import AvatarServerError, Conflict, InvalidInput, NotFound, Unavailable


class JobNotFound(NotFound):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r}.", "It may have been removed by clean-up.")


class JobFileNotFound(NotFound):
    """The job has no such file."""


class JobStateConflict(Conflict):
    """The job's state does not allow this."""


class InvalidJob(InvalidInput):
    """A job cannot be accepted as it is described."""


class QueueFull(Unavailable):
    """So many jobs wait already that no more are accepted."""


class StoreBusy(Unavailable):
    """Another process keeps the database locked."""


class StoreFull(Unavailable):
    """The disk of the database is full."""


class StoreUnreachable(Unavailable):
    """The database cannot be opened or reached."""


class StoreDamaged(Unavailable):
    """The database's file is damaged."""


class LiveSignalRefused(Unavailable):
    """The memory that live streams and jobs share cannot be used."""


class StoreTooNew(Conflict):
    """The database was made by a newer version of this program."""


class LeaseLost(Conflict):
    """The job belongs to somebody else by now; nothing was written."""


class WorkerLost(AvatarServerError):
    """Worker processes ended while they had this job."""


class ParentFailed(Conflict):
    """A job that this one waited for failed or was cancelled."""


class JobFailed(AvatarServerError):
    """For generators: the job cannot be done.

    Args:
        description: What went wrong.
        hint: What the user can do about it.
        retryable: Whether the same job may succeed later.
    """

    def __init__(self, description: str, hint: str = "", retryable: bool = False) -> None:
        super().__init__(description, hint)
        self.retryable = retryable
