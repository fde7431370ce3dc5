"""Where model files are."""

from collections.abc import Mapping
from pathlib import Path

from engine.errors import NotFound

VARIABLE = "AVATAR_MODELS"


class ModelNotFound(NotFound):
    """A model file is not where it should be."""


def find_model(model: Path, folder: Path, environ: Mapping[str, str], what: str) -> Path:
    """The path of a model file that exists.

    Args:
        model: A path as it is, or a bare name within the folder of models.
        folder: The folder of models in the settings.
        environ: Environment; its ``AVATAR_MODELS`` goes before ``folder``.
        what: What the model is, for the message.

    Raises:
        ModelNotFound: There is no such file; says where it was looked for.
    """
    bare = len(model.parts) == 1
    path = Path(environ.get(VARIABLE) or folder) / model if bare else model
    if not path.is_file():
        raise ModelNotFound(
            f"There is no {what} at {path}.",
            f"Put the file there, or name its folder in the environment variable {VARIABLE}.",
        )
    return path
