"""Workers take only the CPU time that nobody else wants."""

import os
from collections.abc import Mapping

_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Read by numeric libraries when they are imported, so set before a worker starts."""


def thread_count(configured: int) -> int:
    """Return how many CPU threads a worker takes: the setting, or half of the cores."""
    return configured or max(1, len(os.sched_getaffinity(0)) // 2)


def capped(environ: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return an environment in which numeric libraries start so many threads.

    Threads that wait for each other sleep: spinning ones would keep a core from others of the job.
    """
    capped = {name: str(threads) for name in _VARIABLES}
    return {**environ, **capped, "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}


def lower_thread() -> None:
    """Give the calling thread, and those that it will start, the least priority there is.

    On Linux priorities belong to threads: those that run already keep theirs.
    """
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
