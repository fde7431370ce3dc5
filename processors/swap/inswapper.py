"""The contract of inswapper_128, as the insightface package runs it.

``target`` ``[n, 3, 128, 128]`` is RGB / 255, ``source`` ``[n, 512]`` the embedding times a matrix
that is stored as the graph's last initializer, brought to length 1.
"""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.errors import MissingDependency
from processors.faces.face import Embedding
from processors.faces.model import Model
from processors.models.contracts import ModelMismatch
from processors.swap.adapter import Latent, ModelSwap, SwapSpec

INSWAPPER_128: Final = SwapSpec(name="inswapper_128", size=128, template="arcface_128")


class InSwapper(ModelSwap):
    """inswapper_128.

    Args:
        model: What runs it.
        path: Its original file: a runtime or a rewritten graph does not tell the matrix.
        boost: 1, 2 or 4: crops of 128, 256 or 512 pixels.
        most_tiles: See ``ModelSwap``.

    Raises:
        ModelMismatch: The model has other inputs or outputs.
    """

    def __init__(
        self, model: Model, path: Path, boost: int = 1, most_tiles: int | None = None
    ) -> None:
        super().__init__(model, INSWAPPER_128, boost, self._project, most_tiles)
        self._path = path
        self._emap: npt.NDArray[np.float32] | None = None

    def _project(self, embedding: Embedding) -> Latent:
        if self._emap is None:
            self._emap = read_emap(self._path)
        return np.asarray(embedding.reshape(1, -1) @ self._emap, np.float32)


def read_emap(path: Path) -> npt.NDArray[np.float32]:
    """The last initializer of a graph: ``float32[512, 512]``.

    Raises:
        MissingDependency: The onnx package is not installed.
        ModelMismatch: The last initializer is no such matrix.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingDependency(
            "Reading inswapper's embedding matrix needs the onnx package.",
            "Install requirements-ai.txt.",
        ) from error
    initializers = onnx.load(str(path)).graph.initializer
    shape = tuple(initializers[-1].dims) if initializers else ()
    if shape != (512, 512):
        raise ModelMismatch(
            f"The last initializer of {path.name} has the shape {list(shape)}; inswapper keeps "
            "its embedding matrix [512, 512] there.",
            "Give the original inswapper_128.onnx: optimizers reorder initializers.",
        )
    return np.asarray(numpy_helper.to_array(initializers[-1]), np.float32)
