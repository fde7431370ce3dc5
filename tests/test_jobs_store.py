"""The store when things go wrong: locked, full, damaged, not writable, too new, out of reach."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import event

from engine.errors import MissingDependency, Unavailable
from engine.jobs import store as store_module
from engine.jobs.attempt import Outcome
from engine.jobs.errors import (
    JobStateConflict,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreTooNew,
    StoreUnreachable,
)
from engine.jobs.opening import open_jobs
from engine.jobs.spec import JobSpec, JobState
from engine.jobs.store import Store
from tests.jobs_parts import bench, settings

pytest_plugins = ("tests.jobs_fixtures",)


def database(folder: Path) -> Path:
    return folder / "jobs.sqlite"


def filled(folder: Path, count: int) -> list[str]:
    """Make a store with so many jobs, closed."""
    with bench(folder) as parts:
        made = parts.queue.enqueue_many([JobSpec("a", {"n": n}) for n in range(count)])
    return [job.id for job in made]


def test_transactions_are_on_the_disk_when_they_end(memory) -> None:
    with bench(memory) as parts:
        found = []
        for durable in (True, False, True):
            with parts.jobs.store.write(durable) as writing:
                level = writing.connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
                mode = writing.connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
                found.append((level, mode))
    assert found == [(2, "wal"), (1, "wal"), (2, "wal")]


def test_a_transaction_that_fails_leaves_nothing(memory) -> None:
    with bench(memory) as parts:
        job = parts.queue.enqueue(JobSpec("a"))
        before = parts.jobs.store.changes()
        twice = JobSpec("b")
        with pytest.raises(JobStateConflict, match="exists already"):
            parts.queue.enqueue_many([twice, twice])
        assert parts.queue.get(job.id) == job
        assert parts.jobs.store.changes() == before
        assert len(parts.history.find().jobs) == 1


def test_a_locked_store_says_so_and_goes_on_afterwards(memory) -> None:
    with bench(memory, busy_s=0.05) as parts:
        job = parts.queue.enqueue(JobSpec("a"))
        with closing(sqlite3.connect(database(memory), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy, match="locked by another process"):
                parts.queue.enqueue(JobSpec("b"))
            with pytest.raises(Unavailable):
                parts.leases.claim("worker")
            assert parts.queue.get(job.id) == job, "reading goes on"
            other.execute("ROLLBACK")
        assert parts.queue.enqueue(JobSpec("b")).state is JobState.QUEUED


def test_a_full_disk_refuses_new_jobs_and_loses_none(memory) -> None:
    def limit(connection: sqlite3.Connection, _record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 10}")

    ids = filled(memory, 3)
    with bench(memory) as parts:
        engine = parts.jobs.store._engine
        engine.dispose()
        event.listen(engine, "connect", limit)
        large = [JobSpec("a", {"text": "x" * 5000}) for _ in range(100)]
        with pytest.raises(StoreFull, match="is full") as caught:
            list(map(parts.queue.enqueue, large))
        assert "Free some space" in caught.value.hint
        accepted = {job.id for job in parts.history.find(limit=200).jobs}
        assert accepted.issuperset(ids)
        event.remove(engine, "connect", limit)
        engine.dispose()
        parts.queue.enqueue(JobSpec("a", {"text": "x" * 5000}))
        assert len(parts.history.find(limit=200).jobs) == len(accepted) + 1


@pytest.mark.parametrize("damage", ["header", "middle", "text", "index"])
def test_a_damaged_store_is_set_aside_and_what_can_be_read_is_saved(memory, damage: str) -> None:
    ids = filled(memory, 300)
    path = database(memory)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        index_page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'jobs_in_order'"
        ).fetchone()[0]
    size = path.stat().st_size
    with path.open("r+b") as file:
        if damage == "header":
            file.write(b"\xa5" * 200)
        elif damage == "middle":
            file.seek(size // 2 // 4096 * 4096)
            file.write(b"\xff" * 4096)
        elif damage == "index":
            file.seek((index_page - 1) * 4096)
            file.write(b"\xff" * 4096)
        else:
            file.truncate(0)
            file.write(b"This is no database.\n" * 100)
    broken = path.read_bytes()
    with bench(memory) as parts:
        assert "is kept as 'jobs.sqlite.damaged-1'" in parts.jobs.store.notice
        assert (memory / "jobs.sqlite.damaged-1").read_bytes() == broken
        saved = [job.id for job in parts.history.find(limit=200).jobs]
        saved += [job.id for job in parts.history.find(limit=200, before=101).jobs]
        assert set(saved) <= set(ids)
        if damage in ("middle", "index"):
            assert len(set(saved)) >= 100
        fresh = parts.queue.enqueue(JobSpec("b"))
        assert fresh.number > max((job.number for job in parts.history.find().jobs[1:]), default=0)
        parts.leases.commit(parts.claim()[0], Outcome({}))
    with bench(memory) as parts:
        assert not parts.jobs.store.notice


def test_a_store_in_use_is_not_set_aside_under_the_others(memory) -> None:
    filled(memory, 300)
    with bench(memory) as parts:
        with database(memory).open("r+b") as file:
            file.write(b"no database")
        with pytest.raises(StoreDamaged, match="another process uses it"):
            open_jobs(settings(memory))
        parts.jobs.store._engine.dispose()
        with pytest.raises(StoreDamaged, match="Restart the server"):
            parts.history.find()
    assert not list(memory.glob("*.damaged-*"))


def test_a_worker_leaves_repairs_to_the_server(memory) -> None:
    filled(memory, 1)
    database(memory).write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreDamaged):
        Store(settings(memory), repair=False)
    assert not list(memory.glob("*.damaged-*"))


def test_a_relative_folder_is_the_same_for_workers_elsewhere(memory, monkeypatch) -> None:
    monkeypatch.chdir(memory)
    with open_jobs(settings(Path("here"))) as jobs:
        assert jobs.settings.folder == memory / "here"


def test_a_newer_store_is_left_alone(memory) -> None:
    filled(memory, 1)
    with closing(sqlite3.connect(database(memory))) as connection, connection:
        connection.execute("UPDATE counters SET value = 99 WHERE name = 'schema'")
    with pytest.raises(StoreTooNew, match="version 99"):
        open_jobs(settings(memory))


def test_a_folder_that_cannot_be_written_is_named(memory) -> None:
    (memory / "file").write_text("")
    with pytest.raises(StoreUnreachable, match="file"):
        open_jobs(settings(memory / "file" / "jobs"))


def test_a_database_that_does_not_answer_is_named_without_its_password(memory) -> None:
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    url = "postgresql+psycopg://me:secret@127.0.0.1:1/jobs"
    with pytest.raises(StoreUnreachable, match="cannot be reached") as caught:
        open_jobs(settings(memory, database=url))
    assert "secret" not in str(caught.value)


def test_a_missing_driver_says_how_to_get_it(memory, monkeypatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(store_module.sqlalchemy, "create_engine", refuse)
    with pytest.raises(MissingDependency, match="pip install"):
        open_jobs(settings(memory, database="postgresql+psycopg://host/name"))


def test_a_locked_row_on_postgresql_says_so(memory, empty_postgres) -> None:
    with bench(memory, database=empty_postgres, busy_s=0.05) as parts:
        with parts.jobs.store.write(), pytest.raises(StoreBusy):
            parts.queue.enqueue(JobSpec("a"))
        assert parts.queue.enqueue(JobSpec("a")).state is JobState.QUEUED


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_several_may_make_the_store_at_once(memory, kind: str, request) -> None:
    url = request.getfixturevalue("bare_postgres") if kind == "postgresql" else ""
    made: list[Store] = []

    def make() -> None:
        made.append(Store(settings(memory, database=url)))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.changes() for store in made] == [0] * 4
    for store in made:
        store.close()


def test_changes_are_seen_whoever_makes_them_and_looking_again_reads_no_table(
    tmp_path: Path,
) -> None:
    chosen = settings(tmp_path)
    store, other = Store(chosen), Store(chosen, repair=False)
    try:
        for writer in (other, store, other):
            before = store.changes()
            with writer.write():
                pass
            assert store.changes() == before + 1
        with mock.patch.object(store, "read", side_effect=AssertionError("read a table")):
            assert store.changes() == before + 1
    finally:
        other.close()
        store.close()
