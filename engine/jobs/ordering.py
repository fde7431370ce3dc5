"""Places in the queue: by priority, falling, then by position, rising.

A position is a floating-point number: new jobs get whole ones that rise, and a job that is moved
gets one in the middle between its new neighbours.
"""

from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, update

from engine.jobs.schema import jobs
from engine.jobs.spec import PENDING, JobState
from engine.jobs.store import Writing

_WAITS = jobs.c.state.in_(PENDING)


def front(writing: Writing) -> dict[str, Any]:
    """Return priority and position of a job that shall go before all others."""
    highest = writing.connection.scalar(select(func.max(jobs.c.priority)).where(_WAITS))
    first = select(func.min(jobs.c.position)).where(_WAITS, jobs.c.priority == highest)
    return {"priority": highest, "position": (writing.connection.scalar(first) or 0.0) - 1}


def back(writing: Writing) -> dict[str, Any]:
    """Return priority and position of a job that shall go behind all others."""
    lowest = writing.connection.scalar(select(func.min(jobs.c.priority)).where(_WAITS))
    last = select(func.max(jobs.c.position)).where(_WAITS, jobs.c.priority == lowest)
    return {"priority": lowest, "position": (writing.connection.scalar(last) or 0.0) + 1}


def between(writing: Writing, job_id: str, other: RowMapping, after: bool) -> dict[str, Any]:
    """Return priority and position of a job that shall go directly before or after another.

    Args:
        writing: The transaction.
        job_id: The job that moves.
        other: The row of the other one.
        after: Behind it, not before it.
    """
    found = _middle(writing, job_id, other["priority"], other["position"], after)
    if found is None:
        # No number fits between the two any more: give all of this priority new ones.
        _renumber(writing, other["priority"])
        at = select(jobs.c.position).where(jobs.c.id == other["id"])
        position = writing.connection.execute(at).scalar_one()
        found = _middle(writing, job_id, other["priority"], position, after)
    return {"priority": other["priority"], "position": found}


def place(connection: Connection, state: str, priority: int, position: float) -> int | None:
    """Return how many queued jobs go before a job; None if it is not queued.

    Args:
        connection: For reading.
        state: The job's; so the others.
        priority: See ``JobSpec``.
        position: See ``Job``.
    """
    if state != JobState.QUEUED:
        return None
    ahead = (jobs.c.priority > priority) | (
        (jobs.c.priority == priority) & (jobs.c.position < position)
    )
    query = select(func.count()).where(jobs.c.state == JobState.QUEUED.value, ahead)
    return connection.scalar(query) or 0


def _middle(
    writing: Writing, job_id: str, priority: int, position: float, after: bool
) -> float | None:
    side = jobs.c.position > position if after else jobs.c.position < position
    nearest = func.min(jobs.c.position) if after else func.max(jobs.c.position)
    others = (_WAITS, jobs.c.priority == priority, jobs.c.id != job_id)
    neighbour = writing.connection.scalar(select(nearest).where(side, *others))
    if neighbour is None:
        return position + 1 if after else position - 1
    middle = (float(neighbour) + position) / 2
    return middle if middle not in (neighbour, position) else None


def _renumber(writing: Writing, priority: int) -> None:
    """Spread the positions of a priority evenly over the range that they cover."""
    query = (
        select(jobs.c.id, jobs.c.position)
        .where(_WAITS, jobs.c.priority == priority)
        .order_by(jobs.c.position, jobs.c.number)
    )
    rows = writing.connection.execute(query).all()
    first = rows[0].position
    step = max((rows[-1].position - first) / len(rows), 1.0)
    for number, row in enumerate(rows):
        writing.connection.execute(
            update(jobs)
            .where(jobs.c.id == row.id)
            .values(position=first + number * step, changed=writing.change)
        )
