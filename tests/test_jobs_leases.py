"""Leases: who may write, when they end, and what happens to clocks."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.jobs.attempt import Lease, Outcome, Report
from engine.jobs.clocks import Watch, system_clocks
from engine.jobs.errors import LeaseLost
from engine.jobs.expiry import Expiry
from engine.jobs.leases import Leases, leases_of
from engine.jobs.settings import RetryPolicy
from engine.jobs.spec import JobError, JobSpec, JobState, Request
from tests.jobs_parts import Bench, TestClocks, bench

pytest_plugins = ("tests.jobs_fixtures",)

PASSING = JobError("X", "not now", retryable=True)
LASTING = JobError("X", "never")


def expiry(parts: Bench) -> Expiry:
    return Expiry(parts.jobs.store, parts.leases, parts.jobs.clocks)


def writes(leases: Leases, lease: Lease) -> list:
    """All that a worker can write."""
    return [
        lambda: leases.report(lease),
        lambda: leases.report(lease, Report(0.5, lines=((0.0, "line"),))),
        lambda: leases.request(lease),
        lambda: leases.hold(lease),
        lambda: leases.commit(lease, Outcome({"stolen": True})),
        lambda: leases.fail(lease, LASTING, 1.0),
        lambda: leases.give_back(lease, "no"),
    ]


def test_a_job_is_claimed_once(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    lease, claimed = parts.claim("one")
    assert (claimed.id, claimed.state, claimed.attempt) == (job.id, JobState.RUNNING, 1)
    assert claimed == parts.queue.get(job.id)
    assert parts.leases.claim("two") is None
    with parts.jobs.store.read() as connection:
        assert leases_of(connection, "one") == [lease]


def test_a_claim_may_be_for_some_jobs_only(parts: Bench) -> None:
    made = {name: parts.queue.enqueue(JobSpec(name)) for name in "abc"}
    assert parts.leases.claim("worker", generators=["x"]) is None
    for wanted in ({"generators": ["b", "c"]}, {"job_id": made["c"].id}, {}):
        claimed = parts.leases.claim("worker", **wanted)
        assert claimed is not None
        made.pop(claimed[1].generator)
    assert not made


def test_many_claimers_never_get_the_same_job(parts: Bench) -> None:
    parts.queue.enqueue_many([JobSpec("a") for _ in range(40)])
    taken: list[str] = []

    def take(name: str) -> None:
        while (claimed := parts.leases.claim(name)) is not None:
            taken.append(claimed[1].id)

    threads = [threading.Thread(target=take, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40


def test_a_lost_lease_changes_nothing(parts: Bench) -> None:
    parts.queue.enqueue(JobSpec("a"))
    old, _ = parts.claim("old")
    parts.clocks.advance(10.1)
    assert expiry(parts).tick() == 1
    new, job = parts.claim("new")
    assert (new.attempt, job.requeues, job.crashes) == (2, 1, 1)
    before = parts.queue.get(job.id)
    # The same owner again, as a worker could be that was stopped and goes on, is fenced, too.
    for lease in (old, Lease(job.id, "new", 1), Lease(job.id, "old", 2)):
        for write in writes(parts.leases, lease):
            with pytest.raises(LeaseLost):
                write()
        assert parts.leases.take_back(lease, "x") is None
    assert parts.queue.get(job.id) == before
    assert not parts.history.log(job.id)
    parts.leases.commit(new, Outcome({"n": 1}))
    for write in writes(parts.leases, new):
        with pytest.raises(LeaseLost):
            write()
    assert parts.queue.get(job.id).result == {"n": 1}


def test_a_renewed_lease_stands(parts: Bench) -> None:
    parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    watching = expiry(parts)
    for _ in range(5):
        parts.clocks.advance(8)
        parts.leases.report(lease)
        assert watching.tick() == 0
    parts.clocks.advance(10.1)
    assert watching.tick() == 1


@pytest.mark.parametrize("step", [-1e9, -3600.0, -5.0, 5.0, 3600.0, 1e9])
def test_setting_the_wall_clock_changes_no_lease_and_no_delay(memory, step: float) -> None:
    with bench(memory) as parts:
        parts.queue.enqueue(JobSpec("a"))
        parts.queue.enqueue(JobSpec("later", delay_s=8))
        parts.claim()
        parts.clocks.wall += step
        watching = expiry(parts)
        parts.clocks.advance(7.9)
        assert watching.tick() == 0
        parts.clocks.advance(0.2)
        assert watching.tick() == 1, "the delay is over"
        parts.clocks.advance(1.8)
        assert watching.tick() == 0
        parts.clocks.advance(0.2)
        assert watching.tick() == 1, "the lease has ended"


@pytest.mark.parametrize("domain", ["boot-2", ""])
def test_a_lease_of_another_boot_ends_after_its_length_of_silence(memory, domain: str) -> None:
    with bench(memory) as parts:
        parts.queue.enqueue(JobSpec("a"))
        lease, _ = parts.claim()
        # Monotonic time has begun anew, and the wall clock is a year behind.
        parts.clocks.wall -= 3e7
        other = parts.clocks.clocks(domain, offset=-999.0)
        leases = parts.worker_side(other)
        watching = Expiry(parts.jobs.store, leases, other)
        assert watching.tick() == 0
        parts.clocks.advance(9.9)
        assert watching.tick() == 0
        parts.leases.report(lease)
        parts.clocks.advance(9.9)
        assert watching.tick() == 0, "it was renewed, so it is watched anew"
        parts.clocks.advance(10.1)
        assert watching.tick() == 1


def test_a_delay_goes_on_over_a_restart_of_the_machine(memory) -> None:
    with bench(memory) as parts:
        parts.queue.enqueue(JobSpec("a", delay_s=3600))
        parts.clocks.advance(1800)
        other = parts.clocks.clocks("boot-2", offset=-2500.0)
        watching = Expiry(parts.jobs.store, parts.worker_side(other), other)
        assert watching.tick() == 0
        parts.clocks.advance(1801)
        assert watching.tick() == 1


def test_a_delay_takes_no_longer_than_its_length_when_the_clock_goes_back(memory) -> None:
    with bench(memory) as parts:
        parts.queue.enqueue(JobSpec("a", delay_s=3600))
        parts.clocks.wall -= 1e8
        other = parts.clocks.clocks("boot-2")
        watching = Expiry(parts.jobs.store, parts.worker_side(other), other)
        assert watching.tick() == 0
        parts.clocks.advance(3601)
        assert watching.tick() == 1


def test_two_watchers_take_a_job_back_once(parts: Bench) -> None:
    parts.queue.enqueue(JobSpec("a"))
    parts.claim()
    parts.clocks.advance(11)
    assert [expiry(parts).tick(), expiry(parts).tick()] == [1, 0]


def test_a_lease_that_is_renewed_while_it_is_taken_back_stands(parts: Bench) -> None:
    parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    parts.leases.report(lease)
    assert parts.leases.take_back(lease, "silent", beat=1) is None
    assert parts.leases.take_back(lease, "silent", beat=2) is JobState.QUEUED


def test_a_job_that_ends_its_worker_again_and_again_fails(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    for expected in (JobState.QUEUED, JobState.QUEUED, JobState.FAILED):
        lease, _ = parts.claim()
        assert parts.leases.take_back(lease, "its worker process ended by signal 9.") is expected
    found = parts.queue.get(job.id)
    assert found.error is not None
    assert found.error.kind == "WorkerLost"
    assert "3 times" in found.error.description


def test_a_worker_that_was_stopped_is_not_held_against_its_job(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    for _ in range(5):
        lease, _ = parts.claim()
        parts.leases.take_back(lease, "stopped", to_blame=False)
    found = parts.queue.get(job.id)
    assert (found.state, found.crashes, found.requeues) == (JobState.QUEUED, 0, 5)


def test_passing_errors_are_tried_again_later_and_later(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    watching = expiry(parts)
    for wait in (4.0, 8.0):
        assert parts.leases.fail(parts.claim()[0], PASSING, 1.0) is JobState.DELAYED
        found = parts.queue.get(job.id)
        assert found.error == PASSING
        parts.clocks.advance(wait - 0.1)
        assert watching.tick() == 0
        parts.clocks.advance(0.2)
        assert watching.tick() == 1
    assert parts.leases.fail(parts.claim()[0], PASSING, 1.0) is JobState.FAILED
    assert parts.queue.get(job.id).failures == 3


def test_lasting_errors_are_not_tried_again(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    state = parts.leases.fail(parts.claim()[0], LASTING, 2.5, [(1.0, "Traceback"), (2.0, "x")])
    found = parts.queue.get(job.id)
    assert (state, found.error, found.run_s) == (JobState.FAILED, LASTING, 2.5)
    assert [line.line for line in parts.history.log(job.id)] == ["Traceback", "x"]


@pytest.mark.parametrize("kill", [False, True])
def test_a_running_job_hears_that_it_is_cancelled(parts: Bench, kill: bool) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    assert parts.control.cancel(job.id, kill).state is JobState.RUNNING
    assert parts.control.cancel(job.id).request is (Request.KILL if kill else Request.CANCEL)
    assert parts.leases.report(lease) is parts.leases.request(lease)
    # However it ends now, it is cancelled.
    ends = parts.leases.take_back(lease, "killed") if kill else parts.leases.give_back(lease, "")
    assert ends is JobState.CANCELLED


def test_an_error_after_a_cancel_counts_as_cancelled(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    parts.control.cancel(job.id)
    assert parts.leases.fail(lease, PASSING, 1.0) is JobState.CANCELLED


def test_a_running_job_is_held_and_goes_on(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    assert not parts.leases.hold(lease)
    assert parts.control.pause(job.id).request is Request.PAUSE
    assert parts.leases.request(lease) is Request.PAUSE
    assert parts.leases.hold(lease)
    assert parts.queue.get(job.id).state is JobState.PAUSED
    assert parts.control.resume(job.id).state is JobState.RUNNING
    assert parts.leases.request(lease) is Request.NONE


def test_a_held_job_stays_paused_when_its_worker_dies(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    parts.control.pause(job.id)
    parts.leases.hold(lease)
    parts.clocks.advance(11)
    expiry(parts).tick()
    found = parts.queue.get(job.id)
    assert (found.state, found.owner) == (JobState.PAUSED, "")
    assert parts.control.resume(job.id).state is JobState.QUEUED


def test_reports_are_kept_and_the_log_is_bounded(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    parts.leases.report(lease, Report(0.25, 12.0, "step 1", "1-1.jpg", ((1.0, "one"),)))
    parts.leases.report(lease, Report(message="step 2"))
    found = parts.queue.get(job.id)
    assert (found.progress, found.eta_s, found.message) == (0.25, 12.0, "step 2")
    assert found.preview == "1-1.jpg"
    for start in range(0, 1500, 500):
        lines = tuple((2.0, f"{start + n}" + "x" * 3000) for n in range(500))
        parts.leases.report(lease, Report(lines=lines))
    kept = parts.history.log(job.id)
    assert [line.number for line in kept] == list(range(502, 1502))
    assert all(len(line.line) == 2000 for line in kept)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
@settings(max_examples=50)
def test_waits_grow_up_to_a_limit_and_are_spread(failures: int, chance: float) -> None:
    policy = RetryPolicy(first_s=2, factor=2, max_s=300, jitter=0.5)
    longest = policy.wait_s(failures, 0.0)
    assert longest == min(300, 2 * 2 ** min(failures - 1, 64))
    assert longest / 2 <= policy.wait_s(failures, chance) <= longest


def test_a_watch_remembers_only_what_is_asked_for() -> None:
    clocks = TestClocks()
    watch = Watch(clocks.clocks())
    assert not watch.passed("a", "other", 0.0, 5.0)
    watch.forget_others()
    clocks.advance(6)
    watch.forget_others()
    assert not watch.passed("a", "other", 0.0, 5.0), "it was forgotten, so it is watched anew"


def test_all_processes_of_one_boot_share_a_clock() -> None:
    assert system_clocks().domain == system_clocks().domain != ""
