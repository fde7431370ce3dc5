"""The tables of the store, for SQLite and PostgreSQL alike."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

SCHEMA_VERSION: Final = 1

metadata: Final = MetaData()

counters: Final = Table(
    "counters",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""``schema`` (the version), ``changes`` (see ``Store.write``) and ``held`` (1: nothing starts)."""

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("changed", BigInteger, nullable=False, index=True),
    Column("generator", String(100), nullable=False),
    Column("params", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("parents", JSON, nullable=False),
    Column("search", Text, nullable=False),
    Column("state", String(10), nullable=False),
    # Order in the queue: priority falling, position rising.
    Column("priority", Integer, nullable=False),
    Column("position", Double, nullable=False),
    # When a delayed job is due (see clocks.Watch), and the same as wall time.
    Column("due_domain", String(80), nullable=False, default=""),
    Column("due_at", Double, nullable=False, default=0.0),
    Column("due_s", Double, nullable=False, default=0.0),
    Column("not_before", Double),
    # Who works on it, and when its lease ends (see clocks.Watch); beat rises with each renewal.
    Column("owner", String(100), nullable=False, default=""),
    Column("attempt", Integer, nullable=False, default=0),
    Column("lease_domain", String(80), nullable=False, default=""),
    Column("lease_at", Double, nullable=False, default=0.0),
    Column("lease_s", Double, nullable=False, default=0.0),
    Column("beat", BigInteger, nullable=False, default=0),
    Column("request", String(10), nullable=False, default=""),
    Column("progress", Double, nullable=False, default=0.0),
    Column("eta_s", Double),
    Column("message", Text, nullable=False, default=""),
    Column("preview", String(200), nullable=False, default=""),
    Column("result", JSON(none_as_null=True)),
    Column("files", JSON, nullable=False),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("error", JSON(none_as_null=True)),
    Column("retry", JSON, nullable=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("crashes", Integer, nullable=False, default=0),
    Column("requeues", Integer, nullable=False, default=0),
    Column("recipe", JSON, nullable=False),
    Column("cache_key", String(128), nullable=False, default=""),
    Column("extra", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("run_s", Double),
)
Index("jobs_in_order", jobs.c.state, jobs.c.priority.desc(), jobs.c.position)
Index("jobs_by_owner", jobs.c.owner)
Index("jobs_by_key", jobs.c.cache_key)

parents: Final = Table(
    "job_parents",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("parent_id", String(32), primary_key=True, index=True),
    Column("done", Boolean, nullable=False),
)
"""Which jobs a job depends on, and whether they are done."""

log: Final = Table(
    "job_log",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", Double, nullable=False),
    Column("line", Text, nullable=False),
)
"""The last lines that a job said; numbers of one job rise without gaps."""

notices: Final = Table(
    "job_notices",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("url", Text, nullable=False),
    Column("calls", Integer, nullable=False, default=0),
    # When the next call may be made (see clocks.Watch).
    Column("due_domain", String(80), nullable=False, default=""),
    Column("due_at", Double, nullable=False, default=0.0),
    Column("due_s", Double, nullable=False, default=0.0),
)
"""Who is to be called when a job has ended, until that has succeeded or is given up."""
