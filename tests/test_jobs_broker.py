"""Jobs on several machines: what the broker does, and that it cannot lose or double anything."""

import json
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.errors import SettingsError
from engine.jobs.announcing import Announcer
from engine.jobs.broker import MAX_PENDING, QUEUE, TASK, BrokerLink, BrokerUnreachable
from engine.jobs.broker_worker import Listener
from engine.jobs.context import Place
from engine.jobs.expiry import Expiry
from engine.jobs.ids import new_job_id
from engine.jobs.settings import JobSettings
from engine.jobs.spec import JobSpec, JobState
from engine.jobs.store import Store
from engine.jobs.worker import Order, Worker
from engine.settings import Settings
from engine.settings_file import load, without_secrets
from tests.cluster_services import PATIENCE_S, RedisServer
from tests.jobs_generators import make
from tests.jobs_host import REGISTRY, Watcher, forget_signal
from tests.jobs_parts import Bench, bench, settings
from transport.commands.worker import chosen
from transport.jobs.backend import Backend

pytest_plugins = ("tests.jobs_fixtures",)

ADDRESS = "redis://:secret@127.0.0.1:1/0"
DATABASE = "postgresql+psycopg://host/name"


class FakeLink:
    """A broker that is there or away as tests want it."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[str] = []
        self.hears: list[str | None] = []
        self.asked = 0

    def send(self, job_ids: Sequence[str]) -> int:
        self._check()
        self.sent += job_ids
        return len(job_ids)

    def hear(self, timeout_s: float) -> str | None:
        self.asked += 1
        self._check()
        return self.hears.pop(0)

    def close(self) -> None:
        self.sent.clear()

    def _check(self) -> None:
        if self.away:
            raise BrokerUnreachable("The broker is away.")


def announcer(parts: Bench) -> tuple[Announcer, FakeLink]:
    link = FakeLink()
    return Announcer(parts.jobs.store, link, 0.02), link  # type: ignore[arg-type]  # a fake


def test_every_way_into_the_queue_is_announced_once(memory: Path) -> None:
    with bench(memory) as parts:
        early = parts.queue.enqueue(JobSpec("write"))
        announcing, link = announcer(parts)
        parent = parts.queue.enqueue(JobSpec("write"))
        child = parts.queue.enqueue(JobSpec("write", depends_on=(parent.id,)))
        delayed = parts.queue.enqueue(JobSpec("write", delay_s=5))
        assert announcing.tick() == 2
        assert announcing.tick() == 0
        assert link.sent == [early.id, parent.id]
        link.sent.clear()

        lease, _ = parts.claim()
        parts.control.pause(parent.id)
        assert announcing.tick() == 0
        parts.leases.give_back(lease, "stopping")
        parts.control.resume(parent.id)
        parts.clocks.advance(6)
        Expiry(parts.jobs.store, parts.leases, parts.jobs.clocks).tick()
        announcing.tick()
        assert sorted(link.sent) == sorted([early.id, parent.id, delayed.id])
        assert parts.queue.get(child.id).state is JobState.WAITING


def test_what_came_while_the_broker_was_away_is_announced_later(memory: Path) -> None:
    with bench(memory) as parts:
        announcing, link = announcer(parts)
        link.away = True
        made = [parts.queue.enqueue(JobSpec("write")).id for _ in range(3)]
        with pytest.raises(BrokerUnreachable):
            announcing.tick()
        link.away = False
        assert announcing.tick() == 3
        assert link.sent == made


def test_a_worker_looks_by_itself_while_the_broker_is_away(caplog) -> None:
    link, now = FakeLink(), [100.0]
    listener = Listener(link, threading.Event(), lambda: now[0], 1.0, 0.0, again_s=5.0)
    link.away = True
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            listener.wait()
        assert link.asked == 1
        for _ in range(2):
            now[0] += 5.0
            listener.wait()
        assert link.asked == 3
        link.away, link.hears = False, ["job"]
        now[0] += 5.0
        listener.wait()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_message_has_nothing_but_the_id(redis: RedisServer) -> None:
    from redis import Redis

    with BrokerLink(redis.url) as link, Redis.from_url(redis.url) as raw:
        job_id = new_job_id()
        assert link.send([job_id]) == 1
        (message,) = raw.lrange(QUEUE, 0, -1)
        known = json.loads(message)
        assert known["headers"]["task"] == TASK
        assert link.hear(5.0) == job_id
        assert link.hear(0.05) is None

        # Anybody may write into a broker: nothing is believed, nothing is unpickled.
        known["content-type"] = "application/x-python-serialize"
        raw.lpush(QUEUE, json.dumps(known))
        assert link.hear(5.0) == ""

        assert link.send([new_job_id() for _ in range(MAX_PENDING + 5)]) == MAX_PENDING
        assert link.send([job_id]) == 0
        assert raw.llen(QUEUE) == MAX_PENDING


def test_a_broker_that_goes_and_comes_back(redis: RedisServer) -> None:
    with BrokerLink(redis.url) as receiver, BrokerLink(redis.url) as sender:
        assert receiver.hear(0.05) is None
        redis.stop()
        began = time.monotonic()
        for act in (lambda: receiver.hear(5.0), lambda: sender.send(["a"])) * 2:
            with pytest.raises(BrokerUnreachable, match=f"127.0.0.1:{redis.port}") as caught:
                act()
            assert redis.password not in str(caught.value)
        assert time.monotonic() - began < 3.0
        redis.start()
        sender.send(["b"])
        assert receiver.hear(5.0) == "b"


def test_a_wrong_password_is_said_and_not_shown(redis: RedisServer) -> None:
    url = redis.url.replace(redis.password, "guessed")
    with BrokerLink(url) as link, pytest.raises(BrokerUnreachable) as caught:
        link.send(["a"])
    assert "guessed" not in str(caught.value)
    assert "WRONGPASS" in str(caught.value) or "password" in str(caught.value)


def test_messages_wake_a_worker_and_those_of_done_jobs_do_nothing(
    memory: Path, empty_postgres: str, redis: RedisServer
) -> None:
    values = {"database": empty_postgres, "broker": redis.url, "broker_look_s": 60.0}
    chosen = settings(memory, **values)
    order = Order("me", REGISTRY, {}, Place("cpu", 1), chosen)
    store = Store(chosen)
    worker = Worker(order, store, None)
    thread = threading.Thread(target=worker.work, args=(make(order.place, {}),))
    worker.start()
    thread.start()
    backend = Backend(chosen.model_copy(update={"devices": ()}), REGISTRY, {}, "ERROR")
    try:
        with Watcher(backend.jobs) as watcher, BrokerLink(redis.url) as link:
            made = []
            for _ in range(3):
                job = backend.jobs.queue.enqueue(JobSpec("write"))
                made.append(watcher.finished(job.id).id)
            link.send([made[0], made[0], new_job_id(), "no id"])
            job = backend.jobs.queue.enqueue(JobSpec("write"))
            made.append(watcher.finished(job.id).id)
            assert [backend.jobs.queue.get(job_id).attempt for job_id in made] == [1] * 4
    finally:
        worker.stop()
        thread.join()
        backend.close()
        store.close()
        forget_signal(chosen)


def test_the_server_takes_jobs_while_the_broker_is_away(
    memory: Path, empty_postgres: str, redis: RedisServer, caplog, monkeypatch
) -> None:
    redis.stop()
    chosen = settings(memory, database=empty_postgres, broker=redis.url, devices=())
    failed = threading.Semaphore(0)
    send = BrokerLink.send

    def noticed(link: BrokerLink, job_ids: Sequence[str]) -> int:
        try:
            return send(link, job_ids)
        except BrokerUnreachable:
            failed.release()
            raise

    monkeypatch.setattr(BrokerLink, "send", noticed)
    with caplog.at_level(logging.INFO):
        backend = Backend(chosen, REGISTRY, {}, "ERROR")
        try:
            made = [backend.submitter.submit(JobSpec("write")).result(PATIENCE_S) for _ in "ab"]
            for _ in range(2):
                assert failed.acquire(timeout=PATIENCE_S)
            redis.start()
            heard = set()
            with BrokerLink(redis.url) as link:
                while len(heard) < len(made):
                    heard.add(link.hear(PATIENCE_S))
            assert heard == {job.id for job in made}
        finally:
            backend.close()
            forget_signal(chosen)
    away, back = [record.message for record in caplog.records if "announced" in record.message]
    assert away.startswith(f"Jobs are not announced at present: The broker '{link.where}' cannot")
    assert back == "Jobs are announced again."
    assert redis.password not in caplog.text


def test_a_worker_that_stops_does_not_wait_for_messages(
    memory: Path, empty_postgres: str, redis: RedisServer
) -> None:
    chosen = settings(memory, database=empty_postgres, broker=redis.url, broker_look_s=60.0)
    order = Order("me", REGISTRY, {}, Place("cpu", 1), chosen)
    store = Store(chosen)
    worker = Worker(order, store, None)
    thread = threading.Thread(target=worker.work, args=(make(order.place, {}),))
    worker.start()
    thread.start()
    began = time.monotonic()
    worker.stop()
    thread.join()
    store.close()
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("wrong", ["amqp://x:secret@h/0", "redis://", "redis://:secret@h:port/0"])
def test_wrong_addresses_are_refused_without_being_shown(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError, match="jobs.broker: must be like") as caught:
        load(None, {}, {("jobs", "broker"): wrong, ("jobs", "database"): DATABASE})
    assert "secret" not in str(caught.value)


def test_a_broker_needs_a_database_and_its_password_is_a_secret() -> None:
    with pytest.raises(ValidationError, match="broker needs database"):
        JobSettings(broker=ADDRESS)
    known = {"broker": ADDRESS, "database": DATABASE}
    assert without_secrets(known) == {"broker": "***", "database": "***"}
    assert BrokerLink(ADDRESS).where == "redis://127.0.0.1:1/0"


def test_workers_with_a_broker_stay(tmp_path: Path) -> None:
    jobs = JobSettings(broker=ADDRESS, database=DATABASE)
    assert chosen(Settings(jobs=jobs), None, broker=True).jobs.worker_idle_s == 0
    assert chosen(Settings(jobs=jobs), ["cpu"]).jobs.worker_idle_s > 0
    with pytest.raises(SettingsError, match="--broker needs"):
        chosen(Settings(), None, broker=True)
