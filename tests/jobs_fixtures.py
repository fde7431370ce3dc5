"""Fixtures of the tests of jobs, for SQLite and PostgreSQL."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from tests.cluster_services import RedisServer, postgres_server, redis_server
from tests.jobs_parts import Bench, bench


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory if that can be: hundreds of commits need not wait for a disk."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared, prefix="jobs-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database."""
    # Not in pytest's own folder, which the server's account may not enter.
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        with postgres_server(place) as url:
            yield url


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    """The URL of a PostgreSQL database without rows; the first test makes the tables."""
    engine = sqlalchemy.create_engine(postgres)
    with engine.begin() as connection:
        for name in sqlalchemy.inspect(connection).get_table_names():
            connection.exec_driver_sql(f"TRUNCATE {name} CASCADE")
    engine.dispose()
    return postgres


@pytest.fixture
def bare_postgres(postgres: str) -> str:
    """The URL of a PostgreSQL database without tables."""
    engine = sqlalchemy.create_engine(postgres)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return postgres


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis server, empty."""
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def parts(request: pytest.FixtureRequest, memory: Path) -> Iterator[Bench]:
    """An open queue on each kind of database."""
    url = request.getfixturevalue("empty_postgres") if request.param == "postgresql" else ""
    with bench(memory, database=url) as opened:
        yield opened
