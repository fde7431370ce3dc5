"""Imports parts of a package without running what the package imports for its other parts.

``import spandrel`` loads some forty architectures, two of which need torchvision; ``import rembg``
compiles pymatting by numba, for a minute or two. The few modules that are used need neither.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from engine.errors import MissingDependency


def import_parts(packages: Sequence[str], modules: Sequence[str], fix: str) -> list[ModuleType]:
    """Import modules, but not run the ``__init__`` of the packages that they are in.

    Args:
        packages: Those packages, the outer one first.
        modules: Full names.
        fix: What brings the outer package, for the message.

    Raises:
        MissingDependency: The package is not installed, or something that the modules need.
    """
    try:
        with _bare(packages):
            return [importlib.import_module(name) for name in modules]
    except ImportError as error:
        raise MissingDependency(f"{packages[0]} cannot be used: {error}.", fix) from error


@contextmanager
def _bare(packages: Sequence[str]) -> Iterator[None]:
    """Have packages that were not imported yet stand there empty, with their folders only."""
    put: dict[str, ModuleType] = {}
    try:
        for name in packages:
            if name in sys.modules:
                continue
            spec = importlib.util.find_spec(name)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            put[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        yield
    finally:
        # Whoever imports the package later gets it whole.
        for name, module in put.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
