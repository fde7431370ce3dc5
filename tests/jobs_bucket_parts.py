"""Machines with one object store and no folder in common, and stores that fail."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.jobs.cleaning import Cleaned, Cleaner
from engine.jobs.context import Context, Place
from engine.jobs.files import JobFiles
from engine.jobs.heartbeat import Heartbeat
from engine.jobs.object_store import Download, ObjectStoreUnavailable, StoredObject
from engine.jobs.queue import JobQueue
from engine.jobs.running import JobRunner
from engine.jobs.spec import Job, JobInput, JobSpec, JobState
from tests.jobs_generators import Registry, write
from tests.jobs_parts import Bench


class Machine:
    """Another machine: a worker in this thread with a folder of its own."""

    def __init__(self, parts: Bench, files: JobFiles) -> None:
        settings, clocks = parts.jobs.settings, parts.jobs.clocks
        self.parts = parts
        self.files = files
        self.heart = Heartbeat(parts.leases, clocks.monotonic, settings.lease_s, settings.report_s)
        self.queue = JobQueue(parts.jobs.store, files, settings, clocks)
        self._runner = JobRunner(
            parts.leases, self.heart, self.queue, files, Place("cpu", 1), settings, clocks
        )

    def work(self, run: Callable[..., Any] = write) -> JobState | None:
        """Run the next job of the queue."""
        claimed = self.parts.leases.claim("worker")
        assert claimed is not None
        return self._runner.run(*claimed, Registry({claimed[1].generator: run}))


def with_input(parts: Bench, text: str = "in", name: str = "in.txt") -> JobSpec:
    spec = JobSpec("write", {"text": "made "}, (JobInput("upload", name),))
    (parts.jobs.files.inputs(spec.id) / name).write_text(text)
    return spec


def made(parts: Bench, machine: Machine, text: str = "made") -> Job:
    """A job that the other machine has done."""
    job = parts.queue.enqueue(JobSpec("write", {"text": text}))
    assert machine.work() is JobState.DONE
    return parts.queue.get(job.id)


def clean(parts: Bench, files: JobFiles | None = None) -> Cleaned:
    jobs = parts.jobs
    return Cleaner(jobs.store, files or jobs.files, jobs.settings, jobs.clocks).clean()


def turn_clock_to_now(parts: Bench, ahead: float) -> None:
    """Objects have the time of their server, which no test turns."""
    parts.clocks.wall = time.time() + ahead


class Scripted:
    """An object store with one object, whose content a test decides over."""

    def __init__(self, size: int, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._size = size
        self._pieces = pieces

    def put(self, key: str, source: Path) -> None:
        raise ObjectStoreUnavailable("away")

    def copy(self, source: str, target: str) -> None:
        raise ObjectStoreUnavailable("away")

    def get(self, key: str) -> Download:
        return Download(self._size, self._pieces())

    def find(self, folder: str) -> Iterator[StoredObject]:
        raise ObjectStoreUnavailable("away")

    def delete(self, keys: Sequence[str]) -> None:
        raise ObjectStoreUnavailable("away")


class Breaking:
    """An object store that takes nothing after a while."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._broken = False

    def during(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """A generator while which it breaks."""

        def broken(params: dict[str, Any], inputs: Mapping[str, Path], context: Context) -> Any:
            self._broken = True
            return run(params, inputs, context)

        return broken

    def put(self, key: str, source: Path) -> None:
        if self._broken:
            raise ObjectStoreUnavailable("away")
        self._store.put(key, source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
