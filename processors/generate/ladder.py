"""Ways to run a generator that need less and less memory, tried from the best one down."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from processors.models.memory_errors import (
    NeverFits,
    forget,
    is_out_of_memory,
    ran_out_on_gpu,
)

_log = logging.getLogger(__name__)

FIRST_RUNG = "full"
"""Name of the best rung of every ladder: nothing was given up."""

S = TypeVar("S")
R = TypeVar("R")


class Freeing(Protocol):
    """Where memory can be won; ``ModelMemory`` is one."""

    def free(self, ram: bool = True) -> int:
        """Give back what is not in use, without ``ram`` only on GPUs; return the bytes."""


class Reporting(Protocol):
    """The part of a job's context that is needed here."""

    def check(self) -> None:
        """Raise if the job has to end."""

    def log(self, line: str) -> None:
        """Add a line to the job's log."""


@dataclass(frozen=True, slots=True)
class Rung(Generic[S]):
    """One way to run.

    Attributes:
        name: For people and for ``Result.values["rung"]``, e.g. ``tiled``.
        settings: What the generator needs to run that way.
    """

    name: str
    settings: S


def climb(
    rungs: Sequence[Rung[S]],
    attempt: Callable[[Rung[S]], R],
    memory: Freeing,
    context: Reporting,
) -> tuple[R, Rung[S]]:
    """Run on the best rung that memory suffices for.

    When memory runs out, what is not in use is freed and the same rung is tried once more, unless
    it can never fit; then comes the next rung.

    Args:
        rungs: Best first; at least one.
        attempt: Runs on a rung; may be called several times, and must not leave anything behind.
        memory: Where memory is won between two attempts.
        context: The job's.

    Returns:
        What ``attempt`` returned, and the rung it was on.

    Raises:
        Exception: Any that is not about memory, at once; the last one about memory if no rung is
            left.
    """
    if not rungs:
        raise ValueError("a ladder needs a rung")
    for number, rung in enumerate(rungs, 1):
        again = True
        while True:
            try:
                return attempt(rung), rung
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                failure = error
            # The frames of the failure hold what was in work when memory ran out.
            forget(failure)
            memory.free(ram=not ran_out_on_gpu(failure))
            context.check()
            if again and not isinstance(failure, NeverFits):
                again = False
                context.log(f"Memory ran out ({rung.name}): trying once more. {_short(failure)}")
                continue
            break
        if number == len(rungs):
            raise failure
        following = rungs[number].name
        context.log(f"Not enough memory for {rung.name}: going on with {following}.")
        _log.warning("Not enough memory for %s, going on with %s.", rung.name, following)
    raise AssertionError("unreachable")


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
