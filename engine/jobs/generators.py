"""What can be run as a job: the side of it that workers see."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from engine.jobs.context import Context
from engine.jobs.spec import Json


class Generator(Protocol):
    """What makes something from parameters and files. Found by name in ``Generators``."""

    def run(
        self, params: dict[str, Any], inputs: Mapping[str, Path], context: Context
    ) -> Json | None:
        """Do it; in the worker's main thread.

        Args:
            params: As they were enqueued.
            inputs: Path of each input, by its name; not to be changed.
            context: For files, progress and interruptions.

        Returns:
            A JSON object that is kept with the job, besides the files in ``context.folder``.

        Raises:
            Exception: The job failed; ``engine.jobs.retrying`` says what is tried again.
        """


class Generators(Protocol):
    """The generators that a worker knows. Made once in each worker process, by the registry."""

    def get(self, name: str) -> Generator:
        """Return a generator; this is where heavy imports belong.

        Raises:
            NotFound: There is none of this name.
        """
