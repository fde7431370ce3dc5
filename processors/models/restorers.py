"""Networks that enlarge pictures, from checkpoints as they are published: loaded by spandrel.

spandrel tells from the names and shapes of the tensors which network it is, and how large. Only
tensors are read from a file; nothing in it is run.
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import MissingDependency
from processors.models.files import ModelDamaged
from processors.models.lean_imports import import_parts
from processors.models.session import first_line

SUFFIXES = (".pth", ".pt", ".safetensors")

_FIX = (
    "Run: pip install -r requirements-ai.txt, then pip install --no-deps -r"
    " requirements-ai-nodeps.txt."
)
_ARCHITECTURES = (
    *("ESRGAN", "Compact", "SPAN", "RealCUGAN", "PLKSR", "SwinIR", "HAT", "DAT", "OmniSR", "ATD"),
)
"""Those that need no torchvision and are in use: Real-ESRGAN's are ESRGAN and Compact."""


class RestorerUnusable(ModelDamaged):
    """A file holds no network that enlarges pictures."""


@dataclass(frozen=True, slots=True)
class Restorer:
    """A network that enlarges pictures.

    Attributes:
        module: ``torch.nn.Module``; takes and returns ``[n, 3, h, w]``, RGB from 0 to 1.
        scale: How many times larger it makes them.
        multiple: Sides have to be multiples of this.
        minimum: And at least this long.
        half: It can compute with 16 bits.
        name: Of its architecture.
    """

    module: Any
    scale: int
    multiple: int = 1
    minimum: int = 1
    half: bool = True
    name: str = ""

    def to(self, device: str) -> "Restorer":
        """Move it; returns itself."""
        self.module.to(device)
        return self

    def parameters(self) -> Any:
        """Its tensors, as ``torch.nn.Module`` has them."""
        return self.module.parameters()

    def buffers(self) -> Any:
        """Its other tensors."""
        return self.module.buffers()


def load_restorer(paths: Sequence[Path], shares: Sequence[float] = (1.0,)) -> Restorer:
    """Load a network on the CPU, in 32 bits.

    Args:
        paths: Its file; several of the same shape are mixed.
        shares: Of each in the mixture (deep network interpolation, Wang et al., CVPR 2019).

    Raises:
        RestorerUnusable: A file is damaged or cut off, or holds another kind of network.
        MissingDependency: torch, safetensors or spandrel is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("Enlarging needs torch, which is not installed.", _FIX) from error
    states = [_read(path, torch) for path in paths]
    state = states[0] if len(states) == 1 else _mixed(states, shares, paths)
    registry, unsupported = _registry()
    try:
        found = registry.load(state)
    except unsupported as error:
        raise RestorerUnusable(
            f"{paths[0]} holds no network that is known here.",
            "Take one of the Real-ESRGAN family (ESRGAN or SRVGG), or of SPAN, SwinIR, HAT, DAT.",
        ) from error
    except (RuntimeError, KeyError, ValueError, AssertionError, TypeError) as error:
        raise RestorerUnusable(
            f"{paths[0]} looks like a network for pictures, but its tensors do not fit:"
            f" {first_line(error)}.",
            "It is damaged, or a variant that is not known: get it again, or take another.",
        ) from error
    if found.input_channels != 3 or found.output_channels != 3 or found.scale < 2:
        raise RestorerUnusable(
            f"{paths[0]} ({found.architecture.name}) does not enlarge pictures in colour.",
            "Take a model of scale 2 or 4.",
        )
    needs = found.size_requirements
    return Restorer(
        found.model.eval().requires_grad_(False).float(),
        found.scale,
        max(1, needs.multiple_of),
        max(1, needs.minimum),
        bool(found.supports_half),
        str(found.architecture.name),
    )


def _registry() -> tuple[Any, type[Exception]]:
    folder = "spandrel.architectures"
    wanted = [f"{folder}.{name}" for name in _ARCHITECTURES]
    helpers, *modules = import_parts(
        ("spandrel", folder), ("spandrel.__helpers.registry", *wanted), _FIX
    )
    registry = helpers.ArchRegistry()
    for module, name in zip(modules, _ARCHITECTURES, strict=True):
        architecture = getattr(module, f"{name}Arch")()
        registry.add(helpers.ArchSupport.from_architecture(architecture))
    return registry, helpers.UnsupportedModelError


def _read(path: Path, torch: Any) -> Mapping[str, Any]:
    """Read tensors by name, whatever they are wrapped in."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise MissingDependency(f"{path.name} needs safetensors: {error}.", _FIX) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    except Exception as error:
        # safetensors' own error has no base but Exception.
        if type(error).__name__ != "SafetensorError":
            raise
        raise _damaged(path, error) from error
    canonical = import_parts(("spandrel",), ("spandrel.__helpers.canonicalize",), _FIX)[
        0
    ].canonicalize_state_dict
    if not isinstance(state, dict) or not state:
        raise RestorerUnusable(f"{path} holds no tensors.", "Take another file.")
    found: Mapping[str, Any] = canonical(state)
    return found


def _damaged(path: Path, error: Exception) -> RestorerUnusable:
    return RestorerUnusable(
        f"{path} cannot be read: {first_line(error)}.",
        "It is cut off, damaged, or holds more than tensors: get it again (python server.py models"
        " pull), or take a .safetensors file.",
    )


def _mixed(
    states: Sequence[Mapping[str, Any]], shares: Sequence[float], paths: Sequence[Path]
) -> Mapping[str, Any]:
    first, *others = states
    if any(
        state.keys() != first.keys() or any(state[key].shape != first[key].shape for key in first)
        for state in others
    ):
        names = ", ".join(path.name for path in paths)
        raise RestorerUnusable(f"{names} are not of one shape.", "Only such can be mixed.")
    return {
        key: sum(share * state[key] for share, state in zip(shares, states, strict=True))
        for key in first
    }
