"""Generators for worker processes in tests and benchmarks: ``tests.jobs_generators:make``."""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine.errors import NotFound
from engine.jobs.context import Context, Place
from engine.jobs.errors import JobFailed
from engine.jobs.generators import Generator
from engine.jobs.spec import Json


class UnknownGenerator(NotFound):
    """There is no generator of this name."""


class Plain:
    """A generator that is only a function."""

    def __init__(self, function: Callable[[dict[str, Any], Mapping[str, Path], Context], Any]):
        self._function = function

    def run(self, params: dict[str, Any], inputs: Mapping[str, Path], context: Context) -> Any:
        return self._function(params, inputs, context)


class Registry:
    """Finds the functions of this module by their names."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions

    def get(self, name: str) -> Generator:
        if name not in self._functions:
            raise UnknownGenerator(f"There is no generator '{name}'.")
        return Plain(self._functions[name])


def make(_place: Place, _options: Json) -> Registry:
    """The registry of a worker process."""
    return Registry(FUNCTIONS)


def write(params: dict[str, Any], inputs: Mapping[str, Path], context: Context) -> Json:
    """Write a text, with the texts of all inputs behind it."""
    texts = [str(params.get("text", ""))] + [path.read_text() for path in inputs.values()]
    (context.folder / "out.txt").write_text("".join(texts))
    return {"length": sum(map(len, texts))}


def steps(params: dict[str, Any], _inputs: Mapping[str, Path], context: Context) -> Json:
    """Go through steps of a given length, and append a line to a file for each start and end."""
    note(params, f"begin {context.job_id} {context.attempt} {time.monotonic()} {os.getpid()}")
    count, seconds = int(params.get("steps", 1)), float(params.get("seconds", 0.0))
    pause = threading.Event()
    for step in range(count):
        pause.wait(seconds)
        context.progress((step + 1) / count, f"{time.monotonic()}")
    if "file" in params:
        (context.folder / "out.txt").write_text(f"{params['file']} {context.attempt}")
    note(params, f"end {context.job_id} {context.attempt} {time.monotonic()} {os.getpid()}")
    return {"pid": os.getpid()}


def deaf(params: dict[str, Any], _inputs: Mapping[str, Path], context: Context) -> None:
    """Never come back, inside a call of a C library, and hear no signal that Python handles."""
    context.progress(0.1)
    note(params, f"begin {context.job_id} {context.attempt} {time.monotonic()} {os.getpid()}")
    ctypes.CDLL(None).sleep(int(params.get("seconds", 600)))


def die(params: dict[str, Any], _inputs: Mapping[str, Path], context: Context) -> None:
    """End the worker process."""
    context.log("about to die")
    os._exit(int(params.get("code", 9)))


def fail(params: dict[str, Any], _inputs: Mapping[str, Path], _context: Context) -> None:
    """Raise."""
    raise JobFailed("It does not work.", "Try another one.", bool(params.get("retryable")))


def burn(params: dict[str, Any], _inputs: Mapping[str, Path], context: Context) -> None:
    """Compute on all threads it may have, as a model on the CPU does, in short steps."""
    import numpy as np

    block = np.ones((192, 192), np.float32)

    def step(_: int) -> None:
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            block @ block

    threads = context.place.threads
    end = time.monotonic() + float(params["seconds"])
    with ThreadPoolExecutor(threads) as pool:
        while time.monotonic() < end:
            list(pool.map(step, range(threads)))
            context.progress(0.5)


def note(params: dict[str, Any], line: str) -> None:
    """Append a line to ``params["notes"]``; lines of several processes stay whole."""
    if "notes" in params:
        with Path(params["notes"]).open("ab", buffering=0) as file:
            file.write(line.encode() + b"\n")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "write": write,
    "steps": steps,
    "deaf": deaf,
    "die": die,
    "fail": fail,
    "burn": burn,
}
