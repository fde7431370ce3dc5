"""What subscribers hear of a job."""

import asyncio
import threading

import pytest

from engine.jobs.attempt import Outcome, Report
from engine.jobs.errors import JobNotFound
from engine.jobs.events import EventKind, JobEvent
from engine.jobs.feed import JobFeed
from engine.jobs.opening import open_jobs
from engine.jobs.spec import JobError, JobSpec
from engine.jobs.subscriptions import Subscription
from tests.jobs_parts import Bench, bench, settings

pytest_plugins = ("tests.jobs_fixtures",)

STATE, POSITION, PROGRESS, PREVIEW, LOG, DONE, REMOVED = EventKind


@pytest.fixture
def parts(memory):
    with bench(memory) as opened:
        yield opened


class Follower:
    """A subscriber of a feed that looks when a test says so."""

    def __init__(self, feed: JobFeed, job_id: str) -> None:
        self.calls = 0
        self.feed = feed
        self.subscription = Subscription(job_id, self.count)
        feed.add(self.subscription)

    def count(self) -> None:
        self.calls += 1

    def news(self) -> list[JobEvent]:
        self.feed.poll()
        return self.subscription.take()


def kinds(events: list[JobEvent]) -> list[EventKind]:
    return [event.kind for event in events]


def test_a_job_is_followed_from_the_queue_to_its_end(parts: Bench) -> None:
    feed = JobFeed(parts.jobs)
    first = parts.queue.enqueue(JobSpec("a"))
    job = parts.queue.enqueue(JobSpec("b"))
    follower = Follower(feed, job.id)
    news = follower.news()
    assert kinds(news) == [STATE, POSITION]
    assert (news[0].data["state"], news[1].data) == ("queued", {"position": 1})
    assert follower.news() == []

    parts.leases.commit(parts.claim()[0], Outcome({}))
    assert [event.data for event in follower.news()] == [{"position": 0}]

    lease, _ = parts.claim()
    assert [event.data["state"] for event in follower.news() if event.kind is STATE] == ["running"]
    parts.leases.report(lease, Report(0.25, 30.0, "step 1", "1-1.jpg", ((1.0, "hello"),)))
    news = follower.news()
    assert kinds(news) == [PREVIEW, PROGRESS, LOG]
    assert news[0].data == {"name": "1-1.jpg"}
    assert news[1].data == {"progress": 0.25, "eta_s": 30.0, "message": "step 1"}
    assert news[2].data == {"number": 1, "at": 1.0, "line": "hello"}

    parts.leases.commit(lease, Outcome({"n": 1}, lines=((2.0, "bye"),)))
    news = follower.news()
    assert kinds(news) == [STATE, PROGRESS, LOG, DONE]
    assert news[-1].data == parts.queue.get(job.id).to_json()
    assert news[-1].last
    assert follower.news() == []
    parts.queue.delete(first.id)


def test_who_comes_late_hears_how_it_ended(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    parts.leases.fail(lease, JobError("X", "broken", "hint"), 1.0, [(1.0, "line")])
    news = Follower(JobFeed(parts.jobs), job.id).news()
    assert kinds(news) == [STATE, LOG, DONE]
    assert news[0].data["error"] == {"kind": "X", "description": "broken", "hint": "hint"}


def test_who_comes_while_the_feed_looks_is_fed_with_its_next_look(
    parts: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = JobFeed(parts.jobs)
    job = parts.queue.enqueue(JobSpec("a"))
    Follower(feed, job.id)
    late: list[Follower] = []
    changes = parts.jobs.store.changes

    def joined() -> int:
        found = changes()
        if not late:
            late.append(Follower(feed, job.id))
        return found

    monkeypatch.setattr(parts.jobs.store, "changes", joined)
    feed.poll()
    assert kinds(late[0].news()) == [STATE, POSITION]


def test_a_slow_subscriber_gets_the_newest_and_is_called_once(parts: Bench) -> None:
    feed = JobFeed(parts.jobs)
    job = parts.queue.enqueue(JobSpec("a"))
    lease, _ = parts.claim()
    follower = Follower(feed, job.id)
    for step in range(150):
        lines = tuple((0.0, f"{step}.{n}") for n in range(8))
        parts.leases.report(lease, Report(step / 150, lines=lines))
        feed.poll()
    assert follower.calls == 1
    news = follower.subscription.take()
    assert [event.data["progress"] for event in news if event.kind is PROGRESS] == [149 / 150]
    numbers = [event.data["number"] for event in news if event.kind is LOG]
    assert numbers == list(range(1200 - 499, 1201))


def test_a_job_that_is_deleted_ends_its_events(parts: Bench) -> None:
    job = parts.queue.enqueue(JobSpec("a"))
    parts.control.pause(job.id)
    follower = Follower(JobFeed(parts.jobs), job.id)
    assert kinds(follower.news()) == [STATE, PROGRESS]
    parts.control.cancel(job.id)
    parts.queue.delete(job.id)
    assert kinds(follower.news()) == [REMOVED]


def test_an_idle_feed_reads_one_row(parts: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = JobFeed(parts.jobs)
    job = parts.queue.enqueue(JobSpec("a"))
    follower = Follower(feed, job.id)
    follower.news()
    reads = []
    monkeypatch.setattr(parts.jobs.store, "read", lambda: reads.append(1))
    monkeypatch.setattr(parts.jobs.store, "changes", lambda: feed._seen)
    assert follower.news() == []
    assert not reads


async def test_an_event_loop_follows_a_job_of_another_process(memory) -> None:
    with open_jobs(settings(memory)) as jobs, bench(memory) as elsewhere:
        feed = JobFeed(jobs)
        feed.start()
        try:
            job = jobs.queue.enqueue(JobSpec("a"))
            heard = []
            async for event in feed.follow(job.id):
                heard.append(event.kind)
                if event.kind is POSITION:
                    lease, _ = elsewhere.claim()
                    elsewhere.leases.report(lease, Report(0.5))
                if event.kind is PROGRESS and event.data["progress"] == 0.5:
                    elsewhere.leases.commit(lease, Outcome({}))
            assert (heard[0], heard[-1]) == (STATE, DONE)
            with pytest.raises(JobNotFound):
                await anext(feed.follow("0" * 32))
        finally:
            await asyncio.to_thread(feed.close)
        assert not [t for t in threading.enumerate() if t.name == "jobs-feed"]
