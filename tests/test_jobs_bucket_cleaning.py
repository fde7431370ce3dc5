"""What is removed from an object store, and from a machine's working copy of it."""

import os
from pathlib import Path

from engine.jobs.cleaning import Cleaned
from engine.jobs.expiry import Expiry
from engine.jobs.files import JobFiles
from engine.jobs.spec import JobInput, JobSpec, JobState
from tests.jobs_bucket_parts import Machine, clean, made, turn_clock_to_now, with_input
from tests.jobs_parts import Bench, bench
from tests.object_store_services import Bucket

pytest_plugins = ("tests.jobs_fixtures", "tests.jobs_bucket_fixtures")

DAY = 86_400.0
JOB = "a" * 32


def age(files: JobFiles, job_id: str, now: float, seconds: float) -> None:
    os.utime(files.folder(job_id), (now - seconds, now - seconds))


def test_what_dead_workers_uploaded_goes_with_the_next_attempt_or_clean_up(
    here: Bench, there: Machine, bucket: Bucket, memory: Path
) -> None:
    job = here.queue.enqueue(JobSpec("write", {"text": "x"}))
    lease, _ = here.claim("dies")
    dead = bucket.files(memory / "dead")

    def upload(attempt: int) -> None:
        folder = dead.begin(job.id, attempt)
        (folder / "half.txt").write_text("half")
        dead.seal(folder)

    upload(lease.attempt)
    assert bucket.objects() == [f"{job.id}/attempt-1/half.txt"]
    here.clocks.advance(11)
    Expiry(here.jobs.store, here.leases, here.jobs.clocks).tick()
    assert there.work() is JobState.DONE
    assert bucket.objects() == [f"{job.id}/attempt-2/out.txt"]
    # One that was cut off, and has come back for a moment.
    turn_clock_to_now(here, 0)
    source = memory / "late"
    source.write_text("late")
    bucket.store().put(f"{job.id}/attempt-1/half.txt", source)
    assert clean(here) == Cleaned()
    assert len(bucket.objects()) == 2
    turn_clock_to_now(here, 2 * DAY)
    assert clean(here) == Cleaned()
    assert bucket.objects() == [f"{job.id}/attempt-2/out.txt"]
    assert (dead.folder(job.id) / "attempt-1").exists()
    assert clean(here, dead) == Cleaned()
    assert not (dead.folder(job.id) / "attempt-1").exists()


def test_removed_jobs_leave_no_objects(here: Bench, there: Machine, bucket: Bucket) -> None:
    job = here.queue.enqueue(with_input(here))
    there.work()
    assert len(bucket.objects()) == 2
    here.queue.delete(job.id)
    assert bucket.objects() == []
    old = here.queue.enqueue(with_input(here))
    there.work()
    here.clocks.advance(31 * DAY)
    assert clean(here) == Cleaned(old=1)
    assert bucket.objects() == []
    assert there.files.folder(old.id).exists()
    turn_clock_to_now(here, 2 * DAY)
    assert clean(here, there.files).orphans == 2
    assert not there.files.folder(old.id).exists()


def test_uploads_that_were_never_enqueued_go_after_a_day(
    here: Bench, there: Machine, bucket: Bucket
) -> None:
    left = with_input(here)
    here.jobs.files.input(left.id, "in.txt")
    kept = here.queue.enqueue(with_input(here))
    turn_clock_to_now(here, DAY - 600)
    assert clean(here, there.files) == Cleaned()
    turn_clock_to_now(here, DAY + 600)
    assert clean(here, there.files) == Cleaned(orphans=1)
    assert bucket.objects() == [f"{kept.id}/inputs/in.txt"]


def test_the_working_copy_stays_small(memory: Path, bucket: Bucket) -> None:
    with bench(memory / "a", **bucket.settings, files_cache_gb=2e-8) as here:
        there = Machine(here, bucket.files(memory / "b"))
        files = here.jobs.files
        done = [made(here, there, "x" * 10) for _ in range(4)]
        turn_clock_to_now(here, 0)
        for number, job in enumerate(done):
            files.result(job, "out.txt")
            age(files, job.id, here.clocks.wall, 4000 - number)
        waiting = here.queue.enqueue(with_input(here, "i" * 10))
        age(files, waiting.id, here.clocks.wall, 5000)
        # The first is being read, the second is needed, the job that waits is not done.
        files.result(done[0], "out.txt")
        here.queue.enqueue(JobSpec("b", inputs=(JobInput("i", "out.txt", done[1].id),)))
        assert clean(here) == Cleaned(copies=2)
        left = [job.id for job in [*done, waiting] if files.folder(job.id).exists()]
        assert left == [done[0].id, done[1].id, waiting.id]
        assert all(files.result(job, "out.txt").read_text() == "x" * 10 for job in done)


def test_what_only_this_machine_has_stays(memory: Path, bucket: Bucket) -> None:
    folder = JobFiles(memory).begin(JOB, 1)
    (folder / "only.txt").write_text("made before there was an object store")
    (folder / "unfinished").mkdir()
    files = bucket.files(memory)
    upload = files.inputs(JOB) / "in.txt"
    upload.write_text("in")
    files.input(JOB, "in.txt")
    files.drop_copy(JOB)
    assert (folder / "only.txt").exists()
    assert not upload.exists()
    assert files.input(JOB, "in.txt").read_text() == "in"
