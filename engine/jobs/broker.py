"""Hints between machines: a Celery message with a job's id says that the job is in the queue.

A message has nothing but the id, as JSON, and decides nothing: the store does. So a message may be
lost, doubled or late, or its job may be done already; whoever hears one looks into the store and
takes the first job there is, which keeps priorities, and whoever hears none looks now and then.

Messages have Celery's format (version 2 of its protocol, the task ``jobs.look``), so its tools show
them. They are not acknowledged, and they are received only by a worker that waits for a job: a
consumer that holds further messages back while it works would keep them from idle machines.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from engine.errors import MissingDependency, Unavailable

TASK: Final = "jobs.look"
QUEUE: Final = "avatar-jobs"

MAX_PENDING: Final = 1000
"""Messages that nobody has taken yet. Further ones would tell nobody anything: while there is one,
no worker is idle, and a worker looks into the store before it waits for messages."""

_TIMEOUT_S: Final = 2.0


class BrokerUnreachable(Unavailable):
    """The message broker does not answer, or refuses us."""


class BrokerLink:
    """A connection to the broker, made when it is first needed and again after a failure.

    Not thread-safe. Every method may take a few seconds when the broker is away.

    Args:
        url: ``redis://:password@host:6379/0``, or ``rediss://`` with TLS.

    Raises:
        MissingDependency: Celery is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import celery  # type: ignore[import-untyped]  # it has no type information
            from kombu.entity import Queue
            from kombu.exceptions import KombuError
        except ModuleNotFoundError as error:
            raise MissingDependency(
                f"'{error.name}', which jobs.broker needs, is not installed.",
                "Install it: pip install -r requirements-cluster.txt",
            ) from error
        parts = urlsplit(url)
        self._url = url
        self.where = f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"
        """The broker's address, without user and password."""
        self._app: Any = celery.Celery("avatar-server", set_as_current=False)
        self._app.conf.update(
            accept_content=["json"],
            task_serializer="json",
            task_ignore_result=True,
            broker_transport_options={
                "socket_connect_timeout": _TIMEOUT_S,
                "socket_timeout": _TIMEOUT_S,
            },
        )
        make_queue: Any = Queue  # has no types
        self._queue: Any = make_queue(QUEUE)
        self._refusals: tuple[type[BaseException], ...] = (KombuError, OSError)
        self._connection: Any = None
        self._channel: Any = None
        self._consumer: Any = None
        self._heard: list[str] = []

    def send(self, job_ids: Sequence[str]) -> int:
        """Tell workers that these jobs are in the queue.

        Returns:
            How many messages were sent: fewer than ids while there are ``MAX_PENDING``.

        Raises:
            BrokerUnreachable: Some or all of them were not sent.
        """
        with self._connected():
            pending = self._queue.bind(self._channel).queue_declare().message_count
            producer = self._app.amqp.Producer(self._channel)
            chosen = job_ids[: max(0, MAX_PENDING - pending)]
            for job_id in chosen:
                self._app.send_task(
                    TASK, (job_id,), producer=producer, queue=self._queue, retry=False
                )
            return len(chosen)

    def hear(self, timeout_s: float) -> str | None:
        """Wait for a message.

        Args:
            timeout_s: How long, at least; the broker's answer to an earlier wait may add to it.

        Returns:
            The job's id, empty for a message that isn't one of ours; None: none came.

        Raises:
            BrokerUnreachable: Nothing can be heard.
        """
        with self._connected():
            if self._consumer is None:
                self._consumer = self._app.amqp.TaskConsumer(
                    self._channel,
                    queues=[self._queue],
                    no_ack=True,
                    on_message=lambda message: self._heard.append(_job_id(message)),
                )
                self._consumer.consume()
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=timeout_s)
        return self._heard.pop(0) if self._heard else None

    def close(self) -> None:
        """Give up the connection; the next call makes another."""
        connection, self._connection = self._connection, None
        self._channel = self._consumer = None
        if connection is not None:
            # Whatever it says on its end: it is gone.
            with suppress(*self._errors(connection)):
                connection.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Connect if need be; turn errors of the broker into ``BrokerUnreachable``."""
        errors = self._refusals
        try:
            if self._connection is None:
                self._connection = self._app.connection_for_write(self._url)
                errors = self._errors(self._connection)
                self._connection.ensure_connection(_give_up, max_retries=1)
                self._channel = self._connection.channel()
            errors = self._errors(self._connection)
            yield
        except errors as error:
            self.close()
            raise BrokerUnreachable(
                f"The broker '{self.where}' cannot be used: {str(error).rstrip('.')}.",
                "Is jobs.broker right, and Redis running? Jobs run all the same, a little later.",
                retry_after=5.0,
            ) from error

    def _errors(self, connection: Any) -> tuple[type[BaseException], ...]:
        return (*self._refusals, *connection.connection_errors, *connection.channel_errors)


def _give_up(error: BaseException, _pause_s: float) -> None:
    """Fail at the first error: Kombu would try again, and whoever calls would stand still."""
    raise error


def _job_id(message: Any) -> str:
    """Return the id in a message; anybody who reaches the broker may have sent it."""
    try:
        (job_id,), _, _ = message.decode()
    except Exception:  # noqa: BLE001  # whatever the body's decoder makes of it
        return ""
    return job_id if isinstance(job_id, str) else ""
