"""Jobs whose files are in an object store: machines that have no folder in common."""

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine.jobs.bucket_files import BucketFiles
from engine.jobs.context import Context
from engine.jobs.errors import JobFileNotFound, JobNotFound
from engine.jobs.expiry import Expiry
from engine.jobs.files import FileNameNotAllowed, JobFiles
from engine.jobs.object_store import ObjectStoreUnavailable
from engine.jobs.spec import JobInput, JobSpec, JobState
from tests.jobs_bucket_parts import Breaking, Machine, Scripted, made, with_input
from tests.jobs_generators import write
from tests.jobs_parts import Bench, bench
from tests.object_store_services import Bucket, nobody

pytest_plugins = ("tests.jobs_fixtures", "tests.jobs_bucket_fixtures")

JOB = "a" * 32
PNG = b"\x89PNG preview"


def test_local_files_need_no_library(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with bench(memory) as here:
        assert type(here.jobs.files) is JobFiles
        assert here.jobs.files.copies() == []


def test_a_job_runs_on_a_machine_without_its_folder(
    here: Bench, there: Machine, bucket: Bucket
) -> None:
    first = here.queue.enqueue(with_input(here, "100% ü", "ü %20.txt"))
    assert bucket.objects() == [f"{first.id}/inputs/ü %20.txt"]
    second = JobSpec("write", {"text": "more "}, (JobInput("i", "out.txt", first.id),))
    here.queue.enqueue(second)
    assert there.work() is JobState.DONE
    assert there.work() is JobState.DONE
    done = here.queue.get(second.id)
    assert not here.jobs.files.folder(second.id).exists()
    assert here.jobs.files.result(done, "out.txt").read_text() == "more made 100% ü"
    assert f"{first.id}/attempt-1/out.txt" in bucket.objects()


def test_the_inputs_are_uploaded_once(here: Bench, bucket: Bucket) -> None:
    spec = with_input(here)
    path = here.jobs.files.input(spec.id, "in.txt")
    bucket.store().delete(bucket.objects())
    here.queue.enqueue(spec)
    assert here.jobs.files.input(spec.id, "in.txt") == path
    assert bucket.objects() == []


def test_nothing_is_enqueued_while_the_store_is_away(memory: Path, keys: None) -> None:
    with nobody() as away, bench(memory, files="s3://bucket", files_endpoint=away) as here:
        spec = with_input(here)
        with pytest.raises(ObjectStoreUnavailable, match=away):
            here.queue.enqueue(spec)
        here.jobs.files.remove(spec.id)
        assert here.history.find().jobs == ()
        assert not here.jobs.files.folder(spec.id).exists()


def test_a_result_that_cannot_be_uploaded_is_tried_again(
    here: Bench, there: Machine, bucket: Bucket, memory: Path
) -> None:
    job = here.queue.enqueue(with_input(here))
    healthy = bucket.store()
    breaks = Breaking(healthy)
    machine = Machine(here, BucketFiles(memory / "c", breaks, healthy))
    assert machine.work(breaks.during(write)) is JobState.DELAYED
    failed = here.queue.get(job.id)
    assert failed.error is not None
    assert (failed.error.kind, failed.files) == ("ObjectStoreUnavailable", ())
    here.clocks.advance(5)
    Expiry(here.jobs.store, here.leases, here.jobs.clocks).tick()
    assert there.work() is JobState.DONE
    done = here.queue.get(job.id)
    assert here.jobs.files.result(done, "out.txt").read_text() == "made in"
    assert bucket.objects() == [f"{job.id}/attempt-2/out.txt", f"{job.id}/inputs/in.txt"]


def test_what_a_worker_uploaded_after_it_lost_its_job_goes(
    here: Bench, there: Machine, bucket: Bucket, memory: Path
) -> None:
    last = Machine(here, bucket.files(memory / "c"))

    def slow(params: dict[str, Any], inputs: Mapping[str, Path], context: Context) -> None:
        write(params, inputs, context)
        here.clocks.advance(11)
        Expiry(here.jobs.store, here.leases, here.jobs.clocks).tick()
        assert last.work() is JobState.DONE

    job = here.queue.enqueue(JobSpec("write", {"text": "x"}))
    assert there.work(slow) is None
    done = here.queue.get(job.id)
    assert bucket.objects() == [f"{job.id}/attempt-2/out.txt"]
    assert here.jobs.files.result(done, "out.txt").read_text() == "x"


def test_missing_and_damaged_objects(
    here: Bench, there: Machine, bucket: Bucket, memory: Path
) -> None:
    job = made(here, there, "whole")
    key = f"{job.id}/attempt-1/out.txt"
    half = memory / "half"
    half.write_text("who")
    bucket.store().put(key, half)
    with pytest.raises(JobFileNotFound, match="3 bytes of it, it had 5"):
        here.jobs.files.result(job, "out.txt")
    assert not here.jobs.files.is_whole(job)
    bucket.store().delete([key])
    with pytest.raises(JobFileNotFound):
        here.jobs.files.result(job, "out.txt")
    for name in ("none.txt", "none.png"):
        with pytest.raises(JobFileNotFound):
            here.jobs.files.input(job.id, name)
        with pytest.raises(JobFileNotFound):
            here.jobs.files.preview(JOB, name)
    assert not here.jobs.files.folder(JOB).exists()


def test_a_damaged_copy_of_a_result_is_fetched_again(here: Bench, there: Machine) -> None:
    job = made(here, there, "whole")
    path = here.jobs.files.result(job, "out.txt")
    path.write_text("who")
    assert here.jobs.files.result(job, "out.txt").read_text() == "whole"


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "..", "a\\b", ""])
def test_tricks_with_paths_are_refused(bucket: Bucket, memory: Path, name: str) -> None:
    files = bucket.files(memory)
    for get in (files.input, files.preview):
        with pytest.raises(FileNameNotAllowed):
            get(JOB, name)
        with pytest.raises(JobNotFound):
            get("../" + JOB, "a.txt")


def test_half_a_download_is_no_file(memory: Path) -> None:
    content = [b"hal", b"f"]
    store = Scripted(10, lambda: iter(content))
    files = BucketFiles(memory, store, store)
    with pytest.raises(ObjectStoreUnavailable, match="4 of 10 bytes"):
        files.input(JOB, "in.bin")
    assert list(files.folder(JOB).glob("inputs/*")) == []
    content[:] = [b"0123456789"]
    assert files.input(JOB, "in.bin").read_bytes() == b"0123456789"


def test_two_readers_at_a_time_both_get_all_of_it(memory: Path) -> None:
    both = threading.Barrier(2)
    data = os.urandom(100_000)

    def pieces() -> Iterator[bytes]:
        yield data[:50_000]
        both.wait(10)
        yield data[50_000:]
        both.wait(10)

    store = Scripted(len(data), pieces)
    files = BucketFiles(memory, store, store)
    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(lambda: files.input(JOB, "in.bin").read_bytes()) for _ in range(2)]
    assert all(reader.result() == data for reader in readers)
    assert [path.name for path in files.folder(JOB).glob("inputs/[!.]*")] == ["in.bin"]


def test_a_store_that_is_away_stops_no_removal(memory: Path) -> None:
    store = Scripted(0, lambda: iter(()))
    files = BucketFiles(memory, store, store)
    files.begin(JOB, 2)
    files.discard(JOB, 2)
    files.drop_previews(JOB)
    files.remove(JOB)
    assert not files.folder(JOB).exists()
    with pytest.raises(ObjectStoreUnavailable):
        files.purge(JOB)


def test_previews_are_seen_elsewhere_and_go(here: Bench, there: Machine, bucket: Bucket) -> None:
    seen: list[Any] = []

    def make(_params: object, _inputs: object, context: Context) -> None:
        for number in range(1, 6):
            here.clocks.advance(1)
            assert context.preview(PNG + bytes([number]))
        there.heart.tick()
        name = here.queue.get(context.job_id).preview
        seen.append(here.jobs.files.preview(context.job_id, name).read_bytes())
        seen.append([key.rpartition("/")[2] for key in bucket.objects()])

    here.queue.enqueue(JobSpec("make"))
    assert there.work(make) is JobState.DONE
    assert seen == [PNG + bytes([5]), ["1-3.png", "1-4.png", "1-5.png"]]
    assert bucket.objects() == []


def test_a_job_waits_for_no_second_preview_that_is_not_taken(memory: Path) -> None:
    asked = []

    class Counting(Scripted):
        def put(self, key: str, source: Path) -> None:
            asked.append(key)
            super().put(key, source)

    store = Counting(0, lambda: iter(()))
    files = BucketFiles(memory, store, store)
    files.begin(JOB, 1)
    for number in range(3):
        with pytest.raises(OSError, match="away|did not take"):
            files.write_preview(JOB, f"1-{number}.png", PNG)
    assert len(asked) == 1


def test_a_result_is_used_again_without_being_fetched(
    here: Bench, there: Machine, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(params: dict[str, Any], inputs: Mapping[str, Path], context: Context) -> None:
        write(params, inputs, context)
        context.record({}, "key")

    here.queue.enqueue(JobSpec("make", {"text": "same"}))
    assert there.work(make) is JobState.DONE
    cache = here.jobs.cache
    earlier = cache.find(["key"])
    assert earlier is not None
    again = cache.enqueue(JobSpec("make", {"text": "same"}), earlier)
    assert not here.jobs.files.folder(earlier.id).exists()
    here.queue.delete(earlier.id)
    assert bucket.objects() == [f"{again.id}/attempt-1/out.txt"]
    assert here.jobs.files.result(again, "out.txt").read_text() == "same"
    # Too large for one request: by way of this machine.
    monkeypatch.setattr("engine.jobs.bucket_files._MOST_COPIED", 2)
    third = cache.enqueue(JobSpec("make", {"text": "same"}), again)
    assert there.files.result(third, "out.txt").read_text() == "same"
    bucket.store().delete(bucket.objects())
    monkeypatch.undo()
    kept = cache.find(["key"])
    assert kept is not None, "it is on this machine's disk still"
    fourth = cache.enqueue(JobSpec("make", {"text": "same"}), kept)
    assert there.files.result(fourth, "out.txt").read_text() == "same"
