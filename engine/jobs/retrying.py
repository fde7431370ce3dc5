"""What an exception of a generator means for its job."""

from engine.errors import AvatarServerError, Unavailable
from engine.jobs.disk import is_disk_full
from engine.jobs.spec import JobError
from engine.jobs.text import plain

_MAX_DESCRIPTION = 2000


def classified(error: BaseException) -> JobError:
    """Return the error to be kept with the job, and whether it may pass.

    What may pass: an exception whose attribute ``retryable`` is true, ``Unavailable``, a full disk,
    no memory (of the machine or of the GPU), and connections that fail. Everything else would fail
    again, mistakes in the code included.
    """
    if isinstance(error, AvatarServerError):
        own = isinstance(error, Unavailable)
        retryable = bool(getattr(error, "retryable", own))
        text = plain(error.description, _MAX_DESCRIPTION)
        return JobError(error.kind, text, plain(error.hint, _MAX_DESCRIPTION), retryable)
    if is_disk_full(error):
        return JobError("DiskFull", "The disk is full.", "Free some space.", True)
    kind = type(error).__name__
    # Frameworks have classes of their own for this, which are not to be imported here.
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":
        hint = "Choose a smaller size or model, or end other programs."
        return JobError("OutOfMemory", "There was not enough memory.", hint, True)
    passing = isinstance(error, (ConnectionError, TimeoutError))
    retryable = bool(getattr(error, "retryable", passing))
    text = plain(str(error), _MAX_DESCRIPTION) or f"{kind} without a message"
    return JobError(kind, text, "", retryable)
