"""Memory that runs out: our own errors, and how those of libraries are known."""

import traceback
from collections.abc import Iterator

from engine.errors import AvatarServerError
from processors.models.session import OutOfMemory
from processors.models.session import is_out_of_memory as says_so

_WORDS = ("not enough memory", "can't allocate memory", "cannot allocate memory")
_GPU_WORDS = ("cuda", "cublas", "cudnn", "hip ")


class NeverFits(OutOfMemory):
    """Something needs more memory than it can get here, however long it waits.

    Args:
        description: With the numbers.
        hint: What the user can do.
        retryable: Whether another attempt may find more.
    """

    def __init__(self, description: str, hint: str = "", retryable: bool = False) -> None:
        super().__init__(description, hint, retry_after=30.0)
        self.retryable = retryable


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that caused it, means that memory ran out.

    Knows our own, ``MemoryError``, ``torch.OutOfMemoryError``, and what torch, CTranslate2 and
    onnxruntime say in plain ``RuntimeError`` when an allocation fails.
    """
    return any(_is(cause) for cause in chain(error))


def ran_out_on_gpu(error: BaseException) -> bool:
    """Whether it was a GPU's memory that ran out, as far as the error tells."""
    return any(
        _is(cause) and any(word in str(cause).lower() for word in _GPU_WORDS)
        for cause in chain(error)
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def forget(error: BaseException) -> None:
    """Empty the frames of an error: their variables hold what was in work when it was raised."""
    for cause in chain(error):
        traceback.clear_frames(cause.__traceback__)


def _is(error: BaseException) -> bool:
    if isinstance(error, AvatarServerError):
        return isinstance(error, OutOfMemory)
    if not isinstance(error, Exception):
        return False
    text = str(error).lower()
    return (
        type(error).__name__ == "OutOfMemoryError"
        or says_so(error)
        or any(word in text for word in _WORDS)
    )
