"""Putting jobs in, their order, what they wait for, and changing it."""

from itertools import pairwise, permutations

import pytest

from engine.errors import InvalidInput
from engine.jobs.attempt import Outcome
from engine.jobs.errors import InvalidJob, JobFileNotFound, JobNotFound, JobStateConflict, QueueFull
from engine.jobs.expiry import Expiry
from engine.jobs.files import FileNameNotAllowed
from engine.jobs.history import JobFilter
from engine.jobs.machine import bound
from engine.jobs.settings import RetryPolicy
from engine.jobs.spec import Job, JobError, JobInput, JobSpec, JobState
from engine.jobs.submit import Submitter
from tests.jobs_parts import Bench, bench

pytest_plugins = ("tests.jobs_fixtures",)


def order(parts: Bench) -> list[str]:
    """Claim all that can be claimed; return their generators, named by the test."""
    names = []
    while (claimed := parts.leases.claim("worker")) is not None:
        names.append(claimed[1].generator)
    return names


def enqueue(parts: Bench, names: str) -> dict[str, Job]:
    return {name: parts.queue.enqueue(JobSpec(name)) for name in names}


def test_a_job_comes_back_as_it_was_enqueued(parts: Bench) -> None:
    spec = JobSpec(
        "upscale",
        {"scale": 2.5, "text": "Größe 💡", "list": [1, None, {"a": True}]},
        priority=3,
        retry=RetryPolicy(attempts=7),
        recipe={"seed": 1},
        cache_key="abc",
        extra={"webhook": "https://example.org"},
    )
    made = parts.queue.enqueue(spec)
    assert made == parts.queue.get(made.id)
    assert made.params == spec.params
    assert made.retry.attempts == 7
    assert made.state is JobState.QUEUED
    assert made.to_json()["extra"] == {"webhook": "https://example.org"}
    assert made.created_at == parts.clocks.wall


@pytest.mark.parametrize(
    "spec",
    [
        JobSpec(""),
        JobSpec("x" * 101),
        JobSpec("a\x00"),
        JobSpec("a", cache_key="\ud800"),
        JobSpec("a", inputs=(JobInput("i\n", "a.png", "0" * 32),)),
        JobSpec("a", priority=1001),
        JobSpec("a", delay_s=-1),
        JobSpec("a", delay_s=float("nan")),
        JobSpec("a", {"x": float("inf")}),
        JobSpec("a", {"x": object()}),
        JobSpec("a", {"x": "\x00"}),
        JobSpec("a", {"x": "\ud800"}),
        JobSpec("a", {"x": "y" * 1_000_001}),
        JobSpec("a", cache_key="k" * 129),
        JobSpec("a", inputs=(JobInput("i", "a", "0" * 32), JobInput("i", "b", "0" * 32))),
        JobSpec("a", inputs=(JobInput("i", "../x"),)),
        JobSpec("a", inputs=(JobInput("i", ".hidden"),)),
        JobSpec("a", inputs=(JobInput("i", "a\nb"),)),
        JobSpec("a", depends_on=("1" * 32,), id="1" * 32),
    ],
)
def test_what_no_store_should_hold_is_refused(memory, spec: JobSpec) -> None:
    with bench(memory) as parts:
        with pytest.raises(InvalidInput):
            parts.queue.enqueue(spec)
        assert not parts.history.find().jobs


def test_missing_inputs_parents_and_jobs_are_named(memory) -> None:
    with bench(memory) as parts:
        with pytest.raises(JobFileNotFound, match="cat.png"):
            parts.queue.enqueue(JobSpec("a", inputs=(JobInput("image", "cat.png"),)))
        with pytest.raises(JobNotFound, match="f" * 32):
            parts.queue.enqueue(JobSpec("a", depends_on=("f" * 32,)))
        with pytest.raises(JobNotFound):
            parts.jobs.files.inputs("../../etc")
        with pytest.raises(FileNameNotAllowed):
            parts.jobs.files.input("0" * 32, "../../../jobs.sqlite")


@pytest.mark.parametrize("wrong", ["", "0" * 31, "0" * 33, "../../etc", "\x00" * 32, "\ud800"])
def test_what_cannot_be_an_id_is_no_job(parts: Bench, wrong: str) -> None:
    def depend(job_id: str) -> None:
        parts.queue.enqueue(JobSpec("a", depends_on=(job_id,)))

    for ask in (
        parts.queue.get,
        parts.queue.delete,
        parts.queue.retry,
        parts.control.cancel,
        parts.control.front,
        parts.history.log,
        depend,
    ):
        with pytest.raises(JobNotFound):
            ask(wrong)
    assert parts.history.find(JobFilter(text=wrong)).jobs == ()
    assert parts.jobs.cache.find([wrong]) is None


def test_no_more_jobs_wait_than_allowed(memory) -> None:
    with bench(memory, max_waiting=3) as parts:
        enqueue(parts, "abc")
        with pytest.raises(QueueFull, match="max_waiting is 3"):
            parts.queue.enqueue(JobSpec("d"))
        parts.claim()
        parts.queue.enqueue(JobSpec("d"))
        with pytest.raises(QueueFull):
            parts.queue.enqueue_many([JobSpec("e"), JobSpec("f")])


def test_first_come_first_served_within_a_priority(parts: Bench) -> None:
    for name, priority in (("c", 0), ("a", 5), ("d", 0), ("b", 5), ("e", -1)):
        parts.queue.enqueue(JobSpec(name, priority=priority))
    assert order(parts) == list("abcde")


def test_a_job_moves_anywhere(parts: Bench) -> None:
    made = enqueue(parts, "abcd")
    parts.control.move(made["d"].id, made["b"].id)
    parts.control.move(made["a"].id, made["c"].id, after=True)
    assert [job.generator for job in parts.history.queue()] == list("dbca")
    urgent = parts.queue.enqueue(JobSpec("urgent", priority=9))
    assert parts.control.front(made["c"].id).priority == 9
    assert parts.history.place(parts.queue.get(made["c"].id)) == 0
    assert parts.history.place(urgent) == 1
    parts.control.set_priority(made["a"].id, 10)
    assert order(parts) == ["a", "c", "urgent", "d", "b"]


def test_moving_again_and_again_between_two_neighbours_never_runs_out_of_numbers(memory) -> None:
    with bench(memory) as parts:
        made = enqueue(parts, "abc")
        expected = list("abc")
        for turn in range(150):
            mover = "bc"[turn % 2]
            parts.control.move(made[mover].id, made["a"].id, after=True)
            expected.remove(mover)
            expected.insert(1, mover)
            assert [job.generator for job in parts.history.queue()] == expected


def test_every_order_can_be_reached(memory) -> None:
    with bench(memory) as parts:
        made = enqueue(parts, "abcd")
        for wanted in permutations("abcd"):
            for before, name in pairwise(wanted):
                parts.control.move(made[name].id, made[before].id, after=True)
            assert [job.generator for job in parts.history.queue()] == list(wanted)


def test_a_chain_runs_in_order_and_only_after_success(parts: Bench) -> None:
    first, second, third = (JobSpec(name) for name in "abc")
    second = JobSpec("b", depends_on=(first.id,))
    third = JobSpec("c", inputs=(JobInput("image", "x.png", second.id),), depends_on=(first.id,))
    made = parts.queue.enqueue_many([first, second, third])
    assert [job.state for job in made] == [JobState.QUEUED, JobState.WAITING, JobState.WAITING]
    for name in "abc":
        lease, job = parts.claim()
        assert job.generator == name
        assert parts.leases.claim("other") is None
        parts.leases.commit(lease, Outcome({}))
    assert parts.queue.enqueue(JobSpec("d", depends_on=(third.id,))).state is JobState.QUEUED


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_descendants_of_a_job_that_ends_badly_fail_with_the_reason(parts: Bench, how: str) -> None:
    specs = [JobSpec("a")]
    for name in "bcd":
        specs.append(JobSpec(name, depends_on=(specs[-1].id,)))
    parts.queue.enqueue_many(specs)
    parts.control.pause(specs[2].id)
    if how == "failed":
        parts.leases.fail(parts.claim()[0], JobError("X", "broken"), 1.0)
    else:
        parts.control.cancel(specs[0].id)
    for child, parent in zip(specs[1:], specs, strict=False):
        job = parts.queue.get(child.id)
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert (job.error.kind, parent.id in job.error.description) == ("ParentFailed", True)
    with pytest.raises(JobStateConflict):
        parts.queue.enqueue(JobSpec("e", depends_on=(specs[0].id,)))


def test_a_long_chain_fails_at_once(memory) -> None:
    with bench(memory) as parts:
        specs = [JobSpec("a")]
        for _ in range(1100):
            specs.append(JobSpec("b", depends_on=(specs[-1].id,)))
        parts.queue.enqueue_many(specs)
        parts.control.cancel(specs[0].id)
        assert parts.history.counts()[JobState.FAILED] == 1100


def test_a_failed_chain_can_be_tried_again(parts: Bench) -> None:
    parent = JobSpec("a")
    child = JobSpec("b", depends_on=(parent.id,))
    parts.queue.enqueue_many([parent, child])
    parts.leases.fail(parts.claim()[0], JobError("X", "broken"), 1.0)
    with pytest.raises(JobStateConflict, match="Retry it first"):
        parts.queue.retry(child.id)
    again = parts.queue.retry(parent.id)
    assert (again.state, again.error, again.failures) == (JobState.QUEUED, None, 0)
    assert parts.queue.retry(child.id).state is JobState.WAITING
    parts.leases.commit(parts.claim()[0], Outcome({}))
    lease, job = parts.claim()
    assert job.id == child.id
    parts.leases.commit(lease, Outcome({}))
    with pytest.raises(JobStateConflict):
        parts.queue.retry(child.id)


def test_a_delayed_job_starts_when_it_is_due(parts: Bench) -> None:
    expiry = Expiry(parts.jobs.store, parts.leases, parts.jobs.clocks)
    job = parts.queue.enqueue(JobSpec("a", delay_s=60))
    assert job.state is JobState.DELAYED
    assert job.not_before == parts.clocks.wall + 60
    parts.clocks.advance(59.9)
    assert expiry.tick() == 0
    parts.clocks.advance(0.2)
    assert expiry.tick() == 1
    assert order(parts) == ["a"]


def test_a_delay_can_be_changed(parts: Bench) -> None:
    made = enqueue(parts, "ab")
    assert parts.control.delay(made["a"].id, 30).state is JobState.DELAYED
    parts.control.pause(made["a"].id)
    assert parts.control.delay(made["a"].id, 20).state is JobState.PAUSED
    assert parts.control.resume(made["a"].id).state is JobState.DELAYED
    assert parts.control.delay(made["a"].id, 0).state is JobState.QUEUED
    with pytest.raises(InvalidJob):
        parts.control.delay(made["a"].id, -1)
    assert order(parts) == ["a", "b"]
    with pytest.raises(JobStateConflict):
        parts.control.delay(made["a"].id, 5)


def test_a_child_that_is_also_delayed_waits_for_both(parts: Bench) -> None:
    expiry = Expiry(parts.jobs.store, parts.leases, parts.jobs.clocks)
    parent = parts.queue.enqueue(JobSpec("a"))
    child = parts.queue.enqueue(JobSpec("b", depends_on=(parent.id,), delay_s=60))
    assert child.state is JobState.WAITING
    parts.leases.commit(parts.claim()[0], Outcome({}))
    assert parts.queue.get(child.id).state is JobState.DELAYED
    parts.clocks.advance(60)
    expiry.tick()
    assert order(parts) == ["b"]


def test_a_paused_job_is_passed_over_and_keeps_its_place(parts: Bench) -> None:
    made = enqueue(parts, "abc")
    assert parts.control.pause(made["a"].id).state is JobState.PAUSED
    parts.claim()
    assert parts.control.resume(made["a"].id).state is JobState.QUEUED
    assert order(parts) == ["a", "c"]


def test_a_held_queue_starts_nothing(parts: Bench) -> None:
    enqueue(parts, "a")
    parts.control.hold(True)
    assert parts.control.is_held()
    assert parts.leases.claim("worker") is None
    parts.control.hold(False)
    assert order(parts) == ["a"]


def test_cancelling_twice_is_fine_but_not_what_is_done(parts: Bench) -> None:
    made = enqueue(parts, "ab")
    for _ in range(2):
        assert parts.control.cancel(made["a"].id).state is JobState.CANCELLED
    parts.leases.commit(parts.claim()[0], Outcome({}))
    for forbidden in (parts.control.cancel, parts.control.pause, parts.control.resume):
        with pytest.raises(JobStateConflict):
            forbidden(made["b"].id)


def test_only_finished_jobs_that_nobody_needs_are_deleted(parts: Bench) -> None:
    parent = parts.queue.enqueue(JobSpec("a"))
    child = parts.queue.enqueue(JobSpec("b", inputs=(JobInput("i", "x.png", parent.id),)))
    with pytest.raises(JobStateConflict, match="Cancel it first"):
        parts.queue.delete(parent.id)
    parts.leases.commit(parts.claim()[0], Outcome({}))
    with pytest.raises(JobStateConflict, match="Another job"):
        parts.queue.delete(parent.id)
    parts.control.cancel(child.id)
    folder = parts.jobs.files.inputs(parent.id).parent
    parts.queue.delete(parent.id)
    assert not folder.exists()
    with pytest.raises(JobNotFound):
        parts.queue.get(parent.id)


def test_a_cached_result_is_found_by_its_key(parts: Bench) -> None:
    for _ in range(2):
        parts.queue.enqueue(JobSpec("a", cache_key=bound("k")))
    assert parts.jobs.cache.find(["k"]) is None
    for _ in range(2):
        lease, job = parts.claim()
        folder = parts.jobs.files.begin(job.id, lease.attempt)
        (folder / "out.png").write_bytes(b"x")
        parts.leases.commit(lease, Outcome({}, parts.jobs.files.seal(folder)))
    found = parts.jobs.cache.find(["k"])
    assert found is not None
    assert found.id == job.id
    parts.jobs.files.result(found, "out.png").unlink()
    older = parts.jobs.cache.find(["k"])
    assert older is not None
    assert older.id != job.id
    assert parts.jobs.cache.find([""]) is None


def test_jobs_submitted_together_share_a_transaction(parts: Bench) -> None:
    before = parts.jobs.store.changes()
    submitter = Submitter(parts.queue)
    futures = [submitter.submit(JobSpec(str(number))) for number in range(300)]
    with submitter:
        made = [future.result(30) for future in futures]
    assert [job.generator for job in made] == [str(number) for number in range(300)]
    # 300 numbers, and one for each of two transactions.
    assert parts.jobs.store.changes() - before == 302


def test_one_bad_submission_refuses_no_other(memory) -> None:
    with bench(memory) as parts:
        submitter = Submitter(parts.queue, capacity=3)
        good, bad, also = (submitter.submit(JobSpec(name)) for name in ("a", "", "c"))
        with pytest.raises(QueueFull):
            submitter.submit(JobSpec("too much"))
        with submitter:
            assert good.result(30).generator == "a"
            assert also.result(30).generator == "c"
            assert isinstance(bad.exception(30), InvalidJob)
        with pytest.raises(QueueFull):
            submitter.submit(JobSpec("too late"))


async def test_an_event_loop_enqueues_without_blocking(memory) -> None:
    with bench(memory) as parts, Submitter(parts.queue) as submitter:
        job = await submitter.enqueue(JobSpec("a"))
        assert parts.queue.get(job.id) == job
