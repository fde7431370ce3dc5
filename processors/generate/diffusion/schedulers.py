"""The samplers by name."""

from typing import Any

from processors.generate.diffusion.checkpoint import Checkpoint
from processors.generate.diffusion.parameters import SchedulerName

_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_trailing": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
_OWN = {"sdxl": "euler", "sd15": "dpmpp_2m"}


def scheduler_name(wanted: SchedulerName, checkpoint: Checkpoint) -> str:
    """Return the sampler's name, where ``auto`` is wanted the one that suits the model.

    SDXL-Lightning is trained for Euler steps that end each stretch of the noise schedule
    ("trailing"): Lin et al., "SDXL-Lightning: Progressive Adversarial Diffusion Distillation".
    """
    if wanted != "auto":
        return wanted
    return "euler_trailing" if checkpoint.lightning_steps else _OWN[checkpoint.family]


def make_scheduler(diffusers: Any, name: str, trained: Any) -> Any:
    """Make a sampler.

    Args:
        diffusers: The module.
        name: From ``scheduler_name``.
        trained: The config of the model's own one, for its noise schedule and what it predicts.
    """
    kind, changed = _KINDS[name]
    # The model's own spacing belongs to its own sampler; each kind has a default that suits it.
    kept = {key: value for key, value in dict(trained).items() if key != "timestep_spacing"}
    if "timestep_spacing" not in changed and kind.startswith("Euler"):
        changed = {**changed, "timestep_spacing": "leading"}
    return getattr(diffusers, kind).from_config(kept, **changed)
