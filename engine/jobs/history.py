"""Finding jobs: by state, generator, text and time, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, Text, cast, func, select

from engine.jobs.ids import known_id
from engine.jobs.ordering import place
from engine.jobs.rows import SEARCH_LENGTH, to_job
from engine.jobs.schema import jobs, log
from engine.jobs.spec import FINISHED, Job, JobState
from engine.jobs.store import Store
from engine.jobs.text import plain

MAX_PAGE = 200
_MAX_WORDS = 20


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are wanted; all conditions must hold.

    Attributes:
        text: Words that all occur in the generator's name, the parameters, the inputs' names or
            the id; upper and lower case are the same.
        generator: Only of this one; empty: of any.
        states: Only in one of these; empty: in any.
        since: Enqueued at or after, seconds since 1970.
        until: Enqueued before.
    """

    text: str = ""
    generator: str = ""
    states: tuple[JobState, ...] = ()
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what was found, newest first.

    Attributes:
        jobs: The jobs.
        before: Hand it to the next call for what follows; None: that was all.
    """

    jobs: tuple[Job, ...]
    before: int | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a job said.

    Attributes:
        number: Rises by one with each line of the job.
        at: Seconds since 1970.
        line: The text.
    """

    number: int
    at: float
    line: str


class History:
    """Reads jobs. Every method raises ``Unavailable`` while the store is out of reach.

    Args:
        store: Where jobs are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(
        self, wanted: JobFilter | None = None, limit: int = 50, before: int | None = None
    ) -> Page:
        """Return jobs, newest first.

        Args:
            wanted: Which ones; None: all.
            limit: At most so many, up to ``MAX_PAGE``.
            before: ``Page.before`` of the page before this one.
        """
        limit = max(1, min(limit, MAX_PAGE))
        query = _filtered(wanted or JobFilter()).order_by(jobs.c.number.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(jobs.c.number < before)
        with self._store.read() as connection:
            rows = connection.execute(query).mappings().all()
        found = tuple(to_job(row) for row in rows[:limit])
        return Page(found, found[-1].number if len(rows) > limit else None)

    def queue(
        self, limit: int = MAX_PAGE, wanted: JobFilter | None = None, skip: int = 0
    ) -> tuple[Job, ...]:
        """Return the unfinished jobs in the order in which they start; what runs is first.

        Args:
            limit: At most so many.
            wanted: Which ones; None: all.
            skip: Leave out so many at the start.
        """
        query = (
            _filtered(wanted or JobFilter())
            .where(jobs.c.state.not_in(FINISHED))
            .order_by(jobs.c.owner == "", jobs.c.priority.desc(), jobs.c.position, jobs.c.number)
            .limit(limit)
            .offset(skip)
        )
        with self._store.read() as connection:
            return tuple(to_job(row) for row in connection.execute(query).mappings())

    def with_digest(self, digest: str, limit: int = 20) -> tuple[Job, ...]:
        """Return jobs whose recipe has this hash of a file, newest first. Looks at all of them.

        Args:
            digest: SHA-256 in hexadecimal digits.
            limit: At most so many.
        """
        query = (
            select(jobs)
            .where(cast(jobs.c.recipe, Text).contains(plain(digest, 64), autoescape=True))
            .order_by(jobs.c.number.desc())
            .limit(limit)
        )
        with self._store.read() as connection:
            return tuple(to_job(row) for row in connection.execute(query).mappings())

    def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with self._store.read() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return {state: found.get(state.value, 0) for state in JobState}

    def place(self, job: Job) -> int | None:
        """Return how many queued jobs go before this one; None if it is not queued."""
        with self._store.read() as connection:
            return place(connection, job.state, job.priority, job.position)

    def places(self, ids: Sequence[str] | None = None, limit: int | None = None) -> dict[str, int]:
        """Return how many queued jobs go before each queued job.

        Args:
            ids: Only of these; None: of all.
            limit: Only of so many at the start of the queue; None: of all.
        """
        order = (jobs.c.priority.desc(), jobs.c.position, jobs.c.number)
        queued = (
            select(jobs.c.id, func.row_number().over(order_by=order).label("place"))
            .where(jobs.c.state == JobState.QUEUED.value)
            .order_by(*order)
            .limit(limit)
            .subquery()
        )
        query = select(queued.c.id, queued.c.place)
        if ids is not None:
            query = query.where(queued.c.id.in_(ids))
        with self._store.read() as connection:
            return {row[0]: row[1] - 1 for row in connection.execute(query)}

    def log(self, job_id: str, after: int = 0, limit: int = 1000) -> tuple[LogLine, ...]:
        """Return lines of a job's log, in order.

        Args:
            job_id: The job.
            after: Only lines with a larger number.
            limit: At most so many.
        """
        query = (
            select(log.c.number, log.c.at, log.c.line)
            .where(log.c.job_id == known_id(job_id), log.c.number > after)
            .order_by(log.c.number)
            .limit(limit)
        )
        with self._store.read() as connection:
            return tuple(LogLine(*row) for row in connection.execute(query))


def _filtered(wanted: JobFilter) -> Select[tuple[object, ...]]:
    query = select(jobs)
    for word in plain(wanted.text, SEARCH_LENGTH).casefold().split()[:_MAX_WORDS]:
        query = query.where(jobs.c.search.contains(word, autoescape=True))
    if wanted.generator:
        query = query.where(jobs.c.generator == plain(wanted.generator, SEARCH_LENGTH))
    if wanted.states:
        query = query.where(jobs.c.state.in_(_values(wanted.states)))
    if wanted.since is not None:
        query = query.where(jobs.c.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(jobs.c.created_at < wanted.until)
    return query


def _values(states: Sequence[JobState]) -> list[str]:
    return [state.value for state in states]
