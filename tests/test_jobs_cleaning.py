"""What is removed, what stays, and finding what is there."""

import os

import pytest

from engine.jobs.attempt import Outcome
from engine.jobs.cleaning import Cleaned, Cleaner
from engine.jobs.history import JobFilter
from engine.jobs.spec import Job, JobInput, JobSpec, JobState, ResultFile
from tests.jobs_parts import Bench, bench

pytest_plugins = ("tests.jobs_fixtures",)

DAY = 86_400.0


def cleaner(parts: Bench) -> Cleaner:
    return Cleaner(parts.jobs.store, parts.jobs.files, parts.jobs.settings, parts.jobs.clocks)


def done(parts: Bench, name: str, size: int = 0) -> Job:
    """Enqueue a job that is done at once."""
    job = parts.queue.enqueue(JobSpec(name))
    claimed = parts.leases.claim("worker", job_id=job.id)
    assert claimed is not None
    folder = parts.jobs.files.begin(job.id, 1)
    (folder / "out.bin").write_bytes(b"x")
    parts.leases.commit(claimed[0], Outcome({}, (ResultFile("out.bin", size),)))
    return parts.queue.get(job.id)


def names(parts: Bench) -> str:
    return "".join(job.generator for job in parts.history.find().jobs)


def test_old_jobs_go_with_their_files(parts: Bench) -> None:
    clean = cleaner(parts)
    old = done(parts, "a")
    parts.queue.enqueue(JobSpec("waits"))
    parts.clocks.advance(29 * DAY)
    done(parts, "b")
    parts.clocks.advance(2 * DAY)
    clean._difference = parts.clocks.wall - parts.clocks.monotonic
    assert clean.clean() == Cleaned(old=1)
    assert names(parts) == "bwaits"
    assert not parts.jobs.files.folder(old.id).exists()


def test_the_oldest_make_room(memory) -> None:
    with bench(memory, keep_gb=1.0) as parts:
        for name, megabytes in (("a", 500), ("b", 500), ("c", 400), ("d", 300)):
            parts.clocks.advance(1)
            done(parts, name, megabytes * 1_000_000)
        assert cleaner(parts).clean() == Cleaned(large=2)
        assert names(parts) == "dc"
        assert cleaner(parts).clean() == Cleaned()


def test_what_an_unfinished_job_needs_stays(memory) -> None:
    with bench(memory, keep_gb=0.001) as parts:
        parent = done(parts, "a", 10**9)
        child = parts.queue.enqueue(JobSpec("b", inputs=(JobInput("i", "out.bin", parent.id),)))
        assert cleaner(parts).clean() == Cleaned()
        parts.control.cancel(child.id)
        assert cleaner(parts).clean() == Cleaned(large=1)


@pytest.mark.parametrize("step", [-3650 * DAY, 3650 * DAY])
def test_a_clock_that_was_set_makes_nothing_old(memory, step: float) -> None:
    with bench(memory) as parts:
        clean = cleaner(parts)
        done(parts, "a")
        parts.clocks.wall += step
        assert clean.clean() == Cleaned()
        parts.clocks.wall -= step
        assert clean.clean() == Cleaned()
        assert names(parts) == "a"


def test_files_of_no_job_go_after_a_day(memory) -> None:
    with bench(memory) as parts:
        mine = done(parts, "a")
        for job_id, age in (("0" * 32, 2 * DAY), ("1" * 32, 3600.0), (mine.id, 2 * DAY)):
            folder = parts.jobs.files.inputs(job_id).parent
            os.utime(folder, (parts.clocks.wall - age, parts.clocks.wall - age))
        (parts.jobs.files.folder("0" * 32).parent / "not-ours").mkdir()
        assert cleaner(parts).clean() == Cleaned(orphans=1)
        assert not parts.jobs.files.folder("0" * 32).exists()
        assert parts.jobs.files.folder("1" * 32).exists()
        assert parts.jobs.files.folder(mine.id).exists()


def test_jobs_are_found_by_words_state_generator_and_time(parts: Bench) -> None:
    began = parts.clocks.wall
    for generator, prompt in (
        ("text_to_image", "Ein GRÜNER Frosch, 100% echt"),
        ("text_to_image", "a red_fox"),
        ("upscale", "frosch"),
    ):
        parts.queue.enqueue(JobSpec(generator, {"prompt": prompt, "seed": 4711}))
        parts.clocks.advance(10)
    parts.claim()

    def found(**wanted: object) -> list[int]:
        numbers = [job.number for job in parts.history.find().jobs][::-1]
        page = parts.history.find(JobFilter(**wanted))  # type: ignore[arg-type]
        return [numbers.index(job.number) for job in page.jobs]

    assert found(text="FROSCH") == [2, 0]
    assert found(text="grüner frosch") == [0]
    assert found(text="100%") == [0]
    assert found(text="red_fox") == [1]
    assert found(text="redxfox") == []
    assert found(text="4711 upscale") == [2]
    assert found(generator="text_to_image") == [1, 0]
    assert found(states=(JobState.RUNNING,)) == [0]
    assert found(since=began + 10) == [2, 1]
    assert found(since=began + 10, until=began + 20) == [1]
    assert parts.history.counts()[JobState.QUEUED] == 2


def test_pages_follow_each_other_while_jobs_arrive(parts: Bench) -> None:
    parts.queue.enqueue_many([JobSpec(str(number)) for number in range(25)])
    seen = []
    before = None
    while True:
        page = parts.history.find(limit=10, before=before)
        seen += [int(job.generator) for job in page.jobs]
        parts.queue.enqueue(JobSpec("99"))
        if page.before is None:
            break
        before = page.before
    assert seen == list(range(24, -1, -1))
